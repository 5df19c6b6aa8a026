"""The shipped networks and inferers, built by configs/inference.yaml."""

import os
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from bundle.networks import load_weights

ROOT = Path(__file__).resolve().parents[1]


def augmented_inferer(**overrides: Any) -> Any:
    """The inferer of the method "augmentation".

    Args:
        **overrides: ids of configs/inference.yaml; without `uncertainty` there is no spread over passes.
    """
    return _parser(**{"uncertainty": False, **overrides}).get_parsed_content("augmented_inferer")


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
    parser.update({"generator::path": str(models / "generator_ema.pt")})
    network = parser.get_parsed_content("network")
    load_weights(network, str(models / "model.pt"), device=parser.get_parsed_content("device"))
    return parser.get_parsed_content("segmentor_inferer"), parser.get_parsed_content("refined_inferer"), network


def _parser(**overrides: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.yaml"))
    parser.update({"bundle_root": str(ROOT), **overrides})
    return parser
