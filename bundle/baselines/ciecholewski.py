"""Ciecholewski's morphological segmentation behind the inferers' interface."""

from ..functional.ciecholewski import HEIGHT, LEVELS, MAX_AREA_PX, RESIDUE_THRESHOLD, ciecholewski_score
from ..functional.classical import SKIN_MARGIN_MM
from ..functional.objects import Spacing
from .classical import ClassicalInferer


class CiecholewskiInferer(ClassicalInferer):
    """Pyramid, reconstruction and marker watershed; the threshold is the residue, the options are published."""

    def __init__(
        self,
        *,
        threshold: float = RESIDUE_THRESHOLD,
        height: int = HEIGHT,
        levels: int = LEVELS,
        max_area_px: int = MAX_AREA_PX,
        margin_mm: float = SKIN_MARGIN_MM,
        spacing_mm: Spacing | None = None,
    ) -> None:
        parameters = {"height": height, "levels": levels, "max_area_px": max_area_px, "margin_mm": margin_mm}
        super().__init__(ciecholewski_score, threshold=threshold, spacing_mm=spacing_mm, parameters=parameters)
