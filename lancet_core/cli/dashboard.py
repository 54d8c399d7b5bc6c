"""`lancet app` and `lancet demo`: the dashboard, and the study that comes with it."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

import lancet_core
from lancet_core.acts.build_demo import BuildDemoRequest
from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, WorkspaceOption, settings_from, with_settings, with_workspace
from lancet_core.cli.output import print_json, print_line, print_note
from lancet_core.errors import ConfigError
from lancet_core.lab.factory.real import PRICE, Recipe, find_packaged, install_real
from lancet_core.lab.factory.remaking import remake_assets
from lancet_core.study.demo import install_demo
from lancet_core.workspace import ENVIRONMENT_VARIABLE, Workspace

CHECKOUT = Path(lancet_core.__file__).resolve().parents[1]
demo = typer.Typer(
    help="Put the demo study into the workspace, or remake its assets.", invoke_without_command=True
)


@with_workspace
def open_app(
    workspace: Workspace,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the dashboard.")] = 8501,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. 0.0.0.0 lets other machines in, and there is no password."),
    ] = "127.0.0.1",
) -> None:
    """Starts the dashboard; Ctrl-C stops it."""
    app = CHECKOUT / "app.py"
    if not app.is_file():
        raise ConfigError(f"there is no {app}; install LANCET from a checkout with: pip install -e FOLDER")
    _check_port(host, port)
    print_note(
        f"workspace {workspace.folder}; the dashboard is at http://{'localhost' if host == '127.0.0.1' else host}:{port}"
    )
    os.chdir(CHECKOUT)  # Streamlit reads .streamlit/config.toml from the current folder
    os.environ[ENVIRONMENT_VARIABLE] = str(workspace.folder)
    sys.stderr.flush()
    options = ["--server.port", str(port), "--server.address", host]
    os.execv(sys.executable, [sys.executable, "-m", "lancet_core.cli.server", "run", str(app), *options])


@demo.callback()
def install(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Puts the demo study into the workspace and prints its name; a second time changes nothing."""
    if context.invoked_subcommand is not None:
        return
    study = install_demo(workspace)
    if as_json:
        print_json({"study": study.name, "counts": study.counts})
        return
    print_line(study.name)


@demo.command("build")
@with_settings(BuildDemoRequest)
@with_workspace
def build(
    workspace: Workspace,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the assets; unset: assets/demo of this checkout.")
    ] = None,
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Remakes the demo's corpus, models, scorers and queries from code, in up to 20 minutes on two cores."""
    request = settings_from(BuildDemoRequest, values)
    with RunBar() as bar:
        run, folder = remake_assets(workspace, request, target=out, on_status=bar)
    yield {"run": run.id, "folder": folder, "summary": run.result.facts}
    print_line(f"demo assets: {folder}")


@demo.command("real")
@with_workspace
def real(workspace: Workspace) -> Iterator[Any]:
    """Makes the study `real` on a chat model that comes as a package; a stopped command goes on where it was."""
    recipe = Recipe(find_packaged())
    print_note(PRICE)
    with RunBar() as bar:
        study = install_real(workspace, recipe, print_note, bar)
    yield {"study": study.name, "model": study.model, "counts": study.counts, "queries": len(study.queries())}
    print_line(study.name)


def _check_port(host: str, port: int) -> None:
    """Refuses an address that is taken, or that this machine does not have."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, TypeError) as error:  # TypeError: a name that no host can have
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the dashboard cannot listen on {host}:{port}: {reason}; give another with --port or --host"
        ) from error
