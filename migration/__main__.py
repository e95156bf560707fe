"""`python -m migration`: checkpoints and moves of this machine's process trees, for experiments."""

from __future__ import annotations

import sys

from migration.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
