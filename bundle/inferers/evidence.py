"""Refinement by evidence on candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor, nn
from tqdm import tqdm

from ..functional import flow
from ..functional.candidates import Candidates, Pass, find_candidates, plan_passes
from ..functional.classical import high_pass_score
from ..functional.evidence import (
    CHANNELS,
    Array,
    Evidence,
    EvidenceSettings,
    change_of_logits,
    disc_sums,
    local_variance,
    move_basins,
    neighbours_of,
)
from ..functional.seeds import seed_map
from ..functional.windows import gather, pad_to_window
from .windowed import Network, WindowedInferer, like_inputs, plain_image, window_noise


class EvidenceInferer(Inferer):
    """Moves the logits of candidates by what the generator and the high-pass say of them.

    Candidates are maxima of p down to a low threshold. Windows without any cost nothing; without any in an image the
    segmentor's logits come back bit by bit.

    Args:
        generator: velocity field (state, t, condition) -> velocity; a module is set to evaluation mode. None where the
            settings give the score no weight: the control "p + multi-scale high-pass".
        settings: choices and weights, e.g. from `fit_evidence`; None takes the defaults.
        window_px: side of the window, the one both networks were trained on.
        overlap: shared fraction of neighbouring windows, in [0, 1).
        sw_batch_size: windows per call of a network.
        noise_seed: picks the noise.
        dtype: "float32", or "bfloat16" or "float16" for calls of the networks under autocast.
        first_pass: (image, network) -> logits that candidates are found in and whose logits move, e.g. an
            `AugmentedInferer`; None: one pass of the segmentor.
        trace: keep what follows.
        progress: show progress bars.

    Attributes:
        last_evidence: of the last call, one entry per candidate, if `trace`.
        last_candidates: those candidates.
        last_windows: windows that the generator looked at in the last call,
        last_passes: and its calls per window, summed.

    Raises:
        ValueError: an option out of its range, or a weight on the score without a generator.
    """

    def __init__(
        self,
        generator: flow.Generator | None,
        *,
        settings: EvidenceSettings | None = None,
        window_px: int = 256,
        overlap: float = 0.5,
        sw_batch_size: int = 4,
        noise_seed: int = 0,
        dtype: str = "float32",
        first_pass: Callable[..., Tensor] | None = None,
        trace: bool = False,
        progress: bool = False,
    ) -> None:
        super().__init__()
        self.settings = EvidenceSettings() if settings is None else settings
        if generator is None and self.settings.weight_score > 0:
            raise ValueError("Expected a generator for a score with weight, got None; pass one or weight_score=0")
        self.generator = generator.eval() if isinstance(generator, nn.Module) else generator
        self.windowed = WindowedInferer(window_px, overlap, sw_batch_size, dtype=dtype, progress=progress)
        self.first_pass = self.windowed if first_pass is None else first_pass
        self.noise_seed, self.trace = noise_seed, trace
        self.last_evidence: Evidence | None = None
        self.last_candidates: Candidates | None = None
        self.last_windows = self.last_passes = 0

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Refined logits of a batch of images.

        Args:
            inputs: (B, 1, rows, columns) in [-1, 1], exactly -1 outside the breast.
            network: the segmentor, any callable: windows (N, 1, window_px, window_px) -> logits of that shape.
            *args: passed on to the network.
            **kwargs: passed on to the network.

        Returns:
            (B, 1, rows, columns) float32, with the metadata of the inputs if they carry any.

        Raises:
            ValueError: inputs or logits of another shape.
        """
        with torch.no_grad():
            logits = self.first_pass(plain_image(inputs), network, *args, **kwargs)
        return like_inputs(self.refined(inputs, logits), inputs)

    def refined(self, inputs: Tensor, logits: Tensor) -> Tensor:
        """Given logits with their candidates moved, (B, 1, rows, columns); arguments as for `gather_evidence`."""
        candidates, evidence = self.gather_evidence(inputs, logits)
        return move_basins(logits, candidates, change_of_logits(evidence, self.settings), self.settings)

    def gather_evidence(
        self, inputs: Tensor, logits: Tensor, *, every_channel: bool = False
    ) -> tuple[Candidates, Evidence]:
        """Candidates of given logits and what is known of them; channels without weight are left at 0.

        Args:
            inputs: (B, 1, rows, columns) in [-1, 1], exactly -1 outside the breast.
            logits: the segmentor's, of that shape.
            every_channel: also channels without weight, to fit weights.
        """
        image, wanted = plain_image(inputs), dict(zip(CHANNELS, self.settings.weights != 0, strict=True))
        candidates = find_candidates(logits, threshold=self.settings.threshold, nms_px=self.settings.nms_px)
        score, spread, high_pass, neighbours = (np.zeros(len(candidates)) for _ in range(4))
        tested = np.ones(len(candidates), bool)
        if self.generator is not None and (every_channel or wanted["score"] or wanted["spread"]):
            score, spread, tested = self._scores(image, logits, candidates)
        if every_channel or wanted["high_pass"]:
            high_pass = self._high_pass(inputs, candidates)
        if every_channel or wanted["neighbours"]:
            neighbours = self._neighbours(inputs, candidates)
        evidence = Evidence(candidates.peak, score, spread, high_pass, neighbours, tested)
        if self.trace:
            self.last_candidates, self.last_evidence = candidates, evidence
        return candidates, evidence

    @torch.no_grad()
    def _scores(self, image: Tensor, logits: Tensor, candidates: Candidates) -> tuple[Array, Array, np.ndarray]:
        """Score, its spread over draws, and whether a candidate was tested; (n,) each."""
        choice, side = self.settings, self.windowed.window_px
        frame, windows = self.windowed.layout(image)
        passes = plan_passes(
            candidates, windows, apart_px=choice.apart_px, max_groups=choice.max_groups, window_px=side
        )
        tested = np.zeros(len(candidates), bool)
        tested[[index for one in passes for index in one.toggled]] = True
        if isinstance(self.generator, nn.Module):
            self.generator.to(image.device)
        context = pad_to_window(self._context(logits), window_px=side, value=0.0)
        runs = np.zeros((len(choice.times), choice.draws, len(candidates)))
        rounds = len(choice.times) * choice.draws
        if self.trace:
            self.last_windows, self.last_passes = len({one.window for one in passes}), len(passes) * rounds
        disabled = not self.windowed.progress
        with tqdm(total=len(passes) * rounds, desc="evidence", unit="window", leave=False, disable=disabled) as bar:
            for number, draw in np.ndindex(runs.shape[:2]):
                runs[number, draw] = self._score(frame, context, candidates, passes, number, draw, bar)
        per_draw = runs.mean(axis=0)
        return per_draw.mean(axis=0), per_draw.std(axis=0), tested

    def _context(self, logits: Tensor) -> Tensor:
        """Seeds that every pass gets."""
        choice = self.settings
        if choice.context_threshold is None:
            return torch.zeros_like(logits)
        return seed_map(torch.sigmoid(logits), threshold=choice.context_threshold, nms_px=choice.nms_px)

    def _score(
        self,
        frame: Tensor,
        context: Tensor,
        candidates: Candidates,
        passes: Sequence[Pass],
        number: int,
        draw: int,
        bar: tqdm,
    ) -> Array:
        """Score of each candidate at one time and one draw, (n,); 0 for those that are not tested."""
        kept, toggled, variance = (np.zeros(len(candidates)) for _ in range(3))
        for start in range(0, len(passes), self.windowed.sw_batch_size):
            chunk = passes[start : start + self.windowed.sw_batch_size]
            error = self._error(frame, context, candidates, chunk, number, draw)
            sums = disc_sums(error, radius_px=self.settings.disc_px).double().cpu().numpy()
            means = local_variance(error, radius_px=self.settings.variance_px).double().cpu().numpy()
            for plane, one in enumerate(chunk):
                _read(kept, sums[plane, 0], candidates, one.owned, one)
                _read(variance, means[plane, 0], candidates, one.owned, one)
                _read(toggled, sums[plane, 0], candidates, one.toggled, one)
            bar.update(len(chunk))
        image, row, column = candidates.places.T
        # Toggling takes a seed of the context away: the pass that keeps it is then the one with the seed.
        sign = np.where(context.cpu().numpy()[image, 0, row, column] > 0, -1.0, 1.0)
        return np.divide(sign * (kept - toggled), 2.0 * variance, out=np.zeros(len(kept)), where=variance > 0)

    def _error(
        self, frame: Tensor, context: Tensor, candidates: Candidates, chunk: Sequence[Pass], number: int, draw: int
    ) -> Tensor:
        """Squared error of the velocity (eq. 5) of a batch of passes, seeds declared complete."""
        side, t = self.windowed.window_px, self.settings.times[number]
        windows = [one.window for one in chunk]
        x, seeds = gather(frame, windows, window_px=side), gather(context, windows, window_px=side)
        for plane, one in enumerate(chunk):
            for index in one.toggled:
                row, column = _inside(candidates, index, one)
                seeds[plane, 0, row, column] = 1.0 - seeds[plane, 0, row, column]
        z = window_noise(windows, side, seed=self.noise_seed, refine_iter=number, draw=draw, device=x.device)
        condition = torch.cat([seeds, torch.ones_like(seeds)], dim=1)
        times = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        assert self.generator is not None
        with self.windowed.autocast(x.device):
            velocity = self.generator(flow.interpolate(x, z, t), times, condition)
        return (velocity.float() - flow.velocity_target(x, z)).square()

    def _high_pass(self, inputs: Tensor, candidates: Candidates) -> Array:
        """Largest multi-scale high-pass near each candidate, (n,)."""
        images, spacings = plain_image(inputs).cpu().numpy(), self._spacings_mm(inputs)
        reach, values = self.settings.high_pass_reach_px, np.zeros(len(candidates))
        for image in np.unique(candidates.places[:, 0]):
            score = np.pad(high_pass_score(images[image, 0], spacing_mm=spacings[image]), reach)
            for index in np.flatnonzero(candidates.places[:, 0] == image):
                _, row, column = candidates.places[index]
                values[index] = score[row : row + 2 * reach + 1, column : column + 2 * reach + 1].max()
        return values

    def _neighbours(self, inputs: Tensor, candidates: Candidates) -> Array:
        """Company of each candidate in its image, (n,)."""
        spacings, values = self._spacings_mm(inputs), np.zeros(len(candidates))
        for image in np.unique(candidates.places[:, 0]):
            mine = candidates.places[:, 0] == image
            places_mm = candidates.places[mine, 1:] * spacings[image]
            values[mine] = neighbours_of(places_mm, candidates.peak[mine], self.settings)
        return values

    def _spacings_mm(self, inputs: Tensor) -> Array:
        """Row and column spacing of each image, (B, 2)."""
        given = getattr(inputs, "meta", {}).get("spacing_mm", self.settings.spacing_mm)
        return np.broadcast_to(np.asarray(given, np.float64), (len(inputs), 2))


def _inside(candidates: Candidates, index: int, one: Pass) -> tuple[int, int]:
    """Row and column of a candidate within a window."""
    _, row, column = candidates.places[index].tolist()
    return row - one.window.top, column - one.window.left


def _read(into: Array, values: np.ndarray, candidates: Candidates, indices: Sequence[int], one: Pass) -> None:
    """Take the values of a window's map at some candidates."""
    for index in indices:
        into[index] = values[_inside(candidates, index, one)]
