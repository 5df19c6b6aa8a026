"""One way for views that have a label, another for those that are to get one."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
from monai.transforms import Randomizable, Transform


class ByLabel(Randomizable, Transform):
    """Passes a view on to one of two transforms.

    Both are seeded alike, so that what one of them draws does not depend on there being another.

    Args:
        labelled: of views with a label.
        unlabelled: of all others.
        label_key: the label.
    """

    def __init__(
        self,
        labelled: Callable[[Mapping[Hashable, Any]], dict],
        unlabelled: Callable[[Mapping[Hashable, Any]], dict],
        *,
        label_key: str = "label",
    ) -> None:
        self.labelled, self.unlabelled, self.label_key = labelled, unlabelled, label_key

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "ByLabel":
        """Seed both."""
        super().set_random_state(seed, state)
        for transform in (self.labelled, self.unlabelled):
            if isinstance(transform, Randomizable):
                transform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict:
        """Transform the view."""
        return (self.labelled if self.label_key in data else self.unlabelled)(data)
