"""The real worker with an operation that tests can steer."""

import sys

from lancet_core.jobs.operations import Operation
from lancet_core.jobs.worker import main

OPERATIONS = {
    "count": Operation("tests.jobs.fake_operation", "tests.jobs.fake_operation:FakeConfig", warm=True),
    "train": Operation("tests.jobs.fake_operation", "tests.jobs.fake_operation:FakeConfig"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], OPERATIONS))
