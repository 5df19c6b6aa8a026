"""Operators of the application: a loader of what can be read, the segmentation, and the writer of its results."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec
from monai.deploy.core.domain.dicom_series import DICOMSeries
from monai.deploy.core.domain.dicom_series_selection import StudySelectedSeries
from monai.deploy.core.domain.dicom_study import DICOMStudy
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from tqdm import tqdm

from bundle.data import MammogramError
from bundle.data.dicom import quiet_pydicom
from bundle.data.studies import group_studies
from scripts import segment_dicom
from scripts.deploy_app.views import LOADER_REASON, RULE_REASON, Intake, Wanted, readable_views
from scripts.segment_report import write_reports
from scripts.segment_view import ViewSegmenter

STUDIES = "dicom_study_list"
SELECTED = "study_selected_series_list"
SEGMENTED = "segmented_views"
"""Names of ports; the first two are the SDK's."""


class ViewLoaderOperator(DICOMDataLoaderOperator):
    """The SDK's loader, given only files that the bundle's reader does not refuse for their header.

    Named output:
        dicom_study_list: list of DICOMStudy.
    """

    def __init__(self, fragment: Fragment, *args: Any, intake: Intake, **kwargs: Any) -> None:
        self._intake = intake
        super().__init__(fragment, *args, must_load=False, **kwargs)

    def load_data_to_studies(self, input_path: Path) -> list[DICOMStudy]:
        """Load the readable views below a folder; the others are told."""
        readable = readable_views(str(input_path), self._intake)
        with quiet_pydicom(input_path):
            studies: list[DICOMStudy] = self._load_data(readable)
        self._intake.loaded = _paths(series for study in studies for series in study.get_all_series())
        self._intake.refuse_missing(readable, self._intake.loaded, LOADER_REASON)
        return studies


class SegmentViewsOperator(Operator):
    """Every instance of every selected series through configs/inference.yaml, read by the bundle's own reader.

    Named input:
        study_selected_series_list: list of StudySelectedSeries.

    Named output:
        segmented_views: paths of the views that have results now.
    """

    def __init__(
        self, fragment: Fragment, *args: Any, options: Mapping[str, Any], intake: Intake, **kwargs: Any
    ) -> None:
        """Set what inference runs with.

        Args:
            fragment: the application.
            args: conditions.
            options: ids of configs/inference.yaml.
            intake: gets a line for every view that is refused.
            kwargs: the operator's name.
        """
        self._options, self._intake = options, intake
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input(SELECTED)
        spec.output(SEGMENTED)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Segment the selected views; what the rule passed over is told here."""
        studies: list[StudySelectedSeries] = op_input.receive(SELECTED)
        files = _paths(selected.series for study in studies for selected in study.selected_series)
        self._intake.refuse_missing(self._intake.loaded, files, RULE_REASON)
        segment = ViewSegmenter(self._options)
        for path in tqdm(files, desc="Views", unit="view"):
            try:
                segment(path)
            except MammogramError as refusal:
                self._intake.refuse(path, refusal)
            else:
                self._intake.segmented.append(path)
        op_output.emit(self._intake.segmented, SEGMENTED)


class WriteResultsOperator(Operator):
    """SEG and structured reports of the segmented views, and the page of each study, as `scripts.segment` makes them.

    Named input:
        segmented_views: paths.
    """

    def __init__(
        self, fragment: Fragment, *args: Any, options: Mapping[str, Any], intake: Intake, wanted: Wanted, **kwargs: Any
    ) -> None:
        """Set which results are written; other arguments as of `SegmentViewsOperator`."""
        self._options, self._intake, self._wanted = options, intake, wanted
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the port."""
        spec.input(SEGMENTED)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Write pages and DICOM objects."""
        segmented = set(op_input.receive(SEGMENTED))
        output_dir = Path(self._options["output_dir"])
        studies = group_studies(self._options["input"])
        if self._wanted.pages:
            shown, left_out = self._wanted.show_patient, self._intake.refused
            write_reports(studies, output_dir, self._options, show_patient=shown, left_out=left_out)
        if self._wanted.dicom:
            mine = [replace(study, files=tuple(file for file in study.files if file in segmented)) for study in studies]
            self._intake.without_objects = segment_dicom.write_where_possible(mine, output_dir)


def _paths(series: Iterable[DICOMSeries]) -> list[str]:
    """Paths of the files that the instances of series were read from, in order."""
    return sorted(instance.get_native_sop_instance().filename for one in series for instance in one.get_sop_instances())
