"""The command `lancet`: every act of the screens from a shell.

Exit codes: 0 done; 1 a run failed; 2 something that the person can mend, told in one line; 130 Ctrl-C.
"""

import sys
from collections.abc import Sequence

import typer

from lancet_core.cli import (
    answers,
    attribution,
    benchmark,
    correction,
    dashboard,
    doctor,
    index,
    review,
    runs,
    studies,
)
from lancet_core.errors import Cancelled, JobError, LancetError

DONE, FAILED, MENDABLE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="lancet",
    help="Find the training samples behind a bad answer, correct the model, and prove that it is corrected.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("app")(dashboard.open_app)
app.add_typer(dashboard.demo, name="demo")
app.add_typer(studies.commands, name="study")
app.command("generate")(answers.generate)
app.command("attribute")(attribution.attribute)
app.command("cluster")(attribution.cluster)
app.add_typer(index.commands, name="index")
app.add_typer(review.commands, name="pairs")
app.command("correct")(correction.correct)
app.command("evaluate")(answers.evaluate)
app.command("compare")(answers.compare)
app.add_typer(runs.commands, name="runs")
app.add_typer(benchmark.commands, name="benchmark")
app.command("doctor")(doctor.doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit code; errors are one line on stderr, never a traceback."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: What stands behind `lancet`; None takes them from the process.

    Returns:
        The exit code.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(
            args=None if arguments is None else list(arguments), prog_name="lancet", standalone_mode=False
        )
    except JobError as error:
        return _tell(error, FAILED)
    except LancetError as error:
        return _tell(error, MENDABLE)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("cancelled", err=True)
        return INTERRUPTED
    except typer.TyperException as error:
        return _tell_usage(error)
    except Cancelled as error:
        typer.echo(str(error) or "cancelled", err=True)
        return INTERRUPTED
    except OSError as error:
        return _tell(error, MENDABLE)
    return code if isinstance(code, int) else DONE


def _tell(error: Exception, code: int) -> int:
    typer.echo("error: " + " ".join(str(error).split()), err=True)
    return code


def _tell_usage(error: typer.TyperException) -> int:
    """Says what is wrong with the command line; help that was asked for by giving no argument is no error."""
    message = " ".join(error.format_message().split()) if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "lancet"
    typer.echo(f"error: {message.rstrip('.')}; see {path} --help", err=True)
    return MENDABLE


if __name__ == "__main__":
    main()
