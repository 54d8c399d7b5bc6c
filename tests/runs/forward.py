"""The real forwarder, in front of the host with the fake engine."""

import sys

from lancet_core.runs import client
from lancet_core.runs.forward import main

if __name__ == "__main__":
    client.HOST_MODULE = "tests.runs.fake_host"
    sys.exit(main(sys.argv[1:]))
