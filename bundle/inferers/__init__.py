"""From networks to whole views: the segmentor alone, refined by TT-GPR, by evidence, or by test-time augmentation."""

from .augmented import AugmentedInferer
from .autocast import AutocastInferer
from .evidence import EvidenceInferer
from .ttgpr import TTGPRInferer, trace_rows
from .windowed import WindowedInferer

__all__ = ["AugmentedInferer", "AutocastInferer", "EvidenceInferer", "TTGPRInferer", "WindowedInferer", "trace_rows"]
