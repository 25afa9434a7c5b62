"""`python -m trainables --config trial.yaml --out DIR`: one trial without Ray or MLflow."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from trainables.config import DATA_ROOT_VARIABLE, ConfigError, Runtime, load_trial, parse_setting, with_values
from trainables.data.generated import GeneratedSpec, ensure
from trainables.data.items import DataError
from trainables.plugins import add_plugin_argument, blamed, load_named

PROGRAM = "python -m trainables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of one trial."""
    parser.description = "Runs one trial, without Ray or MLflow, and writes its record."
    parser.add_argument("--config", required=True, help="YAML file of a trial; what it leaves out is the paper's recipe")
    parser.add_argument("--out", required=True, help="directory for the record and the stages; run again to continue")
    parser.add_argument("--data-root", help=f"directory of the data sets (or {DATA_ROOT_VARIABLE}; default: generated data)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--workers", type=int, default=0, help="decoding processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--ranks", type=int, default=1, metavar="N", help="processes that share every batch, one a GPU")
    add_plugin_argument(parser, "your own methods, networks or data sets")


def main(arguments: Sequence[str] | None = None, prog: str = PROGRAM) -> int:
    parser = argparse.ArgumentParser(prog=prog)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return _run(options)
    except (ConfigError, DataError, ArithmeticError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if not (at := blamed(error)):
            raise
        print(f"error: {at}: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    load_named(options.plugin)
    config = with_values(load_trial(options.config), dict(parse_setting(text) for text in options.set))
    out = Path(options.out).absolute()
    data_root = options.data_root or os.environ.get(DATA_ROOT_VARIABLE)
    if data_root is None:
        data_root = ensure(out / "generated", GeneratedSpec())
        print(f"no --data-root: on generated data, {data_root}", flush=True)
    runtime = Runtime(
        data_root=str(Path(data_root).absolute()),
        storage=str(out),
        device=options.device,
        precision=options.precision,
        workers=options.workers,
        threads=options.threads,
        ranks=max(1, options.ranks),
    )
    from trainables.models.check import check_weights
    from trainables.pipeline import run_trial
    from trainables.stages import RAW_ACTION

    check_weights(config)
    record, outcomes = run_trial(config, runtime, Terminal())
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    (out / "record.json").write_text(record.to_json())
    for role, outcome in outcomes.items():
        for name, content in outcome.files.items() if role != RAW_ACTION else ():  # another trial's
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
    for note in record.notes:
        print(f"note: {note}")
    print("  ".join(f"{name} {value:.3f}" for name, value in record.metrics.items() if "." not in name))
    print(f"record: {out / 'record.json'}")
    return 0


class Terminal:
    """Progress on standard output, one line an epoch."""

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        figures = "  ".join(f"{name} {value:.4f}" for name, value in history[-1].items())
        print(f"{stage} {len(history)}/{epochs}  {figures}", flush=True)

    def waiting(self, stage: str, holder: str) -> None:
        print(f"{stage}: another process computes it ({holder}); waiting", flush=True)

    def finished(self, stage: object, outcome: object, reused: bool) -> None:
        if reused:
            print(f"{stage.name}: found done", flush=True)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
