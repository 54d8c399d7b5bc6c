"""`lancet app` and `lancet demo`: the dashboard, and the study that comes with it."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import lancet_core
from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, WorkspaceOption, settings_from, with_settings
from lancet_core.cli.output import print_json, print_line, print_note
from lancet_core.errors import ConfigError
from lancet_core.operations.configs import BuildDemoConfig
from lancet_core.workbench import demo_assets
from lancet_core.workbench.studies import install_demo
from lancet_core.workspace import ENVIRONMENT_VARIABLE, open_workspace

CHECKOUT = Path(lancet_core.__file__).resolve().parents[1]
demo = typer.Typer(
    help="Put the demo study into the workspace, or remake its assets.", invoke_without_command=True
)


def open_app(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the dashboard.")] = 8501,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on; other machines can reach 0.0.0.0, and it has no password."
        ),
    ] = "127.0.0.1",
    workspace: WorkspaceOption = None,
) -> None:
    """Starts the dashboard; Ctrl-C stops it."""
    app = CHECKOUT / "app.py"
    if not app.is_file():
        raise ConfigError(f"there is no {app}; install LANCET from a checkout with: pip install -e FOLDER")
    folder = open_workspace(workspace).folder
    _check_port(host, port)
    print_note(
        f"workspace {folder}; the dashboard is at http://{'localhost' if host == '127.0.0.1' else host}:{port}"
    )
    os.chdir(CHECKOUT)  # Streamlit reads .streamlit/config.toml from the current folder
    os.environ[ENVIRONMENT_VARIABLE] = str(folder)
    sys.stderr.flush()
    options = ["--server.port", str(port), "--server.address", host]
    os.execv(sys.executable, [sys.executable, "-m", "lancet_core.cli.server", "run", str(app), *options])


@demo.callback()
def install(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts the demo study into the workspace and prints its name; a second time changes nothing."""
    if context.invoked_subcommand is not None:
        return
    study = install_demo(open_workspace(workspace))
    if as_json:
        print_json({"study": study.name, "counts": study.counts})
        return
    print_line(study.name)


@demo.command("build")
@with_settings(BuildDemoConfig)
def build(
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the assets; unset: assets/demo of this checkout.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Remakes the demo's corpus, models, scorers and queries from code, in up to 20 minutes on two cores."""
    config = settings_from(BuildDemoConfig, values)
    with RunBar() as bar:
        run, folder = demo_assets.rebuild(open_workspace(workspace), config, target=out, on_status=bar)
    if as_json:
        print_json({"run": run.id, "folder": folder, "summary": run.summary})
        return
    print_line(f"demo assets: {folder}")


def _check_port(host: str, port: int) -> None:
    """Finds out whether the port is free.

    Raises:
        ConfigError: It is not, or there is no such address.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ConfigError(
            f"the dashboard cannot listen on {host}:{port}: {error.strerror}; give another with --port or --host"
        ) from error
