"""The arguments of `python study/run.py`, in groups; `study.options` makes one validated model of them."""

from __future__ import annotations

import argparse
from typing import Literal, NoReturn

from study.environment import NODES_COME_LATER_VARIABLE, TRACKING_URI_VARIABLE
from study.schedule.gpus import DEFAULT_GPU, GPUS, MEASURED_SHARE
from trainables.config import DATA_ROOT_VARIABLE, STORAGE_VARIABLE, ConfigError
from trainables.data.verify import DEPTHS
from trainables.versions import project_version

PROGRAM = "python study/run.py"
AUTO: Literal["auto"] = "auto"
_EPILOG = """\
exit codes:
  0    every trial is done (or what was asked for instead was shown)
  1    a trial has failed, was stopped or lost, or records wait for MLflow
  2    the study cannot run as it was asked for; one line says why
  130  it was stopped before or after its trials

examples:
  %(prog)s --list
  %(prog)s --space demo --profile generated --storage demo
  %(prog)s --space ablation_B --data-root /data --dry-run
  %(prog)s --space ablation_B --data-root /data --storage /shared/results --seeds 3
  %(prog)s --space ablation_B --data-root /data --storage /shared/results --seeds 3 --only raw --only 'B=0.3 lambda=1 seed=2'
  %(prog)s --space ablation_B --status --storage /shared/results

The same command again continues where the last one ended.
"""


class _Parser(argparse.ArgumentParser):
    """Raises ConfigError, one line, for what it cannot parse, instead of a page of options."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message.removeprefix('argument ')} (--help shows the options)")


def command_line(prog: str = PROGRAM) -> argparse.ArgumentParser:
    """The parser of a study's options."""
    parser = _Parser(prog=prog)
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a study, in groups, with its exit codes and examples."""
    parser.description = "Runs every trial of a search space."
    parser.epilog, parser.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--version", action="version", version=project_version())
    _add_what(parser.add_argument_group("what is studied"))
    _add_which(parser.add_argument_group("which of its trials"))
    _add_instead(parser.add_argument_group("instead of running it"))
    _add_orders(parser.add_argument_group("to one that runs, from another terminal (its --space, --profile and places)"))
    _add_where(parser.add_argument_group("where things are kept"))
    _add_machines(parser.add_argument_group("what a trial is given"))
    _add_search(parser.add_argument_group("a search"))
    _add_costs(parser.add_argument_group("what --dry-run reckons with"))


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--space", metavar="NAME", help="which space; run it again to continue it")
    group.add_argument(
        "--profile", default="paper", help="paper: the published recipe; small: for CPUs; generated: the same on generated data"
    )
    group.add_argument("--data-root", metavar="DIR", help=f"directory of the data sets (or {DATA_ROOT_VARIABLE})")
    group.add_argument("--seeds", default="1", metavar="N|LIST", help="how many seeds, or a list such as 0,3,5 (default: 1)")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one field of every trial")
    group.add_argument(
        "--attacks", metavar="NAMES", help="who attacks each anonymizer: standard, all, none, or names (default: the space's)"
    )
    group.add_argument(
        "--at-size",
        metavar="PIXELS",
        help="the same anonymizers, not trained again, where they work on frames of this size (128, or 128x128: clips are"
        " square): evaluated and attacked anew there, as trials of their own",
    )
    group.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="your own spaces, methods, networks or data sets"
    )
    group.add_argument(
        "--verify",
        choices=DEPTHS,
        default="headers",
        help="before the first trial, of every file of the data: open it (headers, the default), decode it, or none",
    )


def _add_which(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="LABEL[,LABEL]",
        help="these settings, or trials (a setting with its seed), and no others; --dry-run lists the names of the trials",
    )
    group.add_argument("--first", action="append", default=[], metavar="LABEL[,LABEL]", help="these before all others")
    group.add_argument(
        "--stop-early",
        action="store_true",
        help="trials that cannot win end early: those whose anonymizer, while it is trained, is surpassed in accuracy and"
        " leakage on validation data; run again without it, they go on",
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="those that have failed, and no others; without it they are retried too"
    )
    group.add_argument(
        "--fresh",
        action="store_true",
        help="start over under a new study: the records so far are kept as `SPACE until TIME`; stored stages are used where"
        " nothing that they depend on has changed (to compute them again, give another --storage)",
    )


def _add_instead(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--list", action="store_true", help="show all spaces and profiles")
    group.add_argument("--status", action="store_true", help="how the studies in MLflow stand (with --space: this one's)")
    group.add_argument("--dry-run", action="store_true", help="show trials, what each varies, resources; start nothing")


def _add_orders(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="LABEL[,LABEL]",
        help="these settings or trials end, what they have done is saved, and the others go on; its next start takes them up",
    )
    group.add_argument(
        "--next", action="append", default=[], metavar="LABEL[,LABEL]", help="those of these that wait start before all others"
    )


def _add_where(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--storage",
        metavar="DIR|URI",
        help=f"stages, shared by all workers: a directory, s3://, gs:// (or {STORAGE_VARIABLE}; default: results)",
    )
    group.add_argument(
        "--tracking-uri", metavar="URI", help=f"MLflow (or {TRACKING_URI_VARIABLE}; default: SQLite in the storage)"
    )


def _add_machines(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--cpus-per-trial",
        type=float,
        metavar="N",
        help="CPU cores of a trial (default: the profile's; where trials have GPUs: the nodes' cores, shared out among them)",
    )
    group.add_argument(
        "--gpus-per-trial",
        type=_gpus,
        metavar="N",
        help="GPUs of a trial; a fraction lets trials share one, more than one share its batches (default: the profile's);"
        " auto: as many trials share one as its memory and speed allow, measured at the start",
    )
    group.add_argument(
        "--gpus-for",
        action="append",
        default=[],
        metavar="KEY=VALUE:GPUS[:KIND]",
        help="GPUs, and which kind (A100, H100, ...), for trials with this setting",
    )
    group.add_argument("--gpu-memory", type=float, metavar="GIB", help="what a trial needs; asked of every node at the start")
    group.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: as many as fit)")
    group.add_argument(
        "--nodes-come-later",
        action="store_true",
        help=f"the cluster grows by itself: do not ask for a node that can hold a trial (or {NODES_COME_LATER_VARIABLE})",
    )


def _add_search(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--sampler", metavar="NAME", help="gp, tpe, nsga2 or random (default: the space's)")
    group.add_argument("--axes", default="", metavar="KEY,...", help="what is searched (default: the axes of the space)")
    group.add_argument("--trials", type=int, metavar="N", help="how many points (default: the space's)")


def _add_costs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--seconds-per-step", action="append", default=[], metavar="STAGE=S", help="of a stage that was never measured"
    )
    group.add_argument("--gpu", default=DEFAULT_GPU, metavar="NAME", help=f"on which steps are traced, of {', '.join(GPUS)}")
    group.add_argument(
        "--share-of-peak",
        type=float,
        default=MEASURED_SHARE,
        metavar="S",
        help=f"the share of a GPU's peak that traced steps reach (default: {MEASURED_SHARE:g}, as measured)",
    )
    group.add_argument("--price-per-gpu-hour", type=float, metavar="P", help="what it would cost")


def _gpus(text: str) -> float | str:
    try:
        return text if text == AUTO else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number, such as 0.5 or 2, or auto") from None
