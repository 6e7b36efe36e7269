"""`python -m tinkery_local` is `tinkery-local`."""

import sys

from tinkery_local.cli import main

if __name__ == "__main__":
    sys.exit(main())
