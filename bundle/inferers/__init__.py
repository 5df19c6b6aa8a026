"""From networks to whole views: the segmentor alone, and with test-time generative posterior refinement."""

from .autocast import AutocastInferer
from .ttgpr import TTGPRInferer, trace_rows
from .windowed import WindowedInferer

__all__ = ["AutocastInferer", "TTGPRInferer", "WindowedInferer", "trace_rows"]
