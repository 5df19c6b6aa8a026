"""Results are known again by their UIDs, and nothing but UIDs changes in a file that gets them."""

from pathlib import Path

import pydicom
import pytest

from bundle.data.archive_objects import give_own_uids, object_uid, own_series_uid, own_sop_uid, source_uids
from bundle.data.dicom_results import new_uid
from bundle.data.errors import MammogramError
from scripts import dicom_results
from tests.data.dicom_exam import write_exam, write_exam_results

SOP = "2.25.205849552892676878629896860454104020472"
SERIES = "2.25.236063453692740458980057542464619903705"


def test_uids_never_change() -> None:
    """Archives hold them."""
    assert own_sop_uid(["1.2", "1.3"], method="segmentor", kind="cad") == SOP
    assert own_series_uid("1.2", method="segmentor", kind="cad") == SERIES


def test_the_order_of_the_views_does_not_matter() -> None:
    assert own_sop_uid(["1.3", "1.2"], method="m", kind="k") == own_sop_uid(["1.2", "1.3"], method="m", kind="k")


def test_whatever_differs_makes_another_uid() -> None:
    ways = [(method, kind) for method in ("m", "n") for kind in ("seg", "cad")]
    sources = (["1.2"], ["1.3"], ["1.2", "1.3"])
    uids = [own_sop_uid(views, method=method, kind=kind) for views in sources for method, kind in ways]
    uids += [own_series_uid(study, method=method, kind=kind) for study in ("1.2", "1.3") for method, kind in ways]
    assert len(set(uids)) == len(uids) == 12 + 8
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids)


def _objects(tmp_path: Path, kinds: list[str]) -> tuple[list[str], dict[str, Path]]:
    folder, results = tmp_path / "views", tmp_path / "out"
    folder.mkdir()
    views = [write_exam(folder / f"{side}.dcm") for side in ("left", "right")]
    for view in views:
        write_exam_results(view, results)
    dicom_results.main(["--input", str(folder), "--results", str(results), "--objects", *kinds])
    paths = {path.stem.rpartition("_")[2]: path for path in sorted(results.glob("*.dcm"), reverse=True)}
    return [str(pydicom.dcmread(view).SOPInstanceUID) for view in views], paths


def test_a_report_is_about_all_views_and_keeps_everything_but_uids_and_number(tmp_path: Path) -> None:
    views, paths = _objects(tmp_path, ["cad"])
    _assert_only_uids_change(paths["cad"], "cad", views)


def test_a_segmentation_is_about_its_view_and_keeps_everything_but_uids_and_number(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    views, paths = _objects(tmp_path, ["seg", "probability", "measurements"])
    _assert_only_uids_change(paths["measurements"], "measurements", views)
    for kind in ("seg", "probability"):
        _assert_only_uids_change(paths[kind], kind, views[:1])


def _assert_only_uids_change(path: Path, kind: str, views: list[str]) -> None:
    before = pydicom.dcmread(path)
    assert source_uids(before) == frozenset(views)
    series = own_series_uid(before.StudyInstanceUID, method="segmentor", kind=kind)
    assert give_own_uids(path, method="segmentor", kind=kind, in_series={series: 4}) == frozenset(views)
    before.InstanceNumber += 4
    after = pydicom.dcmread(path)
    assert object_uid(path) == after.SOPInstanceUID == own_sop_uid(views, method="segmentor", kind=kind)
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.SeriesInstanceUID == series
    for dataset in (before, after):
        del dataset.SOPInstanceUID, dataset.SeriesInstanceUID
    assert before == after


def test_an_image_is_about_no_image(tmp_path: Path) -> None:
    assert source_uids(pydicom.dcmread(write_exam(tmp_path / "view.dcm", SOPInstanceUID=new_uid()))) == frozenset()


def test_a_file_cut_short_is_one_line(tmp_path: Path) -> None:
    path = write_exam(tmp_path / "view.dcm")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MammogramError, match="Expected a readable DICOM file"):
        give_own_uids(path, method="segmentor", kind="seg", in_series={})
