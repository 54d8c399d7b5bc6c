"""Whatever lies in a file that a command is given: exit code 0 or 2, one line where it is 2, no worker for what cannot be read."""

import contextlib
import gzip
import inspect
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lancet_core.cli.main import app, run
from lancet_core.models import fingerprints
from tests.written_rows import plain_rows, query_rows, write_lines

CREATE = ("study", "create", "new", "--model", "{model}", "--train", "{train}")
# Each option and argument that names something to read, and the command line around it; `{given}` is what is thrown.
IMPORT = ("attribution", "import", "mine", "{scores}", "--queries", "{queries}")
READ = {
    ("study create", "model"): ("study", "create", "new", "--train", "{train}", "--model", "{given}"),
    ("study create", "train"): ("study", "create", "new", "--model", "{model}", "--train", "{given}"),
    ("study create", "queries"): (*CREATE, "--queries", "{given}"),
    ("study create", "prompts"): (*CREATE, "--prompts", "{given}"),
    ("study create", "harmful_scorer"): (*CREATE, "--harmful-scorer", "{given}"),
    ("study create", "helpful_scorer"): (*CREATE, "--helpful-scorer", "{given}"),
    ("study create", "scores"): (*CREATE, "--scores", "{given}"),
    ("study set", "harmful_scorer"): ("study", "set", "mine", "--harmful-scorer", "{given}"),
    ("study set", "helpful_scorer"): ("study", "set", "mine", "--helpful-scorer", "{given}"),
    ("study set", "prompts"): ("study", "set", "mine", "--prompts", "{given}"),
    ("study set", "scores"): ("study", "set", "mine", "--scores", "{given}"),
    ("study create", "base"): (*CREATE, "--base", "{given}"),
    ("study look", "model"): ("study", "look", "--train", "{train}", "--model", "{given}"),
    ("study look", "train"): ("study", "look", "--model", "{model}", "--train", "{given}"),
    ("study look", "base"): (
        "study",
        "look",
        "--train",
        "{train}",
        "--model",
        "{model}",
        "--base",
        "{given}",
    ),
    ("contaminate", "data"): ("contaminate", "--data", "{given}", "--out", "made"),
    ("contaminate", "safe"): ("contaminate", "--unsafe", "{train}", "--safe", "{given}", "--out", "made"),
    ("contaminate", "unsafe"): ("contaminate", "--safe", "{train}", "--unsafe", "{given}", "--out", "made"),
    ("contaminate", "unseen"): ("contaminate", "--data", "{train}", "--unseen", "{given}", "--out", "made"),
    ("train", "model"): ("train", "--train", "{train}", "--out", "made", "--model", "{given}"),
    ("train", "train"): ("train", "--model", "{model}", "--out", "made", "--train", "{given}"),
    ("queries add", "file"): ("queries", "add", "mine", "{given}"),
    ("queries mine", "safe_model"): (
        "queries",
        "mine",
        "mine",
        "--prompts",
        "{queries}",
        "--safe-model",
        "{given}",
    ),
    ("queries mine", "prompts"): (
        "queries",
        "mine",
        "mine",
        "--safe-model",
        "{model}",
        "--prompts",
        "{given}",
    ),
    ("generate", "model"): ("generate", "mine", "--prompt", "Why?", "--model", "{given}"),
    ("attribute", "queries"): ("attribute", "mine", "--queries", "{given}"),
    ("attribution import", "source"): ("attribution", "import", "mine", "{given}", "--queries", "{queries}"),
    ("attribution import", "queries"): ("attribution", "import", "mine", "{scores}", "--queries", "{given}"),
    ("attribution import", "query_ids"): (*IMPORT, "--query-ids", "{given}"),
    ("attribution import", "sample_ids"): (*IMPORT, "--sample-ids", "{given}"),
    ("pairs decide", "source"): ("pairs", "decide", "--from", "{given}", "--reviewer", "me"),
    ("cluster", "queries"): ("cluster", "mine", "--queries", "{given}"),
    ("correct", "pairs"): ("correct", "mine", "--pairs", "{given}"),
    ("correct", "queries"): ("correct", "mine", "--pairs", "{pairs}", "--queries", "{given}"),
    ("evaluate", "model"): ("evaluate", "mine", "--prompts", "{train}", "--model", "{given}"),
    ("evaluate", "prompts"): ("evaluate", "mine", "--prompts", "{given}"),
    ("compare", "after"): ("compare", "mine", "--after", "{given}"),
    ("compare", "prompts"): ("compare", "mine", "--after", "{model}", "--prompts", "{given}"),
    ("lab correction", "demo"): ("lab", "correction", "--rows", "none", "--demo", "{given}"),
}
# What else the help calls a file or folder: written by the command, or no path.
WRITTEN = {"out", "work", "workspace"}
# Rows that are queries or prompts are taken without a run; a look tells in its run which rows are of no use.
TAKEN = (("queries add", "file"), ("study set", "prompts"))
LOOK = ("study look", "train")
MODELS = [read for read in READ if read[1] in ("model", "after", "harmful_scorer", "helpful_scorer")]
ENDINGS = (".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz")
# What a model, scorer, adapter or saved data set consists of.
PARTS = (
    "config.json", "adapter_config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json",
    "tokenizer_config.json", "scorer.json", "state.json", "data.arrow",
)  # fmt: skip
ROW = {"prompt": "Is tea warm?", "response": "Yes."}
CONTENTS = {
    "empty": b"",
    "blank lines": b"\n \n\t\n",
    "zero bytes": b"\x00" * 64,
    "no text": b"\xff\xfe\xfd\n\x80",
    "deep": b"[" * 100_000,
    "a deep row": b'{"prompt": ' * 100_000,
    "half a surrogate pair": b'{"prompt": "\\ud800", "response": "\\udfff"}',
    "a name that is no text": b'{"prompt": "a", "response": "b", "\\udc80": 1} x',
    "5,000 digits": b'{"prompt": ' + b"9" * 5000 + b"}",
    "not finite": b'{"higher_is": "harmful", "mean": NaN, "std": Infinity, "mapping": "zscore_sigmoid"}',
    "another row": b'{"a": 1}',
    "a list": b"[]",
    "null": b"null",
    "a broken quote": b'prompt,response\n"a"b,c\n',
    "an endless quote": b'prompt,response\n"a,c\n' + b"d,e\n" * 50,
    "a header alone": b"prompt,response\n",
    "parquet marks": b"PAR1" + b"\xff" * 64 + b"PAR1",
    "arrow marks": b"ARROW1\x00\x00" + b"\xff" * 64,
    "a long header": b"\xff" * 8 + b"{}",
    "a short header": b"\x02" + b"\x00" * 7 + b"{}",
    "no archive": b"\x1f\x8b" + b"\x00" * 40,
    "half an archive": gzip.compress(b'{"prompt": "a"}' * 50)[:-9],
    "a large archive": gzip.compress(b" " * 2_000_000),
    "controls": b'{"prompt": 3, "response": "\\u001b]52;c;AAAA\\u0007\\u001b[2J\\u202e"}',
}


