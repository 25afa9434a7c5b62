"""What holds a trained anonymizer back on clips of people: its opponents, its training, or that it sees one frame."""

from search_spaces.identity import IN_SMALL, PEOPLE, WHOLE_CLIPS
from search_spaces.registry import RAW, SPACES, Space, Values

_PENALTY: Values = {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0}
# Both networks of the minimax begin with what ImageNet taught, as the attackers do that read most of the person.
_KNOWING: Values = {
    "action_classifier.name": "mobilenet_v2",
    "action_classifier.weights": "package",
    "privacy_encoder.name": "mobilenet_v2",
    "privacy_encoder.weights": "package",
}
_LONGER: Values = {"minimax.epochs": 24}
_SEES_TIME: Values = {"anonymizer.window": 2, "anonymizer.target": "difference"}
# f_B compares frames, whoever they show. Those of VITA learn who it is, from the labels of the privacy set.
_LABELLED: Values = {"method": "vita"}
_FEW: Values = {"options.ensemble": 1, "options.privacy_steps": 2}  # of 4 and 5: those from ImageNet are dear
_FREER: Values = {"minimax.distortion_budget": 0.3}

SPACES.register("opponents")(
    Space(
        source="none: on these clips differences that nobody trained are ahead of f_A",
        question="Is f_A behind because of its opponents, of its training, or because it sees one frame?",
        settings=(
            RAW,
            {"method": "small_difference"},
            {"method": "blurred_difference"},
            _PENALTY,
            {**_PENALTY, **_LONGER},
            {**_PENALTY, **_KNOWING},
            {**_PENALTY, **_KNOWING, **_FREER},
            {**_PENALTY, **_KNOWING, **_LONGER},
            {**_PENALTY, **_KNOWING, **_SEES_TIME},
            _LABELLED,
            {**_LABELLED, **_KNOWING, **_FEW},
        ),
        # f_B compares frames of clips, as in the space `window`: two views of one image have the same pose
        defaults={**WHOLE_CLIPS, "minimax.pair": "frames", "minimax.pair_distance": 16},
        small_defaults=IN_SMALL,
        protocols=(PEOPLE,),
        attacks="standard",
    )
)
