"""The variants of the ablation: the full recipe of configs/train.yaml, and each ingredient off in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai.bundle import ConfigParser

FULL = "full"
# The full recipe again: how far chance alone reaches.
CHANCE = "another-seed"
TRANSFORMS = "train::preprocessing::transforms"
HANDLERS = "train::handlers"
RANGES = "injection_ranges"


@dataclass(frozen=True)
class Variant:
    """One training.

    Attributes:
        name: as chosen and as in the table.
        what: one line for the reader.
        overrides: ids of configs/train.yaml and their values.
        needs_normals: makes no difference, or is nothing, without real normals.
        reads_normals: whether the real normals are among its views, where there are any.
        start: "scratch" or "weights" if it makes sense from random weights, or from given ones, alone; "" for both.
    """

    name: str
    what: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    needs_normals: bool = False
    reads_normals: bool = True
    start: str = ""


def all_variants(config: ConfigParser, *, seed: int = 0) -> dict[str, Variant]:
    """Every variant by name, the full recipe first, then that recipe from another seed: how much is chance.

    Args:
        config: the parsed configs/train.yaml; hard negatives that it does not draw are no variants.
        seed: of all but the one from another seed.

    Raises:
        ValueError: if an ingredient is not where it was in the config.
    """
    crop = _place(config, TRANSFORMS, "RandBreastCropd")
    inject = _place(config, TRANSFORMS, "RandInjectMicrocalcificationsd")
    noise, detector = (_place(config, TRANSFORMS, name) for name in ("RandQuantumNoised", "RandDetectord"))
    clipping = _place(config, HANDLERS, "ClipGradients")
    kinds = [kind for kind, share in config["hard_negatives"].items() if share > 0]
    without_screening = [step for step in config["train::dataset::load::transforms"] if step != "@screening"]
    variants = [
        Variant(FULL, "everything on"),
        Variant(CHANCE, "everything on, other random numbers: what differs is chance", {"seed": seed + 1}),
        Variant("no-hard-negatives", "no hard negatives at all", {"hard_negatives": {}}),
        *(Variant(f"no-{kind}", f"no hard negatives: {kind}", {f"hard_negatives::{kind}": 0.0}) for kind in kinds),
        Variant("no-detector", "no detector randomisation", {f"{detector}::prob": 0.0}),
        Variant("no-noise", "no quantum noise before the injection", {f"{noise}::prob": 0.0}),
        Variant(
            "no-screening",
            "spots of real views that may be calcifications stay background",
            # Views that were kept on disk with screened spots are not those.
            {"train::dataset::load::transforms": without_screening, "train::dataset::cache_settings": "unscreened"},
            needs_normals=True,
        ),
        Variant("thickness-only", "contrast always by thickness", {f"{RANGES}::by_thickness_share": 1.0}),
        Variant("thickness-never", "contrast never by thickness", {f"{RANGES}::by_thickness_share": 0.0}),
        Variant("no-density", "clusters anywhere in the breast", {f"{inject}::density_aware": False}),
        Variant("grouped-only", "one BI-RADS distribution", {f"{RANGES}::distributions": {"grouped": 1.0}}),
        Variant("ovals-only", "ovals only", {f"{RANGES}::shape_shares": [1.0, 0.0, 0.0, 0.0]}),
        Variant("no-floor", "visibility floor 0: no punctum is ignored", {f"{inject}::ignore_faint": False}),
        Variant("no-empty", "puncta in every patch", {f"{RANGES}::empty_share": 0.0}),
        Variant("no-pixel-size", "patches at the view's own pixel size", {f"{crop}::scale": [1.0, 1.0]}),
        Variant("no-high-pass", "no high-passed input channel", {"network_def::high_pass_gain": 0.0}, start="scratch"),
        Variant("no-object-loss", "the overlap losses of eq. 3 alone", {"lambda_objects": 0.0}, start="weights"),
        Variant(
            "object-loss-only",
            "cross-entropy by objects alone",
            {"loss::lambda_dice": 0.0, "loss::lambda_tversky": 0.0},
            start="weights",
        ),
        Variant("no-clipping", "gradients as they are", {f"{clipping}::_disabled_": True}),
        Variant("no-phantoms", "real normals alone", {"phantom_count": 0}, needs_normals=True),
        Variant("no-real", "phantoms alone", needs_normals=True, reads_normals=False),
    ]
    return {variant.name: variant for variant in variants}


def chosen_variants(
    every: Mapping[str, Variant], names: Sequence[str] | None, *, normals: bool, weights: bool = False
) -> list[Variant]:
    """Variants to be trained, the full recipe first since all others are compared with it.

    Args:
        every: from `all_variants`.
        names: those wanted; None for all that can be.
        normals: whether there are real normals.
        weights: whether trainings start from given weights.

    Raises:
        ValueError: on an unknown name, or one that needs normals, weights or random weights when there are none.
    """
    start = "weights" if weights else "scratch"
    fitting = {name: variant for name, variant in every.items() if variant.start in ("", start)}
    possible = {name: variant for name, variant in fitting.items() if normals or not variant.needs_normals}
    for name in names or ():
        if name not in every:
            raise ValueError(f"Expected variants among {', '.join(every)}, got {name!r}; choose some of these")
        if name not in fitting:
            remedy = "leave --initial-weights out" if weights else "pass --initial-weights"
            raise ValueError(f"Expected variants that can start from {start}, got {name}; {remedy}")
        if name not in possible:
            raise ValueError(f"Expected --normals with the variant {name}, got none; pass a folder or leave it out")
    return [variant for name, variant in possible.items() if names is None or name in (FULL, *names)]


def _place(config: ConfigParser, id: str, target: str) -> str:
    """Id of the component of a list with this target, wherever in it it stands."""
    for number, component in enumerate(config[id]):
        if isinstance(component, Mapping) and str(component.get("_target_", "")).split(".")[-1] == target:
            return f"{id}::{number}"
    raise ValueError(f"Expected {target} in {id} of configs/train.yaml, found none; tell the ablation where it is")
