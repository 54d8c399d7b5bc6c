"""Nothing that a file or a person says acts on the terminal: not in results, not in errors, not in a log."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lancet_core.cli
from lancet_core.cli import output
from lancet_core.cli.following import RunBar
from lancet_core.runs.client import stop_host
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.run_status import RUNNING, Status
from lancet_core.store.runs import RunFilter, list_runs
from lancet_core.text import visible, visible_line
from lancet_core.workspace import open_workspace
from tests.hostile_texts import ARGUMENTS, IN_FILES, TEXTS, acting
from tests.tiny_models import save_tiny_model
from tests.written_rows import plain_rows, query_rows, write_lines

SHORT = {name: text for name, text in IN_FILES.items() if name != "long"}
# A folder's name holds no slash; the clipboard, a forged line, a reversal and markup do for the rest.
FOLDER = "\x1b]52;c;ZXZpbA==\x07\nerror: forged \u202e[red]"
REVIEWER = "ann\x1b[2J\nbob: approve\u202e"
MARK = "\\x1b"
WHOLE = ("--batch", "--recall", "all")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace, a model and files whose names and texts are hostile."""
    folder = tmp_path_factory.mktemp("place") / FOLDER
    save_tiny_model("llama", folder / "model")
    rows = plain_rows(12)
    for number, text in enumerate(SHORT.values()):
        label = bool(number % 2)
        rows.append({"prompt": f"{number} {text}?", "response": f"{text} {number}", "is_safe": label})
    write_lines(folder / "train.jsonl", rows)
    write_lines(folder / "plain.jsonl", query_rows(1))
    query = {"prompt": f"{TEXTS['title']}?", "response": TEXTS["override"], "group": TEXTS["clipboard"]}
    write_lines(folder / "queries.jsonl", [query, {**query, "prompt": TEXTS["cursor"]}])
    yield folder
    stop_host(open_workspace(folder / "workspace"))


@pytest.fixture
def lancet(lancet):
    """Calls a command; nothing that it prints may act."""

    def call(*arguments):
        code, out, err = lancet(*arguments)
        assert acting(out + err) == set()
        return code, out, err

    return call


@pytest.fixture
def run_id(lancet, place):
    """A study of hostile samples with pairs for review, and an attribution of hostile queries."""
    workspace = open_workspace(place / "workspace")
    if not list_runs(workspace, RunFilter(act="attribute")):
        call(lancet, "study", "create", "mine", "--model", "model", "--train", "train.jsonl")
        call(lancet, "attribute", "mine", "--queries", "plain.jsonl", *WHOLE)
        (plain,) = list_runs(workspace, RunFilter(act="attribute"))
        both_signs(plain.folder / "scores.parquet")
        call(lancet, "pairs", "propose", "mine", "--attribution", plain.id, "--similar-prompts", "0")
        call(lancet, "attribute", "mine", "--queries", "queries.jsonl", *WHOLE)
    return list_runs(workspace, RunFilter(act="attribute"))[0].id


def call(lancet, *arguments):
    code, _out, err = lancet(*arguments)
    assert code == 0, err


def both_signs(path):
    """Spreads the scores around 0: a model with random weights often scores all samples alike."""
    scores = pd.read_parquet(path)
    scores.assign(influence=np.linspace(1, -1, len(scores))).to_parquet(path, index=False)


# Commands that print what is hostile.
SHOWN = {
    "study list": ("study", "list"),
    "study show": ("study", "show", "mine"),
    "pairs list": ("pairs", "list", "mine", "--limit", "0"),
    "attribute": ("attribute", "mine", "--queries", "queries.jsonl", *WHOLE),
    "attribute, typed": ("attribute", "mine", "--prompt", TEXTS["cursor"], "--response", TEXTS["link"]),
    "attribute --out": (
        "attribute",
        "mine",
        "--queries",
        "queries.jsonl",
        *WHOLE,
        "--out",
        "\x1b[2J.parquet",
    ),
    "pairs export": ("pairs", "export", "mine", "\x1b[2J.jsonl"),
    "runs show": ("runs", "show", "RUN"),
}


