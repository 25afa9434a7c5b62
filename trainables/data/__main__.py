"""`python -m trainables.data`: `check ROOT` looks through data sets, `init ROOT` makes one, `generate ROOT` draws one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from trainables.config import ConfigError
from trainables.data import check, init
from trainables.data.generated import MOTIONS, GeneratedSpec, ensure
from trainables.plugins import add_plugin_argument, load_named

PROGRAM = "python -m trainables.data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands of the data sets."""
    parser.description = "The data sets on this machine."
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="look through the data sets under a data root")
    check.add_arguments(checking)
    add_plugin_argument(checking, "data sets of your own")
    init.add_arguments(commands.add_parser("init", help="make clips.csv of your own videos: lists, persons, attributes"))
    _add_generate(commands.add_parser("generate", help="make a data set with known truth; prints its data root"))


def main(argv: Sequence[str] | None = None, prog: str = PROGRAM) -> int:
    parser = argparse.ArgumentParser(prog=prog)
    add_arguments(parser)
    options = parser.parse_args(argv)
    try:
        load_named(getattr(options, "plugin", []))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return {"check": check.run, "init": init.run, "generate": _generate}[options.command](options)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, help="where; the same parameters are made only once")
    for field in fields(GeneratedSpec):
        kind = {"type": int} if isinstance(field.default, int) else {"choices": sorted(MOTIONS)}
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", default=field.default, help=f"default: {field.default}", **kind
        )


def _generate(options: argparse.Namespace) -> int:
    try:
        spec = GeneratedSpec(**{field.name: getattr(options, field.name) for field in fields(GeneratedSpec)})
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(ensure(options.root.absolute(), spec))
    return 0


if __name__ == "__main__":
    sys.exit(main())
