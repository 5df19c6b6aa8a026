"""The prior used as evidence: does the generator explain a candidate better with a seed than without?

Candidates are maxima of p down to a low threshold. For each, the flow-matching error of eq. 5 at one step (K = 1) is
compared with and without the seed, same noise, in a small disc. A logistic combination of p, this score and cheap
channels, the company of other candidates among them, then moves the logits of the candidate's basin. No such step is
in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import KDTree
from scipy.special import expit
from torch import Tensor
from torch.nn import functional as F

from .candidates import Candidates
from .confusion import IGNORE

CHANNELS = ("logit", "score", "high_pass", "spread", "neighbours")
# More of these never makes a calcification less likely.
_MONOTONE = ("logit", "score", "high_pass", "neighbours")
# Keeps the local error variance above zero where the generator is exact.
_SMALLEST_VARIANCE = 1e-8
_NOT_NEGATIVE = (
    "nms_px",
    "apart_px",
    "disc_px",
    "variance_px",
    "core_logits",
    "max_change",
    "high_pass_reach_px",
    "same_mm",
)
_POSITIVE = ("max_groups", "draws", "logit_limit", "score_limit", "neighbour_mm")

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EvidenceSettings:
    """Choices of the evidence; docs/evidence.md explains each.

    Attributes:
        threshold: lowest probability of a candidate, in (0, 1).
        nms_px: no two candidates nearer than this many rows and columns.
        apart_px: candidates of one pass of the generator are further apart than this, in rows or columns.
        max_groups: passes with seeds per window; candidates that fit in none keep their logits. The least certain come
            first.
        times: t at which the error is compared, each in (0, 1); t = 0 is noise.
        draws: noise draws per time.
        context_threshold: maxima of p from here on are seeds in both passes; None gives the candidate's seed alone.
        disc_px: radius of the disc over which squared errors are summed.
        variance_px: radius of the square over which the local error variance is taken.
        logit_limit: logits count as at most +- this; a basin that is lowered is clamped to it first, or a saturated
            false object could never go.
        score_limit: scores are clamped to +- this.
        weight_logit: weight of the candidate's own logit, 0 or more.
        weight_score: weight of the score, 0 or more; 0 never calls the generator.
        weight_high_pass: weight of the multi-scale high-pass in local standard deviations, 0 or more.
        weight_spread: weight of the score's standard deviation over draws.
        weight_neighbours: weight of the other candidates near by, 0 or more.
        bias: constant.
        max_change: largest change of a logit.
        core_logits: a raised candidate takes along pixels within this many logits of its peak, a lowered one its whole
            basin.
        high_pass_reach_px: the high-pass is the largest within this many rows and columns.
        neighbour_mm: distance at which another candidate counts exp(-1/2) of its probability;
        neighbour_threshold: candidates less probable than this are no company, in [0, 1).
        same_mm: what is nearer than this is the same object, and no neighbour.
        spacing_mm: pixel size for the high-pass and distances where the image's meta states none.

    Raises:
        ValueError: a choice out of its range.
    """

    threshold: float = 0.02
    nms_px: int = 3
    apart_px: int = 32
    max_groups: int = 2
    times: tuple[float, ...] = (0.7,)
    draws: int = 1
    context_threshold: float | None = None
    disc_px: int = 4
    variance_px: int = 16
    logit_limit: float = 12.0
    score_limit: float = 20.0
    weight_logit: float = 1.0
    weight_score: float = 0.5
    weight_high_pass: float = 0.0
    weight_spread: float = 0.0
    weight_neighbours: float = 0.0
    bias: float = 0.0
    max_change: float = 8.0
    core_logits: float = 2.0
    high_pass_reach_px: int = 2
    neighbour_mm: float = 5.0
    neighbour_threshold: float = 0.1
    same_mm: float = 0.4
    spacing_mm: float = 0.07

    def __post_init__(self) -> None:
        for name in (*_NOT_NEGATIVE, *(f"weight_{channel}" for channel in _MONOTONE)):
            _require(self, name, getattr(self, name) >= 0, "0 or more")
        for name in (*_POSITIVE, "spacing_mm"):
            _require(self, name, getattr(self, name) > 0, "more than 0")
        _require(self, "threshold", 0.0 < self.threshold < 1.0, "within (0, 1)")
        _require(self, "neighbour_threshold", 0.0 <= self.neighbour_threshold < 1.0, "within [0, 1)")
        times = self.times
        _require(self, "times", bool(times) and all(0.0 < t < 1.0 for t in times), "one or more times within (0, 1)")
        context = self.context_threshold
        _require(self, "context_threshold", context is None or self.threshold <= context < 1.0, "None, or a threshold")

    @property
    def weights(self) -> Array:
        """Weights of `CHANNELS`, (5,)."""
        return np.array([getattr(self, f"weight_{channel}") for channel in CHANNELS])


def _require(settings: EvidenceSettings, name: str, holds: bool, rule: str) -> None:
    """Refuse a choice in one line that names it."""
    if not holds:
        raise ValueError(f"Expected {name} to be {rule}, got {getattr(settings, name)!r}; see docs/evidence.md")


def disc_sums(error: Tensor, *, radius_px: int) -> Tensor:
    """Sum of a map over the disc around each pixel, nothing beyond the border: (N, 1, rows, columns) to the same."""
    offset = torch.arange(-radius_px, radius_px + 1, device=error.device)
    disc = (offset[:, None] ** 2 + offset[None] ** 2 <= radius_px**2).to(error.dtype)
    return F.conv2d(error, disc[None, None], padding=radius_px)


def local_variance(error: Tensor, *, radius_px: int) -> Tensor:
    """Mean of squared errors over the square around each pixel: (N, 1, rows, columns) to the same, above 0."""
    mean = F.avg_pool2d(error, 2 * radius_px + 1, stride=1, padding=radius_px, count_include_pad=False)
    return mean.clamp(min=_SMALLEST_VARIANCE)


@dataclass(frozen=True)
class Evidence:
    """What is known of each candidate.

    Attributes:
        logit: (n,), peak of the basin.
        score: (n,), the squared error without the seed less that with it, in the disc, over twice the local error
            variance; mean over times and draws. Above 0 the generator explains the place better with the seed.
        spread: (n,), standard deviation of the score over draws (each a mean over times); 0 with one draw.
        high_pass: (n,), multi-scale high-pass in local standard deviations; 0 where its weight is 0 and it was not
            asked for.
        neighbours: (n,), as `neighbours_of` gives it; 0 likewise.
        tested: bool (n,); candidates that fitted into no group keep their logits.
    """

    logit: Array
    score: Array
    spread: Array
    high_pass: Array
    neighbours: Array
    tested: NDArray[np.bool_]

    def features(self, settings: EvidenceSettings) -> Array:
        """`CHANNELS` as columns, (n, 5); logit, score and spread are limited."""
        logit = self.logit.clip(-settings.logit_limit, settings.logit_limit)
        score, spread = (one.clip(-settings.score_limit, settings.score_limit) for one in (self.score, self.spread))
        return np.stack([logit, score, self.high_pass, spread, self.neighbours], axis=1)


def neighbours_of(places_mm: Array, logit: Array, settings: EvidenceSettings) -> Array:
    """ln(1 + the expected number of calcifications around each candidate of one image), (n,).

    Every other candidate of `neighbour_threshold` or more counts with its probability times exp(-d^2 / 2 r^2), at a
    distance d of `same_mm` or more, r = `neighbour_mm`.

    Args:
        places_mm: (n, 2), row and column.
        logit: (n,), of the candidates.
        settings: the three.
    """
    reach, count = 4 * settings.neighbour_mm, len(places_mm)
    pairs = KDTree(places_mm).query_pairs(reach, output_type="ndarray") if count else np.zeros((0, 2), int)
    distance = np.linalg.norm(np.diff(places_mm[pairs], axis=1)[:, 0], axis=1)
    weight = np.where(distance < settings.same_mm, 0.0, np.exp(-0.5 * (distance / settings.neighbour_mm) ** 2))
    probability = expit(logit)
    probability[probability < settings.neighbour_threshold] = 0.0
    total = np.zeros(count)
    for one, other in (pairs.T, pairs.T[::-1]):
        total += np.bincount(one, weight * probability[other], minlength=count)
    return np.log1p(total)


def change_of_logits(evidence: Evidence, settings: EvidenceSettings) -> Array:
    """Change of each candidate's logit, (n,): bias + weights . channels - limited logit, at most +- max_change.

    Untested candidates have 0.

    The logit it leads to never falls when the candidate's logit, score, high-pass or company rises.
    """
    features = evidence.features(settings)
    wanted = settings.bias + features @ settings.weights
    change = np.clip(wanted - features[:, 0], -settings.max_change, settings.max_change)
    return np.where(evidence.tested, change, 0.0)


def move_basins(logits: Tensor, candidates: Candidates, change: Array, settings: EvidenceSettings) -> Tensor:
    """Logits with each candidate's basin moved; the order of pixels within a basin stays.

    A lowered basin moves as a whole, so a false object goes as a whole. A raised one takes along only its core, so an
    object does not grow over the faint surroundings.

    Args:
        logits: (B, 1, rows, columns).
        candidates: of these logits.
        change: (n,).
        settings: `core_logits` and `logit_limit`.
    """
    if len(candidates) == 0:
        return logits

    def per_pixel(values: Array) -> Tensor:
        table = torch.from_numpy(np.concatenate([[0.0], values])).to(logits.device, logits.dtype)
        return table[candidates.basins.long()]

    move, floor = per_pixel(change), per_pixel(candidates.peak - settings.core_logits)
    raised = torch.where((move > 0) & (logits >= floor), logits + move, logits)
    return torch.where(move < 0, logits.clamp(max=settings.logit_limit) + move, raised)


def fit_evidence(
    evidence: Sequence[Evidence],
    truth: Sequence[NDArray],
    settings: EvidenceSettings,
    *,
    channels: Sequence[str] = ("logit", "score"),
    penalty: float = 1.0,
) -> EvidenceSettings:
    """Settings with weights and bias by logistic regression on candidates of known truth, e.g. of injected pairs.

    Minimises the summed cross-entropy plus penalty / 2 times the squared weights of standardised channels; weights of
    logit, score, high-pass and neighbours stay at 0 or more.

    Args:
        evidence: one record per batch.
        truth: (n,) each, from `candidate_truth`; candidates that are neither 0 nor 1, or untested, are left out.
        settings: with which the evidence was gathered.
        channels: those used, among `CHANNELS`; the others get weight 0, but a logit that is not among them keeps weight
            1: what the segmentor says stands, and the evidence is added to it.
        penalty: above 0.

    Raises:
        ValueError: unknown channels, or candidates of one kind only.
    """
    if not channels or set(channels) - set(CHANNELS):
        raise ValueError(f"Expected channels among {CHANNELS}, got {tuple(channels)}; choose some of them")
    used = [CHANNELS.index(channel) for channel in channels]
    features = np.concatenate([record.features(settings) for record in evidence])
    label = np.concatenate([np.where(record.tested, one, IGNORE) for record, one in zip(evidence, truth, strict=True)])
    features, label = features[label != IGNORE], label[label != IGNORE].astype(np.float64)
    if not 0 < label.sum() < len(label):
        raise ValueError(f"Expected true and false candidates, got {int(label.sum())} true of {len(label)}; add views")
    every, kept = features[:, used], float("logit" not in channels)
    offset = kept * features[:, CHANNELS.index("logit")]
    mean, scale = every.mean(axis=0), np.maximum(every.std(axis=0), 1e-12)
    monotone = [channel in _MONOTONE for channel in channels]
    weights, bias = fit_logistic((every - mean) / scale, label, monotone, penalty, offset)
    weights = weights / scale
    fitted = dict.fromkeys((f"weight_{channel}" for channel in CHANNELS), 0.0)
    fitted["weight_logit"] = kept
    fitted |= {f"weight_{channel}": float(weight) for channel, weight in zip(channels, weights, strict=True)}
    return replace(settings, **fitted, bias=float(bias - weights @ mean))  # type: ignore[arg-type]


def fit_logistic(
    features: Array, label: Array, monotone: Sequence[bool], penalty: float, offset: Array
) -> tuple[Array, float]:
    """Weights and constant of a penalised logistic regression beside an offset, some weights of 0 or more.

    Args:
        features: (n, k), standardised.
        label: (n,), 0 or 1.
        monotone: (k,), weights that may not be negative.
        penalty: on half the squared weights.
        offset: (n,), added to the logits.
    """

    def loss(parameters: Array) -> tuple[float, Array]:
        weights, logits = parameters[:-1], offset + features @ parameters[:-1] + parameters[-1]
        residual = expit(logits) - label
        value = np.sum(np.logaddexp(0.0, logits) - label * logits) + 0.5 * penalty * weights @ weights
        return float(value), np.append(residual @ features + penalty * weights, residual.sum())

    bounds = [(0.0 if one else None, None) for one in monotone] + [(None, None)]
    start = np.zeros(features.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8})
    return found.x[:-1], float(found.x[-1])