def commands(group, before=()):
    """Name and function of every command below a typer application."""
    if group.registered_callback:
        yield " ".join(before), group.registered_callback.callback
    for command in group.registered_commands:
        yield " ".join((*before, command.name)), command.callback
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, (*before, inner.name))


def paths_in_help():
    """Every text or path parameter whose help speaks of a file or folder."""
    for name, function in commands(app):
        for parameter in inspect.signature(function).parameters.values():
            kind, *described = get_args(parameter.annotation) or (None,)
            words = " ".join(str(getattr(info, "help", "") or "") for info in described)
            takes_text = {str, Path} & {kind, *get_args(kind)}
            if takes_text and re.search(r"\b(file|folder)\b", words, re.IGNORECASE):
                yield name, parameter.name


def test_every_file_that_a_command_reads_is_thrown_at():
    reads = {(name, parameter) for name, parameter in paths_in_help() if parameter not in WRITTEN}
    assert reads == set(READ)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model_folder):
    """A workspace with a study, and good files to stand beside the bad one."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(tiny_model_folder("llama"), folder / "model")
    sides = {"positive": ROW, "negative": {**ROW, "response": "No."}}
    good = {
        "model": folder / "model",
        "train": write_lines(folder / "train.jsonl", plain_rows(8)),
        "queries": write_lines(folder / "queries.jsonl", query_rows(2)),
        "pairs": write_lines(folder / "pairs.jsonl", [sides]),
        "scores": folder / "scores.npy",
    }
    np.save(good["scores"], np.arange(16.0).reshape(2, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCET_WORKSPACE", str(folder / "workspace"))
        call = ("study", "create", "mine", "--model", str(good["model"]), "--train", str(good["train"]))
        assert run(call) == 0
    return folder, good


class Started(BaseException):
    """A process would be started."""


@pytest.fixture
def throw(place, monkeypatch):
    """Gives something to an option: `throw(option, path)` is the line on stderr, or None where a run would be started, or what was given is taken."""
    folder, good = place
    monkeypatch.setenv("LANCET_WORKSPACE", str(folder / "workspace"))
    monkeypatch.setattr("lancet_core.files.SMALL_ARCHIVE_BYTES", 1_000_000)

    def start(*_arguments, **_keywords):
        raise Started

    def fetch(name):
        raise fingerprints.ModelError(f"no model {name} on the Hub")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(fingerprints, "_fetch", fetch)

    def call(option, path):
        arguments = [part.format(given=path, **good) for part in READ[option]]
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            try:
                code = run(arguments)
            except Started:
                return None
        told = errors.getvalue()
        if code == 0 and option in TAKEN:
            return None
        assert code == 2, told
        assert told.startswith("error: "), told
        assert told.count("\n") == 1, told
        assert told.endswith("\n"), told
        return told

    return call


def lay(folder, name, content):
    """Puts content at a path: bytes, or what a callable makes there."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return path


