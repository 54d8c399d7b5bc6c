"""The command `lancet`: every act of the screens from a shell.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a run failed |
| 2 | something that the person can fix, said in one line |
| 130 | Ctrl-C |
| 141 | whoever read the output has gone, as `head` does |
"""

import os
import sys
from collections.abc import Sequence

import typer

from lancet_core.cli import (
    answers,
    attribution,
    audit,
    contamination,
    correction,
    dashboard,
    doctor,
    imports,
    index,
    lab,
    options,
    output,
    queries,
    review,
    runs,
    studies,
    training,
)
from lancet_core.errors import Cancelled, JobError, LancetError

DONE, FAILED, FIXABLE, INTERRUPTED, READER_GONE = 0, 1, 2, 130, 141

app = typer.Typer(
    name="lancet",
    help="Find the training samples behind a bad answer, correct the model, and prove that it is corrected.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=options.HELP_WIDTH,
)
app.command("app", short_help="Start the dashboard.")(dashboard.open_app)
app.add_typer(dashboard.demo, name="demo")
app.add_typer(studies.commands, name="study")
app.command("contaminate", short_help="Make training sets with known causes of bad answers.")(
    contamination.contaminate
)
app.command("train", short_help="Fine-tune a model on samples.")(training.train)
app.add_typer(queries.commands, name="queries")
app.command("generate", short_help="Ask the model, and score its answer.")(answers.generate)
app.command(
    "attribute", cls=options.GroupedCommand, short_help="Find the training samples behind an answer."
)(attribution.attribute)
app.command("audit", short_help="Tell what a ranking is worth.")(audit.audit)
app.add_typer(imports.commands, name="attribution")
app.command("cluster", short_help="Group queries that resemble each other.")(attribution.cluster)
app.add_typer(index.commands, name="index")
app.add_typer(review.commands, name="pairs")
app.command("correct", short_help="Train a corrected model.")(correction.correct)
app.command("evaluate", short_help="Measure a model's answers to prompts.")(answers.evaluate)
app.command("compare", short_help="Compare a corrected model with the original.")(answers.compare)
app.add_typer(runs.commands, name="runs")
app.add_typer(lab.commands, name="lab")
app.command("doctor", short_help="Check this installation and machine.")(doctor.doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit code; errors are one line on stderr."""
    sys.excepthook = output.print_traceback
    code = run(arguments)
    output.drop_unwritten()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: What stands behind `lancet`; None takes them from the process.

    Returns:
        The exit code.
    """
    output.accept_any_text()
    try:
        return _run(None if arguments is None else list(arguments))
    except (output.OutputClosed, SystemExit):  # Typer exits where its own help meets a closed pipe
        return READER_GONE


def _run(arguments: list[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="lancet", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort, Cancelled) as error:
        output.print_note(str(error) or "cancelled")
        return INTERRUPTED
    except JobError as error:
        output.print_error(str(error))
        return FAILED
    except (LancetError, typer.TyperException, OSError, MemoryError, RecursionError, UnicodeError) as error:
        output.print_error(explain(error))
        return FIXABLE
    if code == INTERRUPTED:  # what Typer makes of Ctrl-C
        output.print_note("cancelled")
    return code if isinstance(code, int) else DONE


def explain(error: Exception) -> str:
    """Says what is wrong and what to do next."""
    if isinstance(error, typer.TyperException):
        return _explain_usage(error)
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            return error.strerror
        place = os.fsdecode(error.filename)
        return (
            f"{place} cannot be used: {error.strerror}; check the path, its rights and the space on its disk"
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; give a smaller file, or close other programs"
    if isinstance(error, RecursionError):
        return "what was given is nested too deep to be read; flatten it"
    if isinstance(error, UnicodeEncodeError):
        wrong = error.object[error.start : error.end]
        return f"a text that was given holds {wrong!r}, which is no Unicode; write it as UTF-8"
    return str(error)


def _explain_usage(error: typer.TyperException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "lancet"
    return f"{message.rstrip('.')}; see {path} --help"


if __name__ == "__main__":
    main()
