"""Every compared system behind the inferers' interface."""

from .classical import (
    ClassicalInferer,
    DifferenceOfGaussiansInferer,
    HessianDifferenceOfGaussiansInferer,
    HighPassInferer,
    TopHatInferer,
)
from .tuning import GRIDS, Tuned, best_threshold, tune_classical

__all__ = [
    "GRIDS",
    "ClassicalInferer",
    "DifferenceOfGaussiansInferer",
    "HessianDifferenceOfGaussiansInferer",
    "HighPassInferer",
    "TopHatInferer",
    "Tuned",
    "best_threshold",
    "tune_classical",
]
