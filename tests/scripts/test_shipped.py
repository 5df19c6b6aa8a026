"""What configs/inference.yaml makes of the spread over members."""

import json
from typing import Any

import pytest
from monai.bundle import ConfigParser

from bundle.inferers import AugmentedInferer
from scripts.shipped import ROOT, augmented_inferer


def inference(**overrides: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.yaml"))
    parser.update({"bundle_root": str(ROOT), **overrides})
    return parser


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_the_default_method_keeps_the_spread_at_the_threshold_of_the_findings(threshold: float) -> None:
    parser = inference(threshold=threshold)
    inferer, saver = (parser.get_parsed_content(name) for name in ("inferer", "postprocessing"))
    assert isinstance(inferer, AugmentedInferer)
    assert inferer.agreement_threshold == saver.transforms[0].threshold == threshold
    assert saver.transforms[0].uncertainty is inferer


def test_the_spread_can_be_left_out() -> None:
    assert inference(uncertainty=False).get_parsed_content("inferer").agreement_threshold is None
    assert augmented_inferer().agreement_threshold is None
    table = json.loads((ROOT / "models" / "operating_points.json").read_text())
    assert augmented_inferer(uncertainty=True).agreement_threshold == table["augmentation"]["best_threshold"]


@pytest.mark.parametrize(
    ("overrides", "spread"),
    [({}, None), ({"noise_members": 4}, (4, 0.5)), ({"noise_members": 4, "uncertainty": False}, None)],
)
def test_refinement_has_a_spread_only_where_several_noises_are_asked_for(
    overrides: dict[str, Any], spread: tuple[int, float] | None
) -> None:
    options = {"method": "ttgpr", "preset": "fast", "threshold": 0.5} | overrides
    inferer = inference(**options).get_parsed_content("inferer")
    assert inferer.spread == spread
    assert inferer.settings.iterations == 1
