import pytest

from lancet_core.cli.main import run


@pytest.fixture
def lancet(tmp_path, monkeypatch, capfd):
    """Calls a command in this process: `lancet("study", "list")` gives exit code, stdout and stderr."""
    monkeypatch.setenv("LANCET_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call
