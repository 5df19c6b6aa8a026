"""Every system that is compared: what it is called, where its settings or weights come from, and how it is built.

A system that is not here is in no table. One whose code or weights are missing keeps its row, which says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np

from ..inferers import WindowedInferer
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
from .hdogreg import HybridInferer
from .network import Network, NetworkInferer
from .segai import GenerativeRefinedInferer, SignalRefinedInferer
from .virtual_normal import VirtualNormalInferer

Kind = Literal["classical", "shipped", "trained", "predicted"]
Make = Callable[[Sequence[Network], WindowedInferer, ClassicalInferer | None], Any]

CLASSICAL: dict[str, type[ClassicalInferer]] = {
    "top-hat": TopHatInferer,
    "difference-of-gaussians": DifferenceOfGaussiansInferer,
    "hdog": HessianDifferenceOfGaussiansInferer,
    "high-pass": HighPassInferer,
    "ciecholewski": CiecholewskiInferer,
}
LEAST_EPOCHS = 12
"""Fewer epochs say nothing of a plateau: its quarters would be shorter than three."""
TOLERANCE = 0.02
"""Of the mean loss of the third quarter of a training, by which that of the last may differ."""


class Weights(NamedTuple):
    """Weights of one network.

    Attributes:
        folder: where a training puts them, FOLDER/model.pt; several systems may share them.
        configs: overlays of configs/train.yaml, in order; none for the segmentor, which scripts.train_weights trains.
    """

    folder: str
    configs: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One of the compared systems.

    Attributes:
        name: on the command line and in records.
        title: in tables and pictures.
        kind: "classical" systems are tuned and not trained; "shipped" ones are configs/inference.yaml's; "trained" ones
            have weights of their own; of "predicted" ones another program's maps are read.
        weights: of a trained system, one per network.
        make: networks, windows and signal -> inferer, of a trained system.
        signal: the classical system whose tuned detector `make` gets.
        module: what must be there to import, of this package if it begins with a dot.
        install: what to do if it is not.
    """

    name: str
    title: str
    kind: Kind
    weights: tuple[Weights, ...] = ()
    make: Make | None = None
    signal: str = ""
    module: str = ""
    install: str = ""

    @property
    def built(self) -> bool:
        """Whether its code is there."""
        there = not self.module or find_spec(self.module, __package__) is not None
        return there and (self.kind != "trained" or self.make is not None)


def _whole(networks: Sequence[Network], windowed: WindowedInferer, signal: ClassicalInferer | None) -> NetworkInferer:
    return NetworkInferer(networks[0], windowed=windowed)


def _hybrid(networks: Sequence[Network], windowed: WindowedInferer, signal: ClassicalInferer | None) -> HybridInferer:
    return HybridInferer(networks[0], windowed=windowed)


def _deepmica(
    networks: Sequence[Network], windowed: WindowedInferer, signal: ClassicalInferer | None
) -> DeepMicaInferer:
    return DeepMicaInferer(networks[0], windowed=windowed)


def _csd(
    networks: Sequence[Network], windowed: WindowedInferer, signal: ClassicalInferer | None
) -> ContextSensitiveInferer:
    return ContextSensitiveInferer(networks[0])


def _refined(
    networks: Sequence[Network], windowed: WindowedInferer, signal: ClassicalInferer | None
) -> SignalRefinedInferer:
    if signal is None:
        raise ValueError("Expected a tuned detector for the signal, got none; tune it first")
    return SignalRefinedInferer(NetworkInferer(networks[0], windowed=windowed), signal)


def _generative(networks: Sequence[Network], windowed: WindowedInferer, *, hide: str) -> GenerativeRefinedInferer:
    virtual_normal = VirtualNormalInferer(networks[1], windowed=windowed, hide=hide)
    return GenerativeRefinedInferer(virtual_normal, NetworkInferer(networks[0], windowed=windowed))


def _masked(
    networks: Sequence[Network], windowed: WindowedInferer, signal: ClassicalInferer | None
) -> GenerativeRefinedInferer:
    return _generative(networks, windowed, hide="mask")


def _unmasked(
    networks: Sequence[Network], windowed: WindowedInferer, signal: ClassicalInferer | None
) -> GenerativeRefinedInferer:
    return _generative(networks, windowed, hide="nothing")


