"""Keeps what the segmentor's one pass said, where the method goes on from it; costs no further call of the network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from ..functional.windows import EMPTY_LOGIT, Window, breast_windows, coverage, gather, pad_to_window, scatter_add_
from .tracking import _batch, _source, findings_stem

FIRST_PASS = "segmentor.nii.gz"
PROBABILITY = "probability.nii.gz"


def keep_first_pass(evaluator: Engine, inferer: Any, output_dir: str | os.PathLike[str]) -> None:
    """Let an evaluator over single views write STEM_segmentor.nii.gz beside each STEM_probability.nii.gz.

    Args:
        evaluator: MONAI evaluator whose network is the segmentor.
        inferer: its inferer; one without a `windowed` part is one pass itself, and nothing is written.
        output_dir: where the findings go.
    """
    if hasattr(inferer, "windowed"):
        FirstPass(evaluator.network, inferer.windowed, output_dir).attach(evaluator)  # type: ignore[attr-defined]


class FirstPass:
    """Writes the probability map of the segmentor's one pass over a view, read off the calls of the network.

    The first pass over a batch of windows is the call whose input is that batch, as it was cut from the view; calls for
    flipped, turned or projected windows are others. Nothing is written if some windows were never seen so.

    Args:
        network: the segmentor.
        windowed: `WindowedInferer` that lays the windows out.
        output_dir: where the findings go.
    """

    def __init__(self, network: nn.Module, windowed: Any, output_dir: str | os.PathLike[str]) -> None:
        self.network, self.windowed, self.output_dir = network, windowed, Path(output_dir)
        self._frame = self._total = torch.zeros(0)
        self._shape = self._frame.shape
        self._windows: list[Window] = []
        self._next: list[list[Window]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator over single views."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._start)
        # The findings are written at an earlier event, so their stem is known by now.
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)
        self.network.register_forward_hook(self._listen)

    def _start(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        image = torch.as_tensor(batch["image"]).as_subclass(Tensor).float()
        self._shape = image.shape[-2:]
        side, size = self.windowed.window_px, self.windowed.sw_batch_size
        self._frame = pad_to_window(image, window_px=side)
        self._windows = breast_windows(self._frame, window_px=side, overlap=self.windowed.overlap)
        self._next = [self._windows[start : start + size] for start in range(0, len(self._windows), size)]
        self._total = torch.zeros_like(self._frame)

    def _listen(self, network: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not self._next:
            return
        wanted = gather(self._frame, self._next[0], window_px=self.windowed.window_px)
        if torch.equal(inputs[0].detach().cpu().as_subclass(Tensor), wanted.cpu()):
            scatter_add_(self._total, output.detach().float().to(self._total.device), self._next.pop(0))

    def _save(self, engine: Engine) -> None:
        path = self.output_dir / f"{findings_stem(self.output_dir, _source(_batch(engine)))}_{FIRST_PASS}"
        if self._next:
            path.unlink(missing_ok=True)
            return
        count = coverage(self._frame, self._windows, window_px=self.windowed.window_px)
        logits = torch.where(count > 0, self._total / count.clamp(min=1.0), EMPTY_LOGIT)
        probs = torch.sigmoid(logits[0, 0, : self._shape[0], : self._shape[1]])
        _write_like(path, probs.cpu().numpy().T[..., None])


def _write_like(path: Path, values: np.ndarray) -> None:
    """Write a map with the affine of the method's own, whole or not at all."""
    affine = nib.load(path.with_name(path.name.removesuffix(FIRST_PASS) + PROBABILITY)).affine  # type: ignore[attr-defined]
    volume = nib.Nifti1Image(values, affine)
    volume.header.set_xyzt_units("mm")
    temporary = path.with_name(f".{os.getpid()}_{path.name}")
    nib.save(volume, temporary)
    os.replace(temporary, path)