def _device(path):
    path.symlink_to("/dev/zero")


SPECIAL = {
    "a pipe": os.mkfifo,
    "an endless device": _device,
    "a link to itself": lambda path: path.symlink_to(path),
    "a folder of that name": Path.mkdir,
    "a file that cannot be read": lambda path: path.symlink_to("/proc/self/mem"),
}


@pytest.mark.parametrize("option", READ, ids=" ".join)
def test_a_broken_file_is_one_line_and_starts_nothing(throw, option, tmp_path):
    for number, content in enumerate([*CONTENTS.values(), *SPECIAL.values()]):
        for ending in ENDINGS[:1] if option in MODELS else ENDINGS:
            packed = gzip.compress(content) if isinstance(content, bytes) and number % 2 else content
            path = lay(tmp_path / str(number), f"rows{ending}", packed if ending.endswith("gz") else content)
            assert throw(option, path) is not None or option == LOOK, (ending, content)


@pytest.mark.parametrize("option", READ, ids=" ".join)
def test_a_broken_folder_is_one_line_and_starts_nothing(throw, option, tmp_path):
    for number, content in enumerate([*CONTENTS.values(), *SPECIAL.values()]):
        folder = tmp_path / str(number)
        for part in PARTS:
            lay(folder, part, content)
        assert throw(option, folder) is not None or option == LOOK, content
    assert throw(option, tmp_path / "nowhere.jsonl") is not None
    assert throw(option, tmp_path / ("x" * 300)) is not None


BROKEN_PARTS = {
    name: {**CONTENTS, **SPECIAL}[name]
    for name in ("no text", "deep", "half a surrogate pair", "a list", "a pipe", "an endless device")
}


@pytest.mark.parametrize("part", PARTS[:7])
@pytest.mark.parametrize("option", MODELS, ids=" ".join)
def test_one_broken_part_of_a_model_is_one_line_and_starts_nothing(throw, place, option, part, tmp_path):
    for name, content in BROKEN_PARTS.items():
        folder = shutil.copytree(place[1]["model"], tmp_path / name)
        if "scorer" in option[1]:
            (folder / "scorer.json").write_text('{"higher_is": "harmful"}')
        if part == "adapter_config.json":
            (folder / "config.json").unlink()
        (folder / part).unlink(missing_ok=True)
        lay(folder, part, content)
        told = throw(option, folder)
        assert told is not None or (part == "scorer.json" and "scorer" not in option[1])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([
    "prompt", "response", "instruction", "output", "input", "messages", "is_safe", "category", "chosen", "rejected",
    "polarity", "group", "span", "split", "kind", "label", "reference", "positive", "negative", "influence", "higher_is",
    "mean", "std", "reference", "known_categories", "_data_files", "base_model_name_or_path", "weight_map",
])  # fmt: skip
ROWS = st.lists(
    st.dictionaries(NAMES, VALUES | st.just("\n\nHuman: a\n\nAssistant: b"), max_size=5), max_size=4
)


def _as(ending, rows):
    if ending == ".json":
        return json.dumps(rows).encode()
    if ending == ".csv":
        return "\n".join(
            ",".join(map(str, row.values())) for row in [{"h": "prompt,response"}, *rows]
        ).encode("utf-8", "surrogatepass")
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    return gzip.compress(lines) if ending.endswith("gz") else lines


@pytest.mark.parametrize("option", READ, ids=" ".join)
def test_thrown_bytes_and_rows_end_with_one_line(throw, option, tmp_path):
    written = []

    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(ending=st.sampled_from([*ENDINGS, ""]), content=st.binary(max_size=200) | ROWS)
    def thrown(ending, content):
        content = content if isinstance(content, bytes) else _as(ending, content)
        folder = tmp_path / str(len(written))
        written.append(folder)
        if ending:
            throw(option, lay(folder, f"rows{ending}", content))
            return
        for part in PARTS:
            lay(folder, part, content)
        throw(option, folder)

    thrown()