OURS = (Weights("segmentor", ()),)
CSD = (Weights("csd", ("train_csd",)),)
HDOGREG = (Weights("hdogreg", ("train_hdogreg",)),)
DEEPMICA = (Weights("deepmica", ("train_deepmica",)),)
CEILING = (Weights("supervised", ("train_supervised",)),)
SEGAI = (Weights("segai", ("train_segai",)),)
INPAINTER = (Weights("inpainter", ("train_inpainter",)),)

ENTRIES = (
    Entry("segmentor", "segmentor", "shipped"),
    Entry("augmentation", "segmentor, flips and turns", "shipped"),
    Entry("evidence", "segmentor + evidence", "shipped"),
    Entry("ttgpr", "segmentor + TT-GPR", "shipped"),
    # What the others have seen, and no more.
    Entry("segmentor-phantoms", "segmentor, phantoms alone", "trained", OURS, _whole),
    Entry("top-hat", "white top-hat (SP2)", "classical"),
    Entry("difference-of-gaussians", "difference of Gaussians (SP1)", "classical"),
    Entry("hdog", "HDoG", "classical"),
    Entry("high-pass", "multi-scale high-pass", "classical"),
    Entry("ciecholewski", "Ciecholewski", "classical"),
    Entry("csd", "CSD", "trained", CSD, _csd),
    Entry("hdogreg-fpn", "HDoGReg-FPN, ResNet-10", "trained", HDOGREG, _whole),
    Entry("hdogreg-hybrid", "HDoGReg-Hybrid, ResNet-10", "trained", HDOGREG, _hybrid),
    Entry("deepmica", "DeepMiCa", "trained", DEEPMICA, _deepmica),
    Entry("supervised", "in-domain ceiling", "trained", CEILING, _whole),
    Entry("segai", "SegAI U-Net", "trained", SEGAI, _whole),
    Entry("segai-sp1", "SegAI + R:SP1", "trained", SEGAI, _refined, "difference-of-gaussians"),
    Entry("segai-sp2", "SegAI + R:SP2", "trained", SEGAI, _refined, "top-hat"),
    Entry("segai-genai", "SegAI + R:GenAI", "trained", SEGAI + INPAINTER, _masked),
    Entry("unmasked-grid", "SegAI + unmasked grid", "trained", SEGAI + INPAINTER, _unmasked),
    # Its own package predicts, wherever it is installed; `NnUNetInferer` reads what it wrote.
    Entry("nnunet", "nnU-Net v2", "predicted"),
)
REGISTRY: Mapping[str, Entry] = {entry.name: entry for entry in ENTRIES}


def entries_of(names: Sequence[str]) -> list[Entry]:
    """The systems of these names, in the registry's order; "all" is all of them.

    Raises:
        ValueError: on a name that is not there.
    """
    for name in names:
        if name != "all" and name not in REGISTRY:
            raise ValueError(f"Expected systems among all, {', '.join(REGISTRY)}, got {name!r}; correct the name")
    return [entry for entry in ENTRIES if "all" in names or entry.name in names]


def off_plateau(losses: Sequence[float]) -> str:
    """Why a training is not at its plateau, in words; "" if it is.

    It is if there are at least 12 epochs and the mean loss of the last quarter of them differs from that of the quarter
    before by at most 2 %. A schedule that lets the learning rate fall to zero reaches a plateau of its own: the rule
    says that more of the same schedule's end would change nothing, not that a longer one would not.

    Args:
        losses: mean loss of each epoch, finite, in order.
    """
    count = len(losses)
    if not count:
        return "its losses are not recorded"
    if count < LEAST_EPOCHS:
        return f"{count} epochs, a plateau takes at least {LEAST_EPOCHS}"
    values, quarter = np.asarray(losses, np.float64), count // 4
    if not np.isfinite(values).all():
        return "a loss that is no number"
    before, last = float(values[-2 * quarter : -quarter].mean()), float(values[-quarter:].mean())
    change = (last - before) / abs(before) if before else 0.0
    if abs(change) <= TOLERANCE:
        return ""
    return f"loss still changes by {change:+.1%} over the last quarter of {count} epochs, a plateau by at most 2 %"
