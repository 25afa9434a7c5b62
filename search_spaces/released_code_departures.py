"""Every departure of the authors' released code from the paper, switched on alone, and all together.

The numbers are those of the list in the README.
"""

from search_spaces.protocols import KNOWN_PA_HMDB51
from search_spaces.registry import RAW, SPACES, Space, Values
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY

DEPARTURES: dict[str, Values] = {
    "1 penalty without gradient": {"departures.detached_penalty": True},
    "2 scrambled frames": {"departures.scrambled_frames": True},
    "3 clips in BGR": {"departures.bgr_clips": True},
    "4 unbounded output": {"anonymizer.output": "linear"},
    "5 steps on alternating batches": {"minimax.alternate": "batches"},
    "6 F1 at logit 0.5": {"departures.logit_threshold": True},
    "7 epoch chosen on the test set": {"selection": "test"},
    "8 test videos of PA-HMDB51 in training": {
        "data.action.train_on_pa_hmdb51": True,
        "accept_flaws": True,
    },
    "9 one RMS over a batch": {"minimax.penalty_scope": "batch"},
    "10a fp16 without loss scaling": {"departures.float16": True},
    "10b skip 2": {"clip.skip": 2},
    "10c partial batches dropped": {"departures.drop_last": True},
}
_OURS: Values = {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0}
_STRICT: Values = {"minimax.distortion_budget": 0.0, "minimax.penalty_weight": 100.0}


def _settings(left_out: tuple[str, ...] = ()) -> tuple[Values, ...]:
    """RAW, ours with each departure, and the pair that shows a detached penalty to be inert, whatever B and lambda."""
    kept = {name: values for name, values in DEPARTURES.items() if name not in left_out}
    every = {key: value for values in kept.values() for key, value in values.items()}
    return (
        RAW,
        _OURS,
        _STRICT,
        *({**_OURS, **values} for values in kept.values()),
        {**_STRICT, **DEPARTURES["1 penalty without gradient"]},
        {**_OURS, **every},
    )


SPACES.register("released_code_departures")(
    Space(
        source="the authors' released code; the README lists its departures",
        question="What does each departure of the released code change?",
        settings=_settings(),
        # there is no PA-HMDB51 among generated data, half precision is for GPUs, and narrow clips skip 2 anyway
        small_settings=_settings(("8 test videos of PA-HMDB51 in training", "10a fp16 without loss scaling", "10b skip 2")),
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(KNOWN_PA_HMDB51,),  # the one that every departure touches
    )
)
