"""The real forwarder, in front of a host that cannot start."""

import sys

from lancet_core.runs import client
from lancet_core.runs.forward import main

if __name__ == "__main__":
    client.HOST_MODULE = "lancet_core.no_such_module"
    sys.exit(main(sys.argv[1:]))
