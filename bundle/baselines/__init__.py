"""Every compared system behind the inferers' interface."""

from .ciecholewski import CiecholewskiInferer
from .classical import (
    ClassicalInferer,
    DifferenceOfGaussiansInferer,
    HessianDifferenceOfGaussiansInferer,
    HighPassInferer,
    TopHatInferer,
)
from .csd import ContextSensitiveInferer
from .deepmica import DeepMicaInferer
from .hdogreg import HybridInferer, nearest_to_perfect
from .network import NetworkInferer
from .segai import SignalRefinedInferer
from .tuning import GRIDS, Sweep, Tuned, best_threshold, sweep_classical, tune_classical

__all__ = [
    "GRIDS",
    "CiecholewskiInferer",
    "ClassicalInferer",
    "ContextSensitiveInferer",
    "DeepMicaInferer",
    "DifferenceOfGaussiansInferer",
    "HessianDifferenceOfGaussiansInferer",
    "HighPassInferer",
    "HybridInferer",
    "NetworkInferer",
    "SignalRefinedInferer",
    "Sweep",
    "TopHatInferer",
    "Tuned",
    "best_threshold",
    "nearest_to_perfect",
    "sweep_classical",
    "tune_classical",
]
