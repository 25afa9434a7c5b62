"""The study: `python study/run.py --space NAME`, by itself or as `ray job submit -- python study/run.py --space NAME`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # started as a script, its sibling packages are not on the path

from search_spaces.plan import parse_seeds, plan_study
from search_spaces.profiles import PROFILES
from search_spaces.registry import load_spaces
from study.schedule.resources import Size
from study.schedule.search import with_sampler
from trainables.config import DATA_ROOT_VARIABLE, STORAGE_VARIABLE, ConfigError, parse_setting
from trainables.data.items import DataError
from trainables.plugins import load_plugins, read_plugins

AUTO = "auto"
TRACKING_URI_VARIABLE, NODES_COME_LATER_VARIABLE = "MLFLOW_TRACKING_URI", "ANONYMIZATION_NODES_COME_LATER"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        plugins = read_plugins(options.plugin)
        load_plugins(plugins)
        if options.list:
            _list_spaces()
            return 0
        tracking_uri = options.tracking_uri or os.environ.get(TRACKING_URI_VARIABLE)
        storage = options.storage or os.environ.get(STORAGE_VARIABLE) or "results"
        if options.status:
            from study.backend.job import results_directory
            from study.records.status import status

            if "://" not in storage:
                storage = str(results_directory() / storage)
            return status(tracking_uri or f"sqlite:///{storage}/mlflow.db", options.space, storage)
        if options.space is None:
            raise ConfigError("--space: give the name of a space; --list shows them")
        overrides = dict(parse_setting(text) for text in options.set)
        if options.attacks is not None:
            overrides["attacks.names"] = options.attacks
        plan = plan_study(options.space, options.profile, parse_seeds(options.seeds), overrides)
        if options.sampler is not None or options.trials is not None:
            if plan.search is None:
                raise ConfigError(f"--sampler and --trials are for searches; {plan.space} is a grid")
            plan = replace(plan, search=with_sampler(plan.search, options.sampler, options.trials))
        pack = options.gpus_per_trial == AUTO
        from study.dry_run import Prices, dry_run
        from study.study import Launch, launch

        profile = PROFILES[options.profile]
        where = Launch.of(
            plan,
            generated=profile.generated,
            data_root=options.data_root or (None if profile.generated else os.environ.get(DATA_ROOT_VARIABLE)),
            storage=storage,
            tracking_uri=tracking_uri,
            cpus=profile.cpus if options.cpus_per_trial is None else options.cpus_per_trial,
            gpus=1.0 if pack else profile.gpus if options.gpus_per_trial is None else options.gpus_per_trial,
            pack=pack,
            max_concurrent=options.max_concurrent,
            plugins=plugins,
            sizes=tuple(Size.of(text) for text in options.gpus_for),
            match_cpus=options.cpus_per_trial is None,
            gpu_memory=options.gpu_memory,
            fresh=options.fresh,
            nodes_come_later=options.nodes_come_later or bool(os.environ.get(NODES_COME_LATER_VARIABLE)),
        )
        if options.dry_run:
            return dry_run(plan, where, Prices.of(options.seconds_per_step, options.price_per_gpu_hour))
        return launch(plan, where)
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python study/run.py", description="Runs every trial of a search space.")
    parser.add_argument("--space", metavar="NAME", help="which space; run it again to continue it")
    parser.add_argument("--list", action="store_true", help="show all spaces and profiles")
    parser.add_argument("--status", action="store_true", help="how the studies in MLflow stand (with --space: this one's)")
    parser.add_argument("--dry-run", action="store_true", help="show trials, what each varies, resources; start nothing")
    parser.add_argument(
        "--profile", default="paper", help="paper: the published recipe; small: for CPUs; generated: the same on generated data"
    )
    parser.add_argument("--data-root", metavar="DIR", help=f"directory of the data sets (or {DATA_ROOT_VARIABLE})")
    parser.add_argument(
        "--storage",
        metavar="DIR|URI",
        help=f"stages, shared by all workers: a directory, s3://, gs:// (or {STORAGE_VARIABLE}; default: results)",
    )
    parser.add_argument(
        "--tracking-uri", metavar="URI", help=f"MLflow (or {TRACKING_URI_VARIABLE}; default: SQLite in the storage)"
    )
    parser.add_argument("--seeds", default="1", metavar="N|LIST", help="how many seeds, or a list such as 0,3,5 (default: 1)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one field of every trial")
    parser.add_argument(
        "--attacks", metavar="NAMES", help="who attacks each anonymizer: standard, all, none, or names (default: the space's)"
    )
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="your own spaces, methods, networks or data sets"
    )
    parser.add_argument(
        "--seconds-per-step", action="append", default=[], metavar="STAGE=S", help="for --dry-run: where nothing was measured"
    )
    parser.add_argument("--price-per-gpu-hour", type=float, metavar="P", help="for --dry-run: what it would cost")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start over under a new study: the records so far are kept as `SPACE until TIME`; stored stages are used where"
        " nothing that they depend on has changed (to compute them again, give another --storage)",
    )
    parser.add_argument("--sampler", metavar="NAME", help="for a search: tpe, nsga2 or random (default: the space's)")
    parser.add_argument("--trials", type=int, metavar="N", help="for a search: how many points (default: the space's)")
    parser.add_argument(
        "--cpus-per-trial",
        type=float,
        metavar="N",
        help="CPU cores of a trial (default: the profile's; where trials have GPUs: the nodes' cores, shared out among them)",
    )
    parser.add_argument(
        "--gpus-per-trial",
        type=lambda text: text if text == AUTO else float(text),
        metavar="N",
        help="GPUs of a trial; a fraction lets trials share one, more than one share its batches (default: the profile's);"
        " auto: as many trials share one as its memory and speed allow, measured at the start",
    )
    parser.add_argument(
        "--gpus-for",
        action="append",
        default=[],
        metavar="KEY=VALUE:GPUS[:KIND]",
        help="GPUs, and which kind (A100, H100, ...), for trials with this setting",
    )
    parser.add_argument("--gpu-memory", type=float, metavar="GIB", help="what a trial needs; asked of every node at the start")
    parser.add_argument(
        "--nodes-come-later",
        action="store_true",
        help=f"the cluster grows by itself: do not ask for a node that can hold a trial (or {NODES_COME_LATER_VARIABLE})",
    )
    parser.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: as many as fit)")
    return parser


def _list_spaces() -> None:
    spaces = load_spaces()
    for name in spaces:
        space = spaces[name]
        print(f"{name:24} {len(space.settings):3} settings  {space.source}: {space.question}")
    print()
    for name in PROFILES:
        print(f"--profile {name:14} {PROFILES[name].meaning}")


if __name__ == "__main__":
    sys.exit(main())
