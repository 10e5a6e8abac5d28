"""`python -m curator_executor`: the same as `curator`."""

import sys

from curator_executor.cli import main

if __name__ == "__main__":
    sys.exit(main())
