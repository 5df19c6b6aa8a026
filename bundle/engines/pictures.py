"""Pictures of training and of refinement: contact sheets of a batch, and curves of a trace.

They draw with matplotlib's canvas alone, so no display and no global state is involved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from skimage.measure import find_contours

Plane = NDArray[np.float32]
Batch = Mapping[str, Any] | Sequence[Mapping[str, Any]]

LABEL_COLOUR, IGNORE_COLOUR, PRED_COLOUR = "#5cff7a", "#40d8ff", "#ffb000"
MAX_SAMPLES = 4
CROP_PX = 256
TILE_INCHES = 3.0
DOTS_PER_INCH = 100


@dataclass
class Panel:
    """One tile of a contact sheet.

    Attributes:
        title: what it shows.
        plane: (rows, columns).
        limits: values drawn black and white.
        outlines: bool (rows, columns) by the colour of its outline.
    """

    title: str
    plane: Plane
    limits: tuple[float, float] = (-1.0, 1.0)
    outlines: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def segmentor_panels(batch: Batch, output: Batch) -> list[list[Panel]]:
    """Per sample: the image, its label, the probability, and the prediction at probability 0.5.

    Args:
        batch: not looked at; the output holds it all.
        output: of MONAI's engine: image in [-1, 1], label (0, 1, 2 = ignore) and pred (logits), each (B, 1, rows,
            columns), or decollated. Views larger than the crop are cut to where most of the label lies.
    """
    sheet = []
    for image, label, logits in zip(*(_planes(output, key) for key in ("image", "label", "pred")), strict=True):
        crop = crop_around(label == 1, image > -1)
        view, truth, probs = image[crop], label[crop], _sigmoid(logits[crop])
        grey = _grey_limits(view)
        sheet.append(
            [
                Panel("image", view, grey),
                Panel("label (ignored: blue)", view, grey, _label_outlines(truth)),
                Panel(f"probability, at most {probs.max():.2f}", probs, (0.0, 1.0)),
                Panel("probability at least 0.5", view, grey, {PRED_COLOUR: probs >= 0.5}),
            ]
        )
    return sheet


def generator_panels(batch: Batch, output: Batch) -> list[list[Panel]]:
    """Per sample: state m_t, seeds, the estimate of x in one step, m_t + (1 - t) v, and x with its label.

    Args:
        batch: of `RandFlowStated`: t (B,) in [0, 1], condition (B, 2, rows, columns), label (B, 1, rows, columns).
        output: of MONAI's engine: image (the state), label (the velocity x - z) and pred (the velocity v), each
            (B, 1, rows, columns), or decollated.
    """
    times = [float(np.ravel(t)[0]) for t in _samples(batch, "t")]
    conditions = _samples(batch, "condition")
    planes = [_planes(output, key) for key in ("image", "label", "pred")] + [_planes(batch, "label")]
    sheet = []
    for t, condition, state, target, velocity, label in zip(times, conditions, *planes, strict=True):
        x, estimate = state + (1 - t) * target, state + (1 - t) * velocity
        grey = _grey_limits(x)
        known = "complete" if condition[1].max() > 0 else "unknown elsewhere"
        sheet.append(
            [
                Panel(f"state, t = {t:.2f}", state, (-2.0, 2.0)),
                Panel(f"{int(condition[0].sum())} seeds, {known}", condition[0], (0.0, 1.0), _label_outlines(label)),
                Panel("estimate of x in one step", estimate, grey),
                Panel("x and its label", x, grey, _label_outlines(label)),
            ]
        )
    return sheet


def contact_sheet(sheet: Sequence[Sequence[Panel]]) -> Figure:
    """One row of tiles per sample."""
    rows, columns = len(sheet), max(len(row) for row in sheet)
    figure = Figure(
        figsize=(columns * TILE_INCHES, rows * (TILE_INCHES + 0.3)), dpi=DOTS_PER_INCH, layout="constrained"
    )
    FigureCanvasAgg(figure)
    for axes_row, panels in zip(figure.subplots(rows, columns, squeeze=False), sheet, strict=True):
        for axes, panel in zip(axes_row, panels, strict=True):
            _draw_panel(axes, panel)
    return figure


def trace_figure(trace: Sequence[Mapping[str, float]]) -> Figure:
    """Energy and its terms, times and largest step, seeds and windows, over the iterations of a refinement."""
    figure = Figure(figsize=(10.0, 6.0), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    groups = (
        ("energy", ("energy", "tversky", "stabilisation", "edge")),
        ("largest change of a logit", ("step",)),
        ("t, and steps K", ("t", "steps")),
        ("count", ("n_seeds", "n_windows")),
    )
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, groups, strict=True):
        for name in names:
            # The sum is drawn wide, or the term that makes up most of it would hide it.
            width = 4.0 if name == "energy" else 1.5
            steps, values = [row["refine_iter"] for row in trace], [row[name] for row in trace]
            axes.plot(steps, values, marker=".", linewidth=width, label=name)
        axes.set(title=title, xlabel="refine_iter")
        if "energy" in names:
            # Terms differ by orders of magnitude, and any of them may be 0.
            axes.set_yscale("symlog", linthresh=1.0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    return figure


def crop_around(wanted: NDArray[np.bool_], breast: NDArray[np.bool_], *, crop_px: int = CROP_PX) -> tuple[slice, slice]:
    """The crop with most wanted pixels, and with most breast among equals, on a grid of half crops.

    Args:
        wanted: bool (rows, columns).
        breast: like wanted.
        crop_px: side; a smaller view is taken whole.
    """
    starts = [range(0, max(size - crop_px, 0) + crop_px // 2, crop_px // 2) for size in wanted.shape]
    corners = [
        (min(row, max(wanted.shape[0] - crop_px, 0)), min(column, max(wanted.shape[1] - crop_px, 0)))
        for row in starts[0]
        for column in starts[1]
    ]
    crops = [(slice(row, row + crop_px), slice(column, column + crop_px)) for row, column in corners]
    return max(crops, key=lambda crop: (int(wanted[crop].sum()), int(breast[crop].sum())))


def _samples(data: Batch, key: str) -> list[NDArray]:
    """The first samples of a batch, collated or not, as arrays (channels, rows, columns)."""
    values = data[key] if isinstance(data, Mapping) else [item[key] for item in data]
    return [torch.as_tensor(value).detach().float().cpu().numpy() for value in values[:MAX_SAMPLES]]


def _planes(data: Batch, key: str) -> list[Plane]:
    """Their first channels."""
    return [sample[0] for sample in _samples(data, key)]


def _sigmoid(logits: Plane) -> Plane:
    return torch.sigmoid(torch.from_numpy(logits)).numpy()


def _label_outlines(label: Plane) -> dict[str, NDArray[np.bool_]]:
    return {LABEL_COLOUR: label == 1, IGNORE_COLOUR: label == 2}


def _grey_limits(image: Plane) -> tuple[float, float]:
    """A crop's own contrast: calcifications are faint on the scale of a whole view."""
    # Air is -1 but for rounding: x is computed back from the state.
    breast = image[image > -0.999]
    low, high = np.percentile(breast, [1, 99.8]) if breast.size else (-1.0, 1.0)
    return float(low), float(max(high, low + 0.05))


def _draw_panel(axes: Axes, panel: Panel) -> None:
    low, high = panel.limits
    axes.imshow(panel.plane, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(panel.title, fontsize=9)
    axes.set_axis_off()
    for colour, mask in panel.outlines.items():
        # Padded, so that objects at the border close; contours are (row, column), lines are drawn (column, row).
        lines = [line[:, ::-1] - 1 for line in find_contours(np.pad(mask, 1).astype(float), 0.5)]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.9))
