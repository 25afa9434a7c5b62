"""What each attacker has is declared, is in the README, and is what the code of its attack takes."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from tests.support import ROOT
from trainables.attacks import ATTACKS, Attack
from trainables.attacks.shared.assets import ASSETS, Asset, checked, lacking
from trainables.config import ConfigError

README = ROOT / "trainables" / "attacks" / "README.md"


def table() -> str:
    """The table of the README: a row an attack, a mark for what its attacker has."""
    rows = [["", *(words.name for words in ASSETS.values())], ["---"] * (len(ASSETS) + 1)]
    rows += [[f"`{name}`", *("x" if asset in ATTACKS[name].has else "" for asset in ASSETS)] for name in ATTACKS]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def test_the_table_of_the_readme_is_what_the_attacks_declare() -> None:
    written = re.search(r"<!-- assets -->\n(.*?)\n<!-- end -->", README.read_text(), re.DOTALL)
    assert written is not None
    assert written[1] == table()


def test_every_asset_is_said_in_words_and_had_by_somebody() -> None:
    assert set(get_args(Asset)) == ASSETS.keys()
    assert {asset for name in ATTACKS for asset in ATTACKS[name].has} == ASSETS.keys(), "each is had by somebody"


def test_what_is_declared_is_what_the_stages_take() -> None:
    """A network from elsewhere comes by a field of weights; whoever reads features gets no video."""
    for name in ATTACKS:
        attack = ATTACKS[name]
        stages = (attack.stage, *attack.prepared)
        fields = {field for stage in stages for field in stage.fields}
        own = {"attacks.weights", "attacks.clip_network", "attacks.pretrained", "attacks.face_detector_weights"}
        own |= {"attacks.text_reader_weights", "attacks.people_detector_weights"}
        reads = {part for stage in stages for part in stage.inputs}
        from_elsewhere = bool(fields & own) or bool({part.partition(".")[0] for part in reads} & {"attack_retrained"})
        assert from_elsewhere is ("pretrained" in attack.has), name
        assert ("evaluate_action" in reads) is ("features" in attack.has), name


def test_who_has_everything_lacks_nothing() -> None:
    assert lacking(ASSETS) == []
    assert lacking(("labels",)) == [asset for asset in ASSETS if asset not in ("labels", "features")]
    assert checked(["pairs", "runs"]) == ("runs", "pairs")


def test_an_asset_that_is_none_is_refused_where_the_attack_is_declared() -> None:
    stage: Any = None
    with pytest.raises(ConfigError, match=r"attack 'Mine': has = \('ears',\): no asset 'ears'; there are method, runs"):
        Attack("Mine", "?", "inference", "measure", ("ears",), stage)  # type: ignore[arg-type]
