"""What a storage on S3 is asked, counted by a stand-in on this machine (moto): `python -m tests.benchmarks.requests_s3`.

Requests that write or list are billed twelve times as those that read (5 and 0.4 dollars a million, AWS, us-east-1).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

STORED = 120  # stages
HELD = 16  # leases of a process that trains so many classifiers side by side
PROCESSES, DAY = 500, 86400
DEAR, CHEAP = 5e-6, 0.4e-6  # dollars a request: one that writes or lists, one that reads
_REQUEST = re.compile(r'"(?:\x1b\[\d+m)*([A-Z]+) (\S+)')  # in colours, by its status
KINDS = ("PUT", "POST", "LIST", "GET", "HEAD", "DELETE")


class Asked(logging.Handler):
    """Counts the lines that the server logs, one a request."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        found = _REQUEST.search(record.getMessage())
        if found is not None:
            self.kinds["LIST" if "list-type=" in found[2] else found[1]] += 1


@contextlib.contextmanager
def bucket() -> Iterator[tuple[str, Asked]]:
    """A URI of a bucket of its own, and what is asked of it."""
    from moto.server import ThreadedMotoServer

    asked, log = Asked(), logging.getLogger("werkzeug")
    log.handlers, log.propagate = [asked], False
    log.setLevel(logging.INFO)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    before = dict(os.environ)
    os.environ |= {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    try:
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()  # one of another server
        name = f"b{uuid.uuid4().hex[:8]}"
        s3fs.S3FileSystem().mkdir(name)
        yield f"s3://{name}/storage", asked
    finally:
        for each in (*keys, "AWS_ENDPOINT_URL"):
            del os.environ[each]
        os.environ |= before
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long leases are held")
    seconds: float = parser.parse_args().seconds
    import torch  # noqa: F401  # the first read of a stage would import it, while heartbeats are counted

    with bucket() as (storage, asked):
        rows = {
            f"which of {STORED} stages are stored": _stored(storage, asked),
            "a look of a trial that waits": _look(storage, asked),
            **{f"a process that holds {held}, a minute": _held(storage, asked, held, seconds) for held in (1, HELD)},
        }
    print(f"| asked of S3 | {' | '.join(KINDS)} | dollars a day for {PROCESSES} processes |")
    print("|---" * (len(KINDS) + 2) + "|")
    for name, counts in rows.items():
        bill = f"{PROCESSES * DAY / 60 * _dollars(counts):,.0f}" if "minute" in name else ""
        cells = " | ".join(f"{counts[kind]:.3g}" if counts[kind] else "" for kind in KINDS)
        print(f"| {name} | {cells} | {bill} |")


def _dollars(counts: Any) -> float:
    dear = sum(counts[kind] for kind in ("PUT", "POST", "LIST"))
    return float(DEAR * dear + CHEAP * (counts["GET"] + counts["HEAD"]))


def _stored(storage: str, asked: Asked) -> Counter[str]:
    from trainables.store import StageStore

    store = StageStore(storage)
    keys = [f"k{number:04}" for number in range(STORED)]
    for key in keys:
        store.files.replace(f"stages/reconstruct/{key}/record.json", json.dumps({"seconds": 2.0}).encode())
        store.files.replace(f"stages/reconstruct/{key}/abc/state.pt", b"state")
    asked.kinds.clear()
    assert len(store.stored("reconstruct", keys)) == STORED
    return asked.kinds.copy()


def _look(storage: str, asked: Asked) -> Counter[str]:
    from trainables.store import StageStore

    holder, other = StageStore(storage), StageStore(storage)
    lease = holder.try_claim("reconstruct", "k")
    assert lease is not None
    with lease:
        other.try_claim("reconstruct", "k")
        asked.kinds.clear()
        assert other.try_claim("reconstruct", "k") is None
        assert other.read("reconstruct", "k") is None
        return asked.kinds.copy()


def _held(storage: str, asked: Asked, number: int, seconds: float) -> Counter[str]:
    from trainables.store import StageStore

    store = StageStore(storage)
    with contextlib.ExitStack() as held:
        for each in range(number):
            lease = store.try_claim("minimax", f"h{number}-{each}")
            assert lease is not None
            held.enter_context(lease)
        asked.kinds.clear()
        time.sleep(seconds)
        counts = asked.kinds.copy()
    return Counter({kind: round(count * 60 / seconds) for kind, count in counts.items()})


if __name__ == "__main__":
    main()
