"""The real worker with an operation that tests can steer."""

import sys

from lancet_core.runs.operations import Operation
from lancet_core.runs.worker import main

OPERATIONS = {
    "count": Operation("tests.runs.fake_operation", "tests.runs.fake_operation:FakeConfig", warm=True),
    "train": Operation("tests.runs.fake_operation", "tests.runs.fake_operation:FakeConfig"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], OPERATIONS))
