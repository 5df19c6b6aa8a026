"""Plots of the fidelity report: distributions of puncta, blobs and spectra."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..functional.fidelity import Blobs
from ..functional.fidelity_pairs import PairMeasures, joined
from ..functional.fingerprint import SPECTRUM_BINS
from .fidelity_checks import MEAN_MM, edge_profiles
from .figures import COLOURS, new_figure

Values = NDArray[np.float64]

BLOB_FIELDS = ("scale_mm", "contrast", "roundness")
EDGE_NAMES = ("as drawn", "final image", "spheres, blur 25 um", "spheres, blur 65 um")
DECIBEL = 10 / math.log(10)


def distribution_plot(measures: Sequence[PairMeasures]) -> Figure:
    """Histograms of the puncta, and mean radial profiles."""
    figure = new_figure(12, 6.5)
    grid = figure.subplots(2, 3)
    visible = np.concatenate([m.puncta.visible for m in measures])
    diameter, cnr = (np.concatenate([getattr(m.puncta, name) for m in measures]) for name in ("diameter_mm", "cnr"))
    _stacked(grid[0, 0], diameter, visible, np.geomspace(0.06, 2.0, 40), "diameter of the outline (mm)")
    for mean in MEAN_MM:
        grid[0, 0].axvline(mean, color="0.3", linestyle=":", linewidth=1)
    _stacked(grid[0, 1], cnr, visible, np.geomspace(0.1, 60, 40), "drawn peak contrast-to-noise ratio")
    measured = np.concatenate([m.cnr for m in measures])
    _histogram(grid[0, 2], {"labelled 1": measured}, np.geomspace(0.5, 60, 40), "measured contrast-to-noise ratio")
    distance = np.concatenate([m.distance_mm for m in measures])
    _histogram(grid[1, 0], {"in clusters": distance}, np.geomspace(0.02, 12, 40), "nearest neighbour (mm)")
    counts = np.array([len(m.puncta.cnr) for m in measures])
    grid[1, 1].hist(counts, bins=np.arange(0, counts.max() + 4, 3), color=COLOURS[0])
    grid[1, 1].set_xlabel("puncta in a patch")
    for (radius, profile), name, colour in zip(edge_profiles(measures), EDGE_NAMES, COLOURS, strict=False):
        grid[1, 2].plot(radius, profile / profile.max(), color=colour, label=name)
    grid[1, 2].set_xlabel("distance from the centre (mm), lone round puncta")
    grid[1, 2].legend(fontsize=7, loc="upper right")
    return figure


def blob_plot(measures: Sequence[PairMeasures]) -> Figure:
    """Histograms of blob properties by kind, and mean spectra."""
    figure = new_figure(12, 6.5)
    grid = figure.subplots(2, 2)
    kinds: dict[str, Blobs] = {
        "views as they are": joined([m.plain_blobs for m in measures]),
        "twin": joined([m.clean_blobs for m in measures]),
        "beside puncta": joined([m.beside for m in measures]),
        "at puncta": joined([m.at_puncta for m in measures]),
        "screened": joined([m.screened_blobs for m in measures]),
    }
    kinds = {name: blobs for name, blobs in kinds.items() if len(blobs.scale_mm)}
    edges = np.geomspace(0.04, 0.3, 12), np.geomspace(0.005, 1.0, 40), np.linspace(0, 1, 26)
    for axes, field, bins in zip(grid.flat, BLOB_FIELDS, edges, strict=False):
        _histogram(axes, {n: getattr(b, field) for n, b in kinds.items()}, bins, field, log=field != "roundness")
    injected, clean = spectra(measures)
    if len(clean):
        frequency = 0.5 * (np.arange(SPECTRUM_BINS) + 0.5) / SPECTRUM_BINS
        grid[1, 1].plot(frequency, clean.mean(axis=0), color=COLOURS[0], label="twin", linewidth=3, alpha=0.5)
        grid[1, 1].plot(frequency, injected.mean(axis=0), color=COLOURS[5], label="injected", linewidth=1)
        grid[1, 1].set_xlabel("cycles per pixel")
        grid[1, 1].set_ylabel("mean power (dB), puncta covered")
        grid[1, 1].legend(fontsize=7, loc="upper right")
    return figure


def _histogram(axes: Axes, samples: Mapping[str, Values], bins: Values, label: str, *, log: bool = True) -> None:
    for (name, values), colour in zip(samples.items(), COLOURS, strict=False):
        known = values[~np.isnan(values)]
        if known.size:
            axes.hist(
                known,
                bins=bins.tolist(),
                weights=np.full(known.size, 1 / known.size),
                histtype="step",
                color=colour,
                label=name,
            )
    axes.set_xscale("log" if log else "linear")
    axes.set_xlabel(label)
    axes.set_ylabel("share")
    axes.legend(fontsize=7, loc="upper right")


def _stacked(axes: Axes, values: Values, visible: NDArray[np.bool_], bins: Values, label: str) -> None:
    parts, names = [values[visible], values[~visible]], ["labelled 1", "ignored: below the visibility floor"]
    axes.hist(parts, bins=bins.tolist(), stacked=True, color=[COLOURS[0], COLOURS[4]], label=names)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.legend(fontsize=7, loc="upper right")


def spectra(measures: Sequence[PairMeasures]) -> tuple[Values, Values]:
    """Radial spectra of injected patches and twins, puncta covered, in dB, (pairs, rings) each."""
    rows = [m.features for m in measures if m.features is not None]
    first, second = (
        np.array([[features[k][f"spectrum {n}"] for n in range(SPECTRUM_BINS)] for features in rows]) for k in (0, 1)
    )
    return DECIBEL * first.reshape(-1, SPECTRUM_BINS), DECIBEL * second.reshape(-1, SPECTRUM_BINS)
