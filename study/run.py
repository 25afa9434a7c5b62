"""The study: `python study/run.py --space NAME`, by itself or as `ray job submit -- python study/run.py --space NAME`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # the root takes the place of this directory, in which `study` would be the module study.py
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from analysis.terminal import show_error, show_table
from search_spaces.profiles import PROFILES
from search_spaces.registry import load_spaces
from study.command_line import PROGRAM
from study.options import Options, read_options
from study.study import Study
from trainables.config import ConfigError
from trainables.data.items import DataError


def main(arguments: Sequence[str] | None = None, prog: str = PROGRAM) -> int:
    """Returns 0 if every trial is done, 1 if one is not, 2, after one line on standard error, for what cannot run, and 130 if
    it was stopped before or after its trials.
    """
    try:
        options = read_options(arguments, prog)
        if (instead := _instead(options)) is not None:
            return instead
        study = Study(options)
        if options.dry_run:
            from study.dry_run import dry_run

            return dry_run(study)
        code = study.run()
        if study.interrupted:
            print(f"stopped; to continue: {same_command(arguments, prog)}")
        return code
    except (ConfigError, DataError) as error:
        show_error(str(error))
        return 2
    except KeyboardInterrupt:
        show_error(f"stopped; to continue: {same_command(arguments, prog)}")
        return 130


def _instead(options: Options) -> int | None:
    """Does what the options ask for instead of a study that is planned anew; None if they ask for nothing of the kind."""
    if options.show_list:
        return list_spaces()
    if options.show_status:
        from study.records.status import show_status

        return show_status(options)
    if options.skip or options.next:
        from study.records.orders import give_orders

        return give_orders(options)
    return None


def same_command(arguments: Sequence[str] | None, prog: str) -> str:
    """The command as a shell takes it."""
    return shlex.join([*prog.split(), *(sys.argv[1:] if arguments is None else arguments)])


def list_spaces() -> int:
    """Prints every space with the question it answers, and every profile."""
    spaces = load_spaces()
    rows = [(name, str(len(spaces[name].settings)), f"{spaces[name].source}: {spaces[name].question}") for name in spaces]
    show_table(("space", "settings", "what it answers"), rows, right=("settings",))
    print()
    show_table(("profile", "what it means"), [(f"--profile {name}", PROFILES[name].meaning) for name in PROFILES])
    return 0


if __name__ == "__main__":
    sys.exit(main())
