"""What a person can mend ends with 2 and one line that begins with `error:`, never with a traceback."""

import json
import socket

import pytest

from lancet_core.cli import main
from lancet_core.errors import Cancelled
from tests.written_rows import plain_rows, write_lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "No such command 'fly'"),
        ([], "Missing command"),
        (["study", "create"], "Missing argument"),
        (["study", "list", "--depth", "3"], "No such option: --depth"),
        (["attribute", "x", "--method", "guess"], "guess"),
        (["attribute", "x", "--damping", "-1"], "greater than or equal to 0"),
        (["attribute", "x", "--factor-samples", "most"], "'most' is no amount"),
        (["study", "show", "nothing"], "there is no study 'nothing'"),
        (["runs", "show", "nothing"], "there is no run 'nothing'"),
        (["runs", "cancel", "nothing"], "there is no run 'nothing'"),
        (["pairs", "decide", "nothing", "approve"], "there is no pair 'nothing'"),
        (["pairs", "export", "nothing", "file.jsonl"], "there is no study 'nothing'"),
        (["generate", "nothing", "--prompt", "Hello"], "there is no study 'nothing'"),
        (["app", "--host", "256.0.0.1"], "cannot listen"),
        (["generate", "x", "--prompt", "\udcff"], "there is no study 'x'"),
    ],
)
def test_a_wrong_command_line_is_one_line(lancet, arguments, words):
    code, out, err = lancet(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_workspace_that_cannot_be_made_is_told(lancet, tmp_path):
    (tmp_path / "file").write_text("")
    code, _out, err = lancet("study", "list", "--workspace", tmp_path / "file" / "inside")
    assert code == 2
    assert "cannot be used" in err


def test_a_port_in_use_is_told(lancet):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _out, err = lancet("app", "--port", taken.getsockname()[1])
    assert code == 2
    assert "--port" in err


def test_lists_are_json_documents(lancet):
    assert json.loads(lancet("study", "list", "--json")[1]) == []
    assert json.loads(lancet("runs", "list", "--json")[1]) == []
    assert "no study yet" in lancet("study", "list")[1]


CREATE = ("study", "create", "mine")


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ('{"prompt": "a"}\n', "no row that can be used|columns prompt"),
        ('{"prompt": \n', "line 1 has broken JSON"),
        ("", "is empty"),
        ('{"prompt": " ", "response": "b"}\n', "prompt is empty"),
    ],
)
def test_a_wrong_training_file_leaves_no_study(lancet, tmp_path, tiny_model_folder, train, words):
    path = tmp_path / "train.jsonl"
    path.write_text(train)
    code, _out, err = lancet(*CREATE, "--model", tiny_model_folder(), "--train", path)
    assert code == 2
    assert any(word in err for word in words.split("|"))
    assert json.loads(lancet("study", "list", "--json")[1]) == []
    assert not (tmp_path / "workspace" / "studies" / "mine").exists()


def test_models_that_must_not_be_loaded_are_refused(lancet, tmp_path):
    train = write_lines(tmp_path / "train.jsonl", plain_rows(4))
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"pickle")
    for model, words in ((tmp_path / "nowhere", "no model folder"), (pickled, "safetensors")):
        code, _out, err = lancet(*CREATE, "--model", model, "--train", train)
        assert code == 2
        assert words in err


def test_a_scorer_without_card_is_refused(lancet, tmp_path, tiny_model_folder):
    train = write_lines(tmp_path / "train.jsonl", plain_rows(4))
    given = ("--model", tiny_model_folder(), "--train", train, "--harmful-scorer", tiny_model_folder())
    code, _out, err = lancet(*CREATE, *given)
    assert code == 2
    assert "scorer.json" in err


def test_a_name_that_is_no_name_is_refused(lancet, tmp_path, tiny_model_folder):
    train = write_lines(tmp_path / "train.jsonl", plain_rows(4))
    code, _out, err = lancet("study", "create", "../up", "--model", tiny_model_folder(), "--train", train)
    assert code == 2
    assert "cannot name a study" in err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/a/b"), "/a/b cannot be used: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (IsADirectoryError(21, "Is a directory", b"/a"), "/a cannot be used: Is a directory"),
        (OSError("nothing known"), "nothing known"),
        (MemoryError(), "not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deep"),
        (
            UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates not allowed"),
            "'\\udcff', which is no Unicode",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_file_or_machine_refuses_is_one_line(lancet, monkeypatch, error, words):
    def refuse(**_named):
        raise error

    monkeypatch.setattr(main.studies, "list_studies", refuse)
    code, out, err = lancet("study", "list")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "cancelled"),
        (Cancelled(), "cancelled"),
        (Cancelled("the run was stopped"), "the run was stopped"),
    ],
)
def test_a_command_that_was_stopped_ends_with_130(lancet, monkeypatch, error, words):
    def stop(**_named):
        raise error

    monkeypatch.setattr(main.studies, "list_studies", stop)
    assert lancet("study", "list") == (130, "", f"{words}\n")
