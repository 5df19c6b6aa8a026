"""Every compared system behind the inferers' interface."""

from .classical import ClassicalInferer, DifferenceOfGaussiansInferer, HighPassInferer, TopHatInferer
from .tuning import GRIDS, Tuned, tune_classical

__all__ = [
    "GRIDS",
    "ClassicalInferer",
    "DifferenceOfGaussiansInferer",
    "HighPassInferer",
    "TopHatInferer",
    "Tuned",
    "tune_classical",
]
