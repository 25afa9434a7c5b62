"""Whether the starting weights that the trials of a study name are there, and which of the paper's are missing."""

from __future__ import annotations

from search_spaces.plan import StudyPlan
from trainables.methods import missing_weights
from trainables.models.named import names_networks


def check_all_weights(plan: StudyPlan) -> None:
    """Checks each combination of networks once, and says which start from scratch where the paper's do not.

    Raises ConfigError for weights that are not there.
    """
    seen, said = set(), dict[str, None]()
    for trial in plan.trials:
        config = trial.config
        networks = (
            config.anonymizer,
            config.action_classifier,
            config.privacy_encoder,
            config.evaluate_action.classifier,
            config.evaluate_privacy.classifier,
            config.clip,
            config.evaluate_at,
            config.method,
            config.obfuscation,
            tuple(sorted(config.options.items())),
            config.attacks,
        )
        if networks not in seen:
            seen.add(networks)
            if names_networks(config):
                from trainables.models.check import check_weights  # and with it PyTorch: seconds

                check_weights(config)
            started = {name: getattr(config, name) for name in ("action_classifier", "privacy_encoder")}
            said |= dict.fromkeys(
                missing_weights(config.method, {key: (one.name, one.weights) for key, one in started.items()})
            )
    for line in said:
        print(f"note: {line}")
