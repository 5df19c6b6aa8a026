"""Metrics in MONAI's shape."""

from .handler import MicrocalcificationHandler
from .microcalcification import RATIOS, MicrocalcificationMetric

__all__ = ["RATIOS", "MicrocalcificationHandler", "MicrocalcificationMetric"]
