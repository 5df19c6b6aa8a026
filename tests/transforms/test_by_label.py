import torch
from monai.transforms import Compose, Randomizable

from bundle.transforms import ByLabel


def drawing(name: str) -> Compose:
    """Puts a drawn number under a name."""

    class Draw(Randomizable):
        def __call__(self, data: dict) -> dict:
            return {**data, name: float(self.R.random())}

    return Compose([Draw()])


def test_a_view_without_a_label_is_treated_as_by_its_transform_alone() -> None:
    alone = drawing("drawn").set_random_state(seed=5)({"image": 1})
    assert ByLabel(drawing("other"), drawing("drawn")).set_random_state(seed=5)({"image": 1}) == alone


def test_a_view_with_a_label_goes_the_other_way_even_if_the_label_is_empty() -> None:
    view = {"image": 1, "label": torch.zeros(1, 4, 4)}
    result = ByLabel(drawing("other"), drawing("drawn")).set_random_state(seed=5)(view)
    assert "other" in result
    assert "drawn" not in result


def test_seeds_are_followed() -> None:
    both = ByLabel(drawing("a"), drawing("b"))
    numbers = [both.set_random_state(seed=seed)({})["b"] for seed in (1, 2, 1)]
    assert numbers[0] == numbers[2] != numbers[1]
