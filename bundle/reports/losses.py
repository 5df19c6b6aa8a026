"""Curves of a training's loss."""

import csv
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from .figures import COLOURS, LINES, new_figure


def read_losses(path: Path) -> tuple[list[int], list[float]]:
    """Epochs and mean losses from a training's losses.csv, whose lines are `epoch,loss`."""
    with path.open(newline="") as file:
        rows = [(int(epoch), float(loss)) for epoch, loss in csv.reader(file)]
    return [epoch for epoch, _ in rows], [loss for _, loss in rows]


def loss_curves(losses: Mapping[str, Path]) -> Figure:
    """Mean loss per epoch of each training, in panels of their own: their losses may be different ones.

    Args:
        losses: losses.csv by name of the training.
    """
    figure = new_figure(2.4 * max(1, len(losses)), 2.4)
    grid = figure.subplots(1, max(1, len(losses)), squeeze=False)[0]
    for number, (axes, (name, path)) in enumerate(zip(grid, losses.items(), strict=False)):
        epochs, values = read_losses(path)
        axes.plot(epochs, values, color=COLOURS[number % len(COLOURS)], linestyle=LINES[0], marker="o", markersize=3)
        axes.set_title(name, fontsize=9, parse_math=False)
        axes.set_xlabel("epoch", fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("mean loss", fontsize=8)
    return figure
