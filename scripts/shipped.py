"""The shipped networks and inferers, built by configs/inference.yaml."""

import os
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from bundle.data import company_settings
from bundle.functional.evidence import EvidenceSettings
from bundle.inferers import EvidenceInferer
from scripts.config_values import plain

ROOT = Path(__file__).resolve().parents[1]


def augmented_inferer(**overrides: Any) -> Any:
    """The inferer of the method "augmentation".

    Args:
        **overrides: ids of configs/inference.yaml; without `uncertainty` there is no spread over passes.
    """
    return _parser(**{"uncertainty": False, **overrides}).get_parsed_content("augmented_inferer")


def evidence_inferer(
    generator: torch.nn.Module | None, windowed: Any, *, settings: EvidenceSettings | None = None
) -> Any:
    """The inferer of the method "evidence", over a generator that is there already.

    Args:
        generator: of `shipped_inferers`' refining inferer; None for settings that do not need it.
        windowed: the segmentor's inferer, which says how windows are laid and run.
        settings: other ones than the shipped.
    """
    options = {name: getattr(windowed, name) for name in ("window_px", "overlap", "sw_batch_size", "dtype")}
    chosen = settings or _parser().get_parsed_content("evidence_settings")
    return EvidenceInferer(generator, settings=chosen, **options)


def company_inferer(augmented: Any, *, settings: EvidenceSettings | None = None) -> Any:
    """The inferer of the method "company".

    Args:
        augmented: of `augmented_inferer`, whose candidates are moved.
        settings: other ones than the shipped.
    """
    chosen = settings or company_settings(_parser().get_parsed_content("operating_points"))
    windowed = augmented.windowed
    options = {name: getattr(windowed, name) for name in ("window_px", "overlap", "sw_batch_size", "dtype")}
    return EvidenceInferer(None, settings=chosen, first_pass=augmented, **options)


def shipped_inferers(
    models_dir: str | os.PathLike[str] | None = None, **overrides: Any
) -> tuple[Any, Any, torch.nn.Module]:
    """Build what inference uses.

    Args:
        models_dir: folder of other weights than the shipped ones.
        **overrides: ids of configs/inference.yaml.

    Returns:
        The segmentor's inferer, the refining inferer, and the segmentor with its weights.
    """
    parser = _parser(method="ttgpr", **overrides)
    models = Path(models_dir) if models_dir else ROOT / "models"
    paths = {"network::path": models / "model.pt", "generator::path": models / "generator_ema.pt"}
    parser.update({id: plain(str(path)) for id, path in paths.items()})
    names = ("segmentor_inferer", "refined_inferer", "network")
    segment, refine, network = (parser.get_parsed_content(name) for name in names)
    return segment, refine, network


def _parser(**overrides: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.yaml"))
    parser.update({"bundle_root": str(ROOT), **overrides})
    return parser
