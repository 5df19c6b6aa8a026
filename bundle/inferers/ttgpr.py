"""Test-time generative posterior refinement (eqs. 6-16) over a whole view, with one shared map of logits."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from ..functional import flow
from ..functional.edges import edge_map
from ..functional.refinement import Energy, energy_gradient, high_pass_mixing, mixing_rate, refine_step, time_schedule
from ..functional.refinement_settings import RefinementSettings, change, preset
from ..functional.seeds import seed_map
from ..functional.uncertainty import RunningUncertainty, UncertaintyMaps
from ..functional.windows import (
    EMPTY_LOGIT,
    Window,
    coverage,
    gather,
    pad_to_window,
    scatter_add_,
    window_peaks,
)
from .windowed import Network, WindowedInferer, like_inputs, plain_image, window_noise

TraceRow = dict[str, float]


@dataclass
class _View:
    """What the iterations work on: a batch of images at least one window large."""

    image: Tensor
    logits: Tensor
    edges: Tensor
    windows: list[Window]


class TTGPRInferer(Inferer):
    """Refines the segmentor's logits with the generator's projections.

    All windows share one map of logits over the whole image: seeds come from the whole image's probabilities, each
    window adds the gradient of its own energy, gradients are averaged where windows overlap, and the map moves once per
    iteration. An image of one window therefore gets the method as written; zero iterations give the segmentor alone,
    bit by bit.

    Args:
        generator: velocity field (state, t, condition) -> velocity; a module is set to evaluation mode.
        preset: name of the settings, "default", "fast" or "paper".
        overrides: fields of the settings to change.
        settings: the settings themselves, in place of a preset.
        window_px: side of the window, the one both networks were trained on.
        overlap: shared fraction of neighbouring windows, in [0, 1).
        sw_batch_size: windows per call of a network.
        gate_threshold: overrides the settings' gate: windows whose largest initial probability is below it are not
            refined and cost nothing. 0 refines all; None leaves the settings as they are.
        noise_seed: picks the noise.
        noise_members: 2 or more: keep the spread over so many refinements, which differ in their noise alone and cost
            as much each; the result is still that of `noise_seed`.
        agreement_threshold: probability at which one of them finds something.
        dtype: "float32", or "bfloat16" or "float16" for calls of the networks under autocast.
        trace: keep `last_trace`.
        progress: show progress bars.

    Attributes:
        last_trace: one row per iteration of the last call, if `trace`: refine_iter, t, steps (K), n_seeds (of the
            images still refined), n_windows, energy and its weighted terms tversky, stabilisation, edge (summed over
            windows), and step (largest change of a logit).
        last_uncertainty: spread of the last call, if `noise_members`.

    Raises:
        ValueError: an unknown preset or field, or an option out of its range.
    """

    # Of the class: settings that kept maps are named by hold only what logits depend on.
    spread: tuple[int, float] | None = None
    last_uncertainty: UncertaintyMaps | None = None

    def __init__(
        self,
        generator: flow.Generator,
        *,
        preset: str = "default",
        overrides: Mapping[str, Any] | None = None,
        settings: RefinementSettings | None = None,
        window_px: int = 256,
        overlap: float = 0.5,
        sw_batch_size: int = 4,
        gate_threshold: float | None = None,
        noise_seed: int = 0,
        noise_members: int = 1,
        agreement_threshold: float = 0.5,
        dtype: str = "float32",
        trace: bool = False,
        progress: bool = False,
    ) -> None:
        super().__init__()
        changes = dict(overrides or {}) | ({} if gate_threshold is None else {"gate_threshold": gate_threshold})
        self.settings = change(_preset(preset) if settings is None else settings, **changes)
        self.generator = generator.eval() if isinstance(generator, nn.Module) else generator
        self.windowed = WindowedInferer(window_px, overlap, sw_batch_size, dtype=dtype, progress=progress)
        self.noise_seed, self.trace = noise_seed, trace
        if noise_members < 1:
            raise ValueError(f"Expected noise_members of at least 1, got {noise_members}; 1 keeps no spread")
        if noise_members > 1:
            self.spread = (noise_members, agreement_threshold)
        self.last_trace: list[TraceRow] = []

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Refined logits of a batch of images (eqs. 6-16).

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
        image = plain_image(inputs)
        self.last_trace = []

        def call(window: Tensor) -> Tensor:
            return network(window, *args, **kwargs)

        with torch.no_grad():
            initial = self.windowed(image, call)
            refined = self._refine(image, initial, call)
            if self.spread is not None:
                self._keep_spread(*self.spread, image, initial, refined, call)
        return like_inputs(refined, inputs)

    def _keep_spread(
        self, members: int, threshold: float, image: Tensor, initial: Tensor, refined: Tensor, network: Network
    ) -> None:
        """Spread over refinements that differ in their noise; the first is there already."""
        running = RunningUncertainty(image.shape, threshold=threshold, device=image.device)
        whole = [Window(index, 0, 0) for index in range(len(image))]
        running.add(torch.sigmoid(refined)[None], whole)
        other = copy.copy(self)
        other.trace = False
        for _ in range(1, members):
            other.noise_seed += 1
            running.add(torch.sigmoid(other._refine(image, initial, network))[None], whole)
        self.last_uncertainty = running.maps()

    def _refine(self, image: Tensor, initial: Tensor, network: Network) -> Tensor:
        """The iterations; image and initial logits are (B, 1, rows, columns)."""
        choice, window_px = self.settings, self.windowed.window_px
        frame, windows = self.windowed.layout(image)
        logits = pad_to_window(initial, window_px=window_px, value=EMPTY_LOGIT)
        windows = self._gated(windows, logits)
        if not windows or choice.iterations == 0:
            return initial
        if isinstance(self.generator, nn.Module):
            self.generator.to(image.device)
        edges = edge_map(image, kind=choice.edge_kind, erode_px=choice.edge_erode_px, sigma_px=choice.edge_sigma_px)
        view = _View(frame, logits, pad_to_window(edges, window_px=window_px, value=0.0), windows)
        times = time_schedule(choice.iterations, t_start=choice.t_start, t_end=choice.t_end)
        for refine_iter, t in enumerate(times):
            if not view.windows:
                break
            self._iterate(view, refine_iter, t, network)
        if choice.mixing == "once":
            mixed = self._mixed(view.logits, view.logits, view.edges, choice.rho)
            view.logits = torch.where(coverage(frame, windows, window_px=window_px) > 0, mixed, view.logits)
        return view.logits[..., : image.shape[-2], : image.shape[-1]].contiguous()

    def _gated(self, windows: Sequence[Window], logits: Tensor) -> list[Window]:
        """Those windows that hold evidence."""
        peaks = window_peaks(torch.sigmoid(logits), windows, window_px=self.windowed.window_px)
        return [window for window, peak in zip(windows, peaks, strict=True) if peak >= self.settings.gate_threshold]

    def _iterate(self, view: _View, refine_iter: int, t: float, network: Network) -> None:
        """One iteration (eqs. 8-15); moves the logits, and drops the windows of images that have come to rest."""
        choice, before = self.settings, view.logits
        seeds = self._seeds(torch.sigmoid(before))
        gradient, terms = self._gradient(view, seeds, refine_iter, t, network)
        count = coverage(before, view.windows, window_px=self.windowed.window_px)
        moved = refine_step(before, gradient / count.clamp(min=1.0), eta=choice.eta, max_step=choice.max_step)
        rate = mixing_rate(choice.rho, refine_iter, iterations=choice.iterations, mixing=choice.mixing)
        view.logits = torch.where(count > 0, self._mixed(moved, before, view.edges, rate), before)
        if self.trace:
            images = sorted({window.image for window in view.windows})
            self.last_trace.append(
                {"refine_iter": refine_iter, "t": t, "steps": self._steps(t), "n_seeds": int(seeds[images].sum())}
                | {"n_windows": len(view.windows)}
                | _sums(terms)
                | {"step": float((view.logits - before).abs().max())}
            )
        if choice.stop_change > 0:
            change_per_image = (torch.sigmoid(view.logits) - torch.sigmoid(before)).abs().amax(dim=(1, 2, 3)).tolist()
            view.windows = [w for w in view.windows if change_per_image[w.image] > choice.stop_change]

    def _gradient(
        self, view: _View, seeds: Tensor, refine_iter: int, t: float, network: Network
    ) -> tuple[Tensor, list[Energy]]:
        """Gradients of the windows' energies, summed onto the image, and the energies."""
        cut = partial(gather, window_px=self.windowed.window_px)
        gradient, energies = torch.zeros_like(view.logits), []
        for chunk in self.windowed.chunks(view.windows, f"refinement {refine_iter + 1}/{self.settings.iterations}"):
            target = self._target(cut(view.image, chunk), cut(seeds, chunk), chunk, refine_iter, t, network)
            part, terms = energy_gradient(cut(view.logits, chunk), target, cut(view.edges, chunk), self.settings)
            scatter_add_(gradient, part, chunk)
            energies.append(terms)
        return gradient, energies

    def _target(
        self, x: Tensor, seeds: Tensor, chunk: Sequence[Window], refine_iter: int, t: float, network: Network
    ) -> Tensor:
        """Surrogate target q = sigmoid(S(Pi(x; s, t, z))) of a batch of windows, mean over draws (eqs. 8 and 9)."""
        choice = self.settings
        condition = torch.cat([seeds, torch.full_like(seeds, float(choice.seeds_complete))], dim=1)
        total = torch.zeros_like(x)
        for draw in range(choice.draws):
            z = window_noise(
                chunk, x.shape[-1], seed=self.noise_seed, refine_iter=refine_iter, draw=draw, device=x.device
            )
            with self.windowed.autocast(x.device):
                projected = flow.project(
                    self.generator, x, condition, t, z, k_max=choice.k_max, steps=choice.steps, method=choice.method
                )
            total += torch.sigmoid(self.windowed.logits(projected, network))
        return total / choice.draws

    def _seeds(self, probs: Tensor) -> Tensor:
        """Seeds of the whole images, s = A(p)."""
        choice = self.settings
        return seed_map(
            probs,
            threshold=choice.seed_threshold,
            nms_px=choice.seed_nms_px,
            mode=choice.seed_mode,
            second_threshold=choice.seed_second_threshold,
            cluster_radius_px=choice.seed_cluster_radius_px,
        )

    def _mixed(self, moved: Tensor, before: Tensor, edges: Tensor, rate: float) -> Tensor:
        """Eq. 15 and the clamp; a logit that the segmentor put beyond the limit may stay there, but goes no further."""
        choice = self.settings
        mixed = high_pass_mixing(moved, edges, rho=rate, form=choice.mixing_form, sigma_px=choice.mixing_sigma_px)
        limit = choice.logit_limit
        return mixed.clamp(before.clamp(max=-limit), before.clamp(min=limit))

    def _steps(self, t: float) -> int:
        """K at time t."""
        return self.settings.steps or flow.ode_steps(t, k_max=self.settings.k_max)


# The argument `preset` hides the function of that name.
_preset = preset


def _sums(terms: Sequence[Energy]) -> TraceRow:
    """Energies of all windows, added up."""
    total, tversky, squares, edge = (float(torch.cat(values).sum()) for values in zip(*terms, strict=True))
    return {"energy": total, "tversky": tversky, "stabilisation": squares, "edge": edge}


def trace_rows(trace: Sequence[TraceRow]) -> list[list[str | float]]:
    """A trace as a table: the names, then one row per iteration; empty if there were none."""
    if not trace:
        return []
    names = list(trace[0])
    table: list[list[str | float]] = [list(names)]
    table.extend([row[name] for name in names] for row in trace)
    return table
