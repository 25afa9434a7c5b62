"""`python -m study.storage list|size|prune --storage URI`: lists and deletes the stored stages of studies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis.terminal import show_error, show_table
from study.environment import Environment
from trainables.config import STORAGE_VARIABLE, ConfigError
from trainables.store import StageStore
from trainables.store.inventory import Entry, delete, entries

_DAY = 86400.0


PROGRAM = "python -m study.storage"


def main(arguments: Sequence[str] | None = None, prog: str = PROGRAM) -> int:
    """Returns 0, or 2 after one line on standard error that says what is wrong."""
    parser = argparse.ArgumentParser(prog=prog)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        storage = options.storage or Environment().storage
        if storage is None:
            raise ConfigError(f"--storage: give the storage of a study, a directory or URI (or {STORAGE_VARIABLE})")
        store = StageStore(storage)
        found = entries(store)
        stages = sorted({entry.stage for entry in found})
        if options.stage is not None and options.stage not in stages:
            raise ConfigError(f"--stage {options.stage}: not in {storage}; there are: {', '.join(stages)}")
        chosen = [entry for entry in found if options.stage in (None, entry.stage)]
        if options.command == "list":
            _list(chosen)
        elif options.command == "size":
            _totals(chosen)
        else:
            _prune(store, chosen, options)
        return 0
    except ConfigError as error:
        show_error(str(error))
        return 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands of the store."""
    parser.description = "Stored stages of studies."
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|size|prune")
    for name, meaning in (
        ("list", "every stage, its size, age, the seconds it took and its state"),
        ("size", "totals of each stage"),
        ("prune", "delete stages that nobody works on; without --yes it only says which"),
    ):
        command = commands.add_parser(name, help=meaning, description=meaning)
        command.add_argument("--storage", metavar="URI", help=f"a directory or URI (or {STORAGE_VARIABLE})")
        command.add_argument("--stage", metavar="NAME", help="this stage only")
    command.add_argument("--older-than", type=float, metavar="DAYS", help="what was last written before that")
    command.add_argument("--unused-by", metavar="TRACKING_URI", help="what no run in this MLflow store was made of")
    command.add_argument("--damaged", action="store_true", help="only what is damaged or abandoned")
    command.add_argument("--yes", action="store_true", help="delete; without it nothing is touched")


def _prune(store: StageStore, found: list[Entry], options: argparse.Namespace) -> None:
    if options.older_than is None and options.unused_by is None and options.stage is None and not options.damaged:
        raise ConfigError("prune: say what, with --older-than, --unused-by, --damaged or --stage")
    if options.older_than is not None and not options.older_than >= 0:
        raise ConfigError(f"--older-than {options.older_than:g}: give a number of days, 0 or more")
    used = _used(options.unused_by)
    working = {(entry.stage, entry.key) for entry in found if entry.state == "in work"}
    chosen = [
        entry
        for entry in found
        if (entry.stage, entry.key) not in working
        and (options.older_than is None or entry.age > options.older_than * _DAY)
        and (entry.state == "damaged" or entry.key not in used)
        and (entry.state != "done" or not options.damaged)
    ]
    if options.unused_by is None and options.stage is None:
        models = [entry for entry in chosen if entry.anonymizer]
        chosen = [entry for entry in chosen if not entry.anonymizer]
        if models:
            print(
                f"kept {_amount(models)} with trained anonymizers, which records in MLflow may name: to delete them too, say"
                " --unused-by TRACKING_URI or --stage NAME"
            )
    if not options.yes:
        if chosen:
            _list(chosen)
        print(f"would delete {_amount(chosen)}; add --yes to do it")
    else:
        deleted = [entry for entry in chosen if delete(store, entry)]
        print(f"deleted {_amount(deleted)}")
        if len(deleted) < len(chosen):
            print(f"kept {len(chosen) - len(deleted)} that a worker has claimed meanwhile")
    if working:
        print(f"kept what live workers hold: {', '.join(sorted(f'{stage} {key}' for stage, key in working))}")


def _used(tracking_uri: str | None) -> set[str]:
    if tracking_uri is None:
        return set()
    from study.records.tracking import stage_keys_in_use

    used = stage_keys_in_use(tracking_uri)
    print(f"{tracking_uri}: its runs are made of {len(used)} stages, which are kept")
    return used


def _list(found: list[Entry]) -> None:
    rows = [
        (
            entry.stage,
            entry.key,
            _size(entry.size),
            _age(entry.age),
            "" if entry.seconds is None else f"{entry.seconds:.1f}",
            f"in work by {entry.holder}" if entry.holder else entry.state,
        )
        for entry in found
    ]
    show_table(("stage", "key", "size", "age", "seconds", "state"), rows)


def _totals(found: list[Entry]) -> None:
    rows = []
    for stage in (*sorted({entry.stage for entry in found}), None):
        mine = [entry for entry in found if stage in (None, entry.stage)]
        done, other = ([e for e in mine if (e.state == "done") is wanted] for wanted in (True, False))
        seconds = sum(entry.seconds or 0.0 for entry in done)
        sizes = [_size(sum(entry.size for entry in part)) for part in (done, other)]
        rows.append((stage or "all", str(len(done)), sizes[0], f"{seconds:.1f}", str(len(other)), sizes[1]))
    show_table(("stage", "done", "size", "seconds", "other", "size of other"), rows)


def _amount(found: list[Entry]) -> str:
    return f"{len(found)} entries, {_size(sum(entry.size for entry in found))}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _age(seconds: float) -> str:
    for unit, length in (("d", _DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
