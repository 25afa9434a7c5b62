"""Where the trained anonymizer of a trial lies. Its weights are stored once, with the stage that trained it; the trial's MLflow
run has a record of the place, as `anonymizer/anonymizer.json`.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trainables.one_line import reason
from trainables.store import StageStore
from trainables.store.artifacts import ANONYMIZER

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.config import TrialConfig
    from trainables.store import Outcome


class NotStored(Exception):
    """The anonymizer is in none of the storages, or is another one there; the message is one line."""


@dataclass(frozen=True)
class StoredAnonymizer:
    """The place of an anonymizer, and what builds it.

    storage: a directory or a URI. stage, key: the outcome there that holds its weights. digest: SHA-256 of the weights. config:
    of the network, an `AnonymizerConfig`. options: those of its method; None where the method hands it none.
    """

    storage: str
    stage: str
    key: str
    digest: str
    config: Mapping[str, Any]
    options: Mapping[str, Any] | None = None

    @staticmethod
    def of_trial(
        config: TrialConfig, storage: str, keys: Mapping[str, str], outcomes: Mapping[str, Outcome]
    ) -> StoredAnonymizer | None:
        """That of a trial, by the keys and the outcomes of its stages; None where nobody trains one."""
        from trainables.methods import method_of

        method = method_of(config)
        if method.anonymizer is None:
            return None
        heard = method.anonymizer_options or method.applied_options
        return StoredAnonymizer(
            storage,
            method.anonymizer,
            keys[method.anonymizer],
            digest_of_weights(outcomes[method.anonymizer].state[ANONYMIZER]),
            config.anonymizer.model_dump(mode="json"),
            dict(config.options) if heard else None,
        )

    @staticmethod
    def of_json(content: str) -> StoredAnonymizer:
        """Raises ValueError or TypeError for anything else than `to_json` writes."""
        return StoredAnonymizer(**json.loads(content))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def fetch(self, others: Iterable[str] = ()) -> bytes:
        """A file of config and weights, for torch.load(weights_only=True), from its storage or the first of `others` that has
        it. Raises NotStored.
        """
        import torch

        tried = []
        for storage in dict.fromkeys((self.storage, *others)):
            try:
                outcome = StageStore(storage).read(self.stage, self.key)
            except Exception as error:  # each backend has errors of its own
                tried.append(f"{storage} cannot be read ({reason(error)})")
                continue
            if outcome is None:
                tried.append(f"{storage} has no such stage")
                continue
            weights = outcome.state.get(ANONYMIZER, {})
            if digest_of_weights(weights) != self.digest:
                tried.append(f"{storage} has other weights there")
                continue
            content = {"config": dict(self.config), "state_dict": weights}
            if self.options is not None:
                content["options"] = dict(self.options)
            buffer = io.BytesIO()
            torch.save(content, buffer)
            return buffer.getvalue()
        raise NotStored(f"its anonymizer is stage {self.stage} {self.key} of a storage, but {'; '.join(tried)}")


def digest_of_weights(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 in hex of the names, types, shapes and values of tensors, whatever file they lie in."""
    import torch

    found = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        values = tensor.detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
