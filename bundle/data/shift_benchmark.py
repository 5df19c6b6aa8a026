"""The shift benchmark: which cases there are, and their files.

Test views are the same breasts under every condition, so that a difference between two conditions is the shift alone.
See docs/shift_benchmark.md.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..functional.benchmark_breast import Breast, Outline, stream
from ..functional.benchmark_case import CaseParameters, render_case
from ..functional.benchmark_clusters import DISTRIBUTIONS
from ..functional.benchmark_imaging import Exposure, Mtf
from ..functional.benchmark_texture import Compartments, Lumps
from .whole_files import write_whole

BENCHMARK_VERSION = 3
"""Raise when the same parameters render differently: files of the old kind are then made anew."""
SEED_RANGES = {"tuning": (2**32, 2**32 + 2**16), "test": (2**33, 2**33 + 2**16)}
"""Training draws seeds below 2^31 (`bundle.data.phantom.SEED_RANGES`)."""
CONDITIONS = ("reference", "pixel", "mtf", "dose", "texture")
SPLITS = {"tuning": (8, 4), "test": (16, 18)}
"""Calcified and clean views of each condition."""
SPACING_MM = 0.07


@dataclass(frozen=True)
class Ranges:
    """What is drawn for the views of a split; each pair is a range, and those of the two splits are disjoint.

    Attributes:
        thickness_mm: compressed thickness.
        edge_mm: width of the rounded border.
        bow_mm: how strongly the outline is bent.
        unit_mm: published pixel of the clustered lumpy background.
        clusters: its clusters per 128 x 128 units.
        short: its blobs' width.
        alpha: rate of its blobs' fall.
        spread: its clusters' size.
        fine: weight of its finer layer.
        density: glandular share.
        contrast: of the texture.
        fibres_per_cm2: density of fibres.
        sigma_mm: Gaussian part of the detector's blur.
        tail: share of its far-spread light.
        quanta_per_mm2: dose.
        scatter_to_primary: scatter.
        noise_share: share of the noise that is correlated.
        gamma: steepness of the display curve.
        half: its middle.
    """

    thickness_mm: tuple[float, float]
    edge_mm: tuple[float, float]
    bow_mm: tuple[float, float]
    unit_mm: tuple[float, float]
    clusters: tuple[float, float]
    short: tuple[float, float]
    alpha: tuple[float, float]
    spread: tuple[float, float]
    fine: tuple[float, float]
    density: tuple[float, float]
    contrast: tuple[float, float]
    fibres_per_cm2: tuple[float, float]
    sigma_mm: tuple[float, float]
    tail: tuple[float, float]
    quanta_per_mm2: tuple[float, float]
    scatter_to_primary: tuple[float, float]
    noise_share: tuple[float, float]
    gamma: tuple[float, float]
    half: tuple[float, float]


RANGES = {
    "tuning": Ranges(
        thickness_mm=(34.0, 40.0),
        edge_mm=(6.0, 7.5),
        bow_mm=(9.0, 11.0),
        unit_mm=(0.15, 0.18),
        clusters=(55.0, 80.0),
        short=(2.3, 2.6),
        alpha=(1.8, 2.0),
        spread=(8.0, 10.0),
        fine=(0.55, 0.68),
        density=(0.20, 0.25),
        contrast=(0.62, 0.70),
        fibres_per_cm2=(3.0, 4.5),
        sigma_mm=(0.028, 0.034),
        tail=(0.05, 0.08),
        quanta_per_mm2=(2.3e5, 3.1e5),
        scatter_to_primary=(0.44, 0.50),
        noise_share=(0.75, 0.9),
        gamma=(2.2, 2.5),
        half=(0.56, 0.61),
    ),
    "test": Ranges(
        thickness_mm=(42.0, 60.0),
        edge_mm=(8.0, 12.0),
        bow_mm=(4.0, 8.5),
        unit_mm=(0.09, 0.13),
        clusters=(25.0, 45.0),
        short=(1.9, 2.1),
        alpha=(2.05, 2.15),
        spread=(11.0, 13.0),
        fine=(0.70, 1.10),
        density=(0.10, 0.19),
        contrast=(0.42, 0.60),
        fibres_per_cm2=(5.0, 8.0),
        sigma_mm=(0.036, 0.044),
        tail=(0.09, 0.13),
        quanta_per_mm2=(3.2e5, 5.0e5),
        scatter_to_primary=(0.52, 0.62),
        noise_share=(0.45, 0.7),
        gamma=(1.6, 2.1),
        half=(0.62, 0.75),
    ),
}


@dataclass(frozen=True)
class ShiftCase:
    """One view of the benchmark.

    Attributes:
        name: unique, also the stem of its files without the digest.
        patient: which breast it is; the same under every condition.
        split: "tuning" or "test".
        condition: one of CONDITIONS.
        level: how the condition was set, for people.
        calcified: whether there are calcifications.
        parameters: what to render.
    """

    name: str
    patient: str
    split: str
    condition: str
    level: str
    calcified: bool
    parameters: CaseParameters

    @property
    def digest(self) -> str:
        """Short name of everything that was drawn and of BENCHMARK_VERSION."""
        content = json.dumps([BENCHMARK_VERSION, asdict(self.parameters)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:10]


def shift_cases(split: str, condition: str) -> list[ShiftCase]:
    """Cases of one split under one condition: calcified ones first, then clean ones.

    Args:
        split: "tuning" or "test".
        condition: one of CONDITIONS; tuning views exist under "reference" alone, since nobody tunes on a shift.

    Raises:
        ValueError: if the split or the condition is unknown, or a shift is asked for tuning.
    """
    if split not in SPLITS:
        raise ValueError(f"Expected a split among {', '.join(SPLITS)}, got {split!r}; pass one of these")
    allowed = CONDITIONS if split == "test" else CONDITIONS[:1]
    if condition not in allowed:
        raise ValueError(
            f"Expected a condition of split {split} among {', '.join(allowed)}, got {condition!r}; pass one of these"
        )
    calcified, clean = SPLITS[split]
    return [_case(split, condition, index, calcified=index < calcified) for index in range(calcified + clean)]


def site_negatives(condition: str, *, count: int, split: str = "tuning") -> list[ShiftCase]:
    """Clean views of a site with a shift, none of which is in a split: what a calibration for that site may see.

    Args:
        condition: one of CONDITIONS.
        count: number of views.
        split: whose ranges they are drawn from; with "tuning" they share nothing but the shift with the test views,
            with "test" they are other breasts of the same kind.

    Raises:
        ValueError: if the condition or the split is unknown.
    """
    for name, value, known in (("condition", condition, CONDITIONS), ("split", split, tuple(SPLITS))):
        if value not in known:
            raise ValueError(f"Expected a {name} among {', '.join(known)}, got {value!r}; pass one of these")
    first = sum(SPLITS[split])
    return [_case(split, condition, first + number, calcified=False) for number in range(count)]


def _case(split: str, condition: str, index: int, *, calcified: bool) -> ShiftCase:
    level, parameters = _shifted(sample_parameters(split, index, calcified=calcified), condition, index)
    patient = f"{split}-{index:02d}"
    return ShiftCase(f"shift_{condition}_{patient}", patient, split, condition, level, calcified, parameters)


def sample_parameters(split: str, index: int, *, calcified: bool) -> CaseParameters:
    """Draw a view under the reference condition; a function of its seed alone.

    Args:
        split: "tuning" or "test".
        index: number of the view in its split; distributions take turns.
        calcified: whether there are calcifications.
    """
    first, stop = SEED_RANGES[split]
    if not 0 <= index < stop - first:
        raise ValueError(f"Expected 0 <= index < {stop - first}, got {index}; take a smaller number")
    ranges, rng = RANGES[split], stream(first + index, "parameters")
    drawn = {name: float(rng.uniform(*pair)) for name, pair in asdict(ranges).items()}
    breast = Breast(
        seed=first + index,
        outline=Outline(
            apex_row_mm=float(rng.uniform(20.0, 40.0)),
            depth_mm=float(rng.uniform(34.0, 42.0)),
            bow_mm=drawn["bow_mm"],
            wave_mm=float(rng.uniform(0.2, 0.8)),
            wave_phase=float(rng.uniform(0.0, 6.28)),
            thickness_mm=drawn["thickness_mm"],
            edge_mm=drawn["edge_mm"],
            skin_mm=float(rng.uniform(1.2, 1.8)),
        ),
        texture="lumps",
        lumps=Lumps(
            **{name: drawn[name] for name in ("unit_mm", "clusters", "short", "alpha", "spread", "fine")},
            blobs=20.0,
            long=5.0,
            beta=0.5,
            fine_ratio=0.35,
        ),
        compartments=Compartments(
            axis_mm=(2.0, 10.0), wall_mm=float(rng.uniform(0.35, 0.5)), filling=2.0, fat=0.2, warp_mm=2.0
        ),
        density=drawn["density"],
        contrast=drawn["contrast"],
        fibres_per_cm2=drawn["fibres_per_cm2"],
        vessels=int(rng.integers(1, 3)),
    )
    exposure = Exposure(
        **{name: drawn[name] for name in ("quanta_per_mm2", "scatter_to_primary", "noise_share", "gamma", "half")},
        scatter_mm=6.0,
        electronic=5.0,
        equalisation=0.9,
    )
    return CaseParameters(
        seed=first + index,
        distribution=DISTRIBUTIONS[index % len(DISTRIBUTIONS)] if calcified else None,
        spacing_mm=SPACING_MM,
        mirrored=bool(rng.random() < 0.5),
        breast=breast,
        mtf=Mtf(sigma_mm=drawn["sigma_mm"], tail=drawn["tail"], tail_mm=0.15),
        exposure=exposure,
    )


def _shifted(parameters: CaseParameters, condition: str, index: int) -> tuple[str, CaseParameters]:
    """Level and parameters of a view under a condition; even and odd views go to the two ends of a shift."""
    odd = index % 2 == 1
    if condition == "pixel":
        spacing_mm = 0.1 if odd else 0.05
        return f"{spacing_mm} mm", replace(parameters, spacing_mm=spacing_mm)
    if condition == "mtf":
        sharp, soft = Mtf(0.0, 0.0, 0.15, aperture_mm=0.05), Mtf(0.075, 0.18, 0.2)
        return ("softer, CsI" if odd else "sharper, a-Se"), replace(parameters, mtf=soft if odd else sharp)
    if condition == "dose":
        exposure, share = parameters.exposure, 0.25 if odd else 0.5
        lower = replace(exposure, quanta_per_mm2=share * exposure.quanta_per_mm2)
        return f"x {share}", replace(parameters, exposure=lower)
    if condition == "texture":
        return "compartments", replace(parameters, breast=replace(parameters.breast, texture="compartments"))
    return "0.07 mm", parameters


def write_cases(
    directory: str | Path, cases: Sequence[ShiftCase], *, progress: bool | None = None
) -> list[dict[str, str]]:
    """Write the views that are missing in a folder and list them all.

    Each view is a NIfTI file that says its pixel size, a label as PNG and the truth as JSON, written last to first, so
    that the view stands for all three. Another version or other parameters give other names, so nothing stale is read.

    Args:
        directory: folder; made if missing.
        cases: from `shift_cases`.
        progress: show a progress bar; None shows it if more than 2 are made.

    Returns:
        [{"image", "label", "truth": paths; "case", "patient", "split", "condition", "level"}, ...].
    """
    items, missing = [], []
    for case in cases:
        stem = Path(directory) / f"{case.name}_v{BENCHMARK_VERSION}_{case.digest}"
        paths = {
            "image": stem.with_suffix(".nii"),
            "label": stem.with_name(f"{stem.name}_label.png"),
            "truth": stem.with_name(f"{stem.name}_truth.json"),
        }
        said = {key: str(getattr(case, key)) for key in ("patient", "split", "condition", "level")}
        items.append({**{key: str(path) for key, path in paths.items()}, "case": case.name, **said})
        if not all(path.exists() for path in paths.values()):
            missing.append((case, paths))
    hidden = len(missing) <= 2 if progress is None else not progress
    for case, paths in tqdm(missing, desc="shift benchmark", unit="view", disable=hidden):
        _write_case(case, paths)
    return items


def _write_case(case: ShiftCase, paths: dict[str, Path]) -> None:
    rendered = render_case(case.parameters)
    write_whole(paths["label"], lambda temporary: Image.fromarray(rendered.label).save(temporary, format="PNG"))
    truth = json.dumps(rendered.truth_records(), indent=1)
    write_whole(paths["truth"], lambda temporary: temporary.write_text(truth))
    write_whole(paths["image"], lambda temporary: nib.save(nifti_of(rendered.image, rendered.spacing_mm), temporary))


def nifti_of(image: NDArray[np.uint16], spacing_mm: tuple[float, float]) -> nib.Nifti1Image:
    """The view as a NIfTI image of one slice, with columns along -x and rows along -y, as ITK has it.

    Args:
        image: (rows, columns).
        spacing_mm: pixel size (row, column) in mm.
    """
    affine = np.diag([-spacing_mm[1], -spacing_mm[0], 1.0, 1.0])
    return nib.Nifti1Image(np.ascontiguousarray(image.T)[:, :, None], affine)
