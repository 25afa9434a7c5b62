"""The study: `python study/run.py --space NAME`, by itself or as `ray job submit -- python study/run.py --space NAME`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # the root takes the place of this directory, in which `study` would be the module study.py
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from search_spaces.profiles import PROFILES
from search_spaces.registry import load_spaces
from study.options import read_options
from study.study import Study
from trainables.config import ConfigError
from trainables.data.items import DataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 if every trial is done, 1 if one is not, and 2, after one line on standard error, for what cannot run."""
    try:
        options = read_options(arguments)
        if options.show_list:
            return list_spaces()
        if options.show_status:
            from study.records.status import show_status

            return show_status(options)
        study = Study(options)
        if options.dry_run:
            from study.dry_run import dry_run

            return dry_run(study)
        return study.run()
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def list_spaces() -> int:
    """Prints every space with the question it answers, and every profile."""
    spaces = load_spaces()
    for name in spaces:
        space = spaces[name]
        print(f"{name:24} {len(space.settings):3} settings  {space.source}: {space.question}")
    print()
    for name in PROFILES:
        print(f"--profile {name:14} {PROFILES[name].meaning}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
