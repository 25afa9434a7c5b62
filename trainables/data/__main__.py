"""`python -m trainables.data check ROOT`: which data sets are there, and can they be used?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trainables.data import check


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainables.data", description="The data sets on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    check.add_arguments(commands.add_parser("check", help="look through the data sets under a data root"))
    return check.run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
