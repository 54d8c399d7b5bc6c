import pytest


@pytest.fixture
def place(tmp_path):
    """Where commands are called; a module with a `place` of its own keeps it, and the workspace in it, for all its tests."""
    return tmp_path
