"""The application's graph: DICOM folder -> studies -> selected series -> findings -> SEG, SR and page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator

from scripts.deploy_app.operators import (
    SEGMENTED,
    SELECTED,
    STUDIES,
    SegmentViewsOperator,
    ViewLoaderOperator,
    WriteResultsOperator,
)
from scripts.deploy_app.views import RULES, Intake, Wanted


class MicrocalcificationApp(Application):
    """Segments the mammograms of a DICOM folder.

    Args:
        input_dir: the folder.
        options: ids of configs/inference.yaml.
        intake: what became of each file, filled while it runs.
        wanted: which results are written.
    """

    def __init__(
        self, input_dir: Path, *args: Any, options: Mapping[str, Any], intake: Intake, wanted: Wanted, **kwargs: Any
    ) -> None:
        self._input_dir, self._options, self._intake, self._wanted = input_dir, options, intake, wanted
        super().__init__(*args, **kwargs)

    def compose(self) -> None:
        """Connect the operators."""
        loader = ViewLoaderOperator(
            self, CountCondition(self, 1), input_folder=self._input_dir, intake=self._intake, name="loader"
        )
        selector = DICOMSeriesSelectorOperator(self, rules=RULES, all_matched=True, name="selector")
        given: dict[str, Any] = {"options": self._options, "intake": self._intake}
        segmentor = SegmentViewsOperator(self, **given, name="segmentor")
        writer = WriteResultsOperator(self, **given, wanted=self._wanted, name="writer")
        self.add_flow(loader, selector, {(STUDIES, STUDIES)})
        self.add_flow(selector, segmentor, {(SELECTED, SELECTED)})
        self.add_flow(segmentor, writer, {(SEGMENTED, SEGMENTED)})
