"""The real worker with acts that tests can steer."""

import sys

from lancet_core.acts.table import Act
from lancet_core.runs.worker import main
from tests.runs.fake_operation import Counted, FakeRequest

FAKE_ACTS = {
    name: Act(name.capitalize(), "Counting", FakeRequest, Counted, "tests.runs.fake_operation", warm=warm)
    for name, warm in (("count", True), ("train", False))
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], FAKE_ACTS))
