"""What stages leave behind, under the hash of what they depend on: shared by all workers, on any storage fsspec knows.

    <storage>/stages/<stage>/<key>/        record.json, state.pt and files; an artifact exists when its record does
    <storage>/stages/<stage>/<key>.work/   the checkpoint of the one who computes it now
    <storage>/stages/<stage>/<key>.lease.N who that is; the highest N counts
    <storage>/heartbeats/<holder>          moves while a process that holds leases lives

`python -m study.storage` lists, sizes and prunes them.
"""

from trainables.store.artifacts import Outcome, StageStore, Work, canonical, digest, digest_of_parts
from trainables.store.leases import Lease, Superseded

__all__ = ["Lease", "Outcome", "StageStore", "Superseded", "Work", "canonical", "digest", "digest_of_parts"]
