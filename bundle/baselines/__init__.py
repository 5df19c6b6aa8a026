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
from .nnunet import NnUNetInferer
from .segai import GenerativeRefinedInferer, SignalRefinedInferer
from .tuning import GRIDS, Sweep, Tuned, best_threshold, sweep_classical, tune_classical
from .virtual_normal import VirtualNormalInferer

__all__ = [
    "GRIDS",
    "CiecholewskiInferer",
    "ClassicalInferer",
    "ContextSensitiveInferer",
    "DeepMicaInferer",
    "DifferenceOfGaussiansInferer",
    "GenerativeRefinedInferer",
    "HessianDifferenceOfGaussiansInferer",
    "HighPassInferer",
    "HybridInferer",
    "NetworkInferer",
    "NnUNetInferer",
    "SignalRefinedInferer",
    "Sweep",
    "TopHatInferer",
    "Tuned",
    "VirtualNormalInferer",
    "best_threshold",
    "nearest_to_perfect",
    "sweep_classical",
    "tune_classical",
]