@pytest.mark.parametrize("arguments", SHOWN.values(), ids=SHOWN)
def test_what_is_shown_does_not_act(lancet, run_id, arguments):
    code, out, err = lancet(*(run_id if word == "RUN" else word for word in arguments))
    assert code == 0, err
    assert MARK in out + err or "\\u001b" in out


def test_an_answer_that_comes_in_pieces_does_not_act(lancet, run_id):
    code, out, err = lancet("generate", "mine", "--prompt", TEXTS["clipboard"], "--max-new-tokens", "30")
    assert code == 0, err
    assert out.endswith("\n")


@pytest.mark.parametrize(
    "arguments", [("study", "show", "mine"), ("pairs", "list", "mine"), ("runs", "show", "RUN")]
)
def test_json_holds_the_texts_as_they_are(lancet, run_id, place, arguments):
    _code, out, _err = lancet(*(run_id if word == "RUN" else word for word in arguments), "--json")
    assert json.loads(out)
    assert "\\u001b" in out
    if arguments[0] == "study":
        assert json.loads(out)["model"] == str(place / "model")


def test_a_reviewer_forges_no_line(lancet, run_id, place):
    pairs = json.loads(lancet("pairs", "list", "mine", "--json")[1])["pairs"]
    code, out, _err = lancet("pairs", "decide", pairs[0]["pair_id"], "approve", "--reviewer", REVIEWER)
    assert (code, out.count("\n")) == (0, 1)
    code, _out, err = lancet("pairs", "decide", pairs[0]["pair_id"], "reject", "--reviewer", "bob")
    assert (code, err.count("\n")) == (2, 1)
    assert MARK in err
    assert lancet("pairs", "list", "mine", "--show", "approve", "--reviewer", REVIEWER)[0] == 0


def test_a_log_does_not_act(lancet, run_id, place):
    workspace = open_workspace(place / "workspace")
    folder = RunFolder(workspace.runs / run_id)
    with (folder.path / "log.txt").open("a", encoding="utf-8", errors="surrogatepass") as log:
        log.write("\n".join(TEXTS.values()))
    _code, out, _err = lancet("runs", "logs", run_id, "--lines", "1000")
    for name in ("clipboard", "override", "zero", "markup"):
        assert visible(TEXTS[name]) in out


@pytest.mark.parametrize("text", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("TEXT",),
        ("study", "show", "TEXT"),
        ("study", "delete", "TEXT", "--yes"),
        ("study", "create", "TEXT", "--model", "model", "--train", "train.jsonl"),
        ("study", "create", "new", "--model", "TEXT", "--train", "train.jsonl"),
        ("study", "create", "new", "--model", "model", "--train", "TEXT"),
        ("study", "create", "new", "--model", "model", "--train", "train.jsonl", "--harmful-scorer", "TEXT"),
        ("study", "create", "new", "--model", "model", "--train", "train.jsonl", "--queries", "TEXT"),
        ("study", "create", "new", "--model", "model", "--train", "train.jsonl", "--format", "TEXT"),
        ("runs", "show", "TEXT"),
        ("runs", "logs", "TEXT"),
        ("pairs", "decide", "TEXT", "approve"),
        ("pairs", "list", "mine", "--show", "TEXT"),
        ("pairs", "export", "mine", "file", "--format", "TEXT"),
        ("attribute", "mine", "--queries", "TEXT"),
        ("attribute", "mine", "--prompt", "a", "--response", "b", "--method", "TEXT"),
        ("correct", "mine", "--pairs", "TEXT"),
        ("compare", "mine", "--after", "TEXT"),
        ("app", "--host", "TEXT"),
    ],
    ids=" ".join,
)
def test_an_error_is_one_line_that_does_not_act(lancet, run_id, arguments, text):
    given = [text if word == "TEXT" else word for word in arguments]
    code, out, err = lancet(*given)
    assert code in {1, 2}
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < output.LONGEST_ERROR + 20


def test_an_unforeseen_error_does_not_act_either(capfd):
    try:
        raise KeyError("\x1b[2J") from ValueError(TEXTS["override"])
    except KeyError as error:
        output.print_traceback(type(error), error, error.__traceback__)
    err = capfd.readouterr().err
    assert acting(err) == set()
    assert "KeyError" in err


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_way_to_print_is_the_door(capfd, text):
    output.print_line(text)
    output.print_note(text)
    output.print_error(text)
    out, err = capfd.readouterr()
    assert acting(out + err) == set()
    assert (out.count("\n"), err.count("\n")) == (1, 2)
    output.print_text(text)
    output.print_facts({text: text})
    output.print_table((text, "b"), [(text, 1.5)], cut=("b",))
    assert output.print_pieces(iter(text)) == text
    output.print_json({text: [text]})
    out, _err = capfd.readouterr()
    assert acting(out) == set()
    document = out[out.rindex("\n{\n") :]
    assert json.loads(document) == {text: [text]}


def test_markup_and_emoji_codes_stay_text_in_a_table(capfd):
    output.print_table(
        ("[b]name[/b]", "x"), [("[red]loud[/red] :bomb: [link=http://a]b[/link]", "你好"), ("a", "b")]
    )
    header, first, second = capfd.readouterr().out.splitlines()
    assert header.startswith("[b]name[/b]")
    assert first == "[red]loud[/red] :bomb: [link=http://a]b[/link]  你好"
    assert second.index("b") == first.index("你")


@pytest.mark.parametrize("text", SHORT.values(), ids=SHORT)
def test_the_bar_shows_the_step_as_text(monkeypatch, text):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with RunBar() as bar:
        bar(Status(RUNNING, step=text, done=1, total=2))
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", terminal.getvalue())  # what the bar itself sends
    assert acting(drawn) == set()
    assert visible_line(text)[:8] in drawn


def test_nothing_else_in_the_command_line_prints():
    folder = Path(lancet_core.cli.__path__[0])
    printing = re.compile(
        r"typer\.(echo|secho|confirm|prompt)|\bprint\(|sys\.std(out|err)\.write|\bConsole\("
    )
    others = {path.name for path in folder.glob("*.py") if printing.search(path.read_text(encoding="utf-8"))}
    assert others == {"output.py", "following.py"}


def shell(*arguments, place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"):
    """Runs a command in a process of its own."""
    code = "from lancet_core.cli.main import main; main()"
    own = {"LANCET_WORKSPACE": str(place / "workspace"), "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **own},
        timeout=300,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize(
    "arguments", [("pairs", "list", "mine"), ("pairs", "list", "mine", "--json"), ("--help",)]
)
def test_an_encoding_that_lacks_a_character_stops_nothing(run_id, place, encoding, arguments):
    process = shell(*arguments, place=place, encoding=encoding)
    assert process.returncode == 0, process.stderr
    out = process.stdout.decode(encoding)
    assert acting(out) == set()
    if "--json" in arguments:
        assert json.loads(out) == json.loads(shell(*arguments, place=place).stdout)


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (("pairs", "list", "mine"), "stdout"),
        (("runs", "list", "--json"), "stdout"),
        (("--help",), "stdout"),
        (("pairs", "list", "mine"), "both"),
        (("study", "show", "none"), "both"),
    ],
)
def test_a_reader_that_goes_ends_a_command_in_silence(run_id, place, arguments, gone):
    read, write = os.pipe()
    os.close(read)
    process = shell(
        *arguments, place=place, stdout=write, stderr=write if gone == "both" else subprocess.PIPE
    )
    os.close(write)
    assert (process.returncode, process.stderr or b"") == (141, b"")


def test_output_that_cannot_be_written_is_one_line(place):
    with Path("/dev/full").open("wb") as full:
        process = shell("study", "list", place=place, stdout=full)
    assert process.returncode == 2
    assert process.stderr == b"error: No space left on device\n"


def test_what_the_server_of_the_screens_logs_does_not_act():
    code = "\n".join(
        (
            "from lancet_core.cli.server import show_only_text",
            "show_only_text()",
            "from streamlit.logger import get_logger",
            "import click, warnings",
            f"texts = {list(SHORT.values())!r}",
            "for text in texts:",
            "    click.secho(text, fg='red')",
            "    warnings.warn(text)",
            "    try:",
            "        raise KeyError(text) from ValueError(text)",
            "    except KeyError as error:",
            "        get_logger('streamlit').error(f'of {text}', exc_info=error)",
        )
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    assert acting(process.stdout + process.stderr) == set()
    assert MARK in process.stdout
    assert "ValueError" in process.stderr
    assert MARK in process.stderr
