"""Every data set in its layout: prepared, trained on, evaluated on; and what goes wrong, told in a line."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import load_decathlon_datalist
from monai.utils import set_determinism
from PIL import Image

from bundle.data import MammogramReader
from bundle.data.inbreast import read_rois
from scripts.command import run_config
from scripts.evaluate import overrides
from scripts.evaluate import parse as parse_evaluation
from scripts.prepare import NAMES, main
from tests.data.dataset_layouts import (
    LAYOUTS,
    OPTIONS,
    POINT_AT,
    POLYGON_AT,
    dicom,
    folder,
    inbreast,
    rsna,
    view,
)

ROOT = Path(__file__).resolve().parents[2]
SMALL_PHANTOM: dict[str, Any] = {"spacing_mm": 0.1, "height_mm": 40.0, "width_mm": 32.0, "view": "CC"}
# Split that is evaluated, its kind of truth, and a figure that is 1 if the regions lie where the spots are.
FIGURES = [
    ("inbreast", "test", "mask", "object_recall"),
    ("inbreast", "training", "points", "object_recall"),
    ("rsna", "test", "mask", None),
    ("cbis-ddsm", "test", "outlines", "cluster_recall"),
    ("vindr-mammo", "test", "outlines", "cluster_recall"),
    ("mini-mias", "test", "outlines", "cluster_recall"),
    ("folder", "test", "mask", "object_recall"),
]


def _prepare(name: str, source: Path, out: Path, *more: str) -> dict[str, Any]:
    main([name, "--source", str(source), "--output-dir", str(out), *OPTIONS.get(name, []), *more])
    return json.loads((out / "report.json").read_text())


def _list(out: Path, key: str) -> list[dict[str, Any]]:
    return load_decathlon_datalist(out / "datalist.json", data_list_key=key)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """OUT of a data set, made once."""
    done: dict[str, Path] = {}

    def out(name: str) -> Path:
        if name not in done:
            root = tmp_path_factory.mktemp(name)
            _prepare(name, LAYOUTS[name](root / "source"), root / "out")
            done[name] = root / "out"
        return done[name]

    return out


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantoms")


@pytest.mark.train
# MONAI's LoadImaged, which reads the labels of the validation's phantom, tries every reader it knows.
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
@pytest.mark.parametrize("name", NAMES)
def test_a_segmentor_trains_on_the_negatives(
    name: str, prepared: Callable[[str], Path], phantoms: Path, tmp_path: Path
) -> None:
    datalist = prepared(name) / "datalist.json"
    small = {f"validate::files::{key}": value for key, value in SMALL_PHANTOM.items()}
    workflow = ConfigWorkflow(
        str(ROOT / "configs" / "train.yaml"),
        workflow_type="train",
        **{"bundle_root": str(ROOT), "dataset_dir": str(datalist), "phantom_dir": str(phantoms)},
        **{"output_dir": str(tmp_path), "phantom_count": 0, "validate::files::count": 1, "val_interval": 2},
        **{"epochs": 1, "iterations_per_epoch": 2, "batch_size": 1, "window_px": 64, "num_workers": 0},
        **{"network_def::dim": 8, "device": "cpu"},
        **small,
    )
    try:
        workflow.initialize()
        dataset = workflow.parser.get_parsed_content("train::dataset")
        negatives = _list(prepared(name), "negatives")
        assert len(dataset.views) == len(negatives) > 0
        for drawn, listed in zip(dataset.views, negatives, strict=True):
            np.testing.assert_allclose(drawn["image"].meta["spacing_mm"], listed["spacing_mm"])
            assert "ignore" in drawn, "backgrounds are screened"
        workflow.run()
    finally:
        set_determinism(None)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize(("name", "split", "kind", "figure"), FIGURES)
def test_an_evaluation_finds_the_spots_where_the_truth_has_them(
    name: str, split: str, kind: str, figure: str | None, prepared: Callable[[str], Path], tmp_path: Path
) -> None:
    out = prepared(name)
    folders = [f"--{what}={out / where / split}" for what, where in (("images", "views"), ("masks", "truth"))]
    command = [*folders, "--patients", str(out / "patients.csv"), "--output-dir", str(tmp_path)]
    run_config("evaluate", overrides(parse_evaluation([*command, "--systems", "top-hat"])), run_id="evaluate")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["annotation"] for row in rows} == {kind}
    values = {row["metric"]: float(row["value"] or "nan") for row in rows}
    # Or it would find them anywhere.
    assert values["fp_per_image"] <= 2
    assert figure is None or values[figure] == 1
    # Outlines and points never count as pixels.
    assert np.isnan(values["dice"]) == (kind != "mask" or name == "rsna")


@pytest.mark.train
def test_a_tiny_network_is_evaluated(prepared: Callable[[str], Path], tmp_path: Path) -> None:
    from monai.bundle import ConfigParser

    parser = ConfigParser(ConfigParser.load_config_file(str(ROOT / "configs" / "evaluate.yaml")))
    parser["network_def::dim"] = 8
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "tiny.pt")
    out = prepared("folder")
    command = ["--images", str(out / "views" / "test"), "--masks", str(out / "truth" / "test")]
    command += ["--output-dir", str(tmp_path / "results"), "--systems", "segmentor"]
    tiny = {"network_def::dim": 8, "network::path": str(tmp_path / "tiny.pt"), "window_px": 64, "device": "cpu"}
    run_config("evaluate", overrides(parse_evaluation(command)) | tiny, run_id="evaluate")
    assert len(list((tmp_path / "results" / "records").rglob("*.json"))) == len(_list(out, "test"))


@pytest.mark.parametrize("name", NAMES)
def test_the_list_names_files_that_state_their_pixel_size_and_splits_that_share_no_patient(
    name: str, prepared: Callable[[str], Path]
) -> None:
    content = json.loads((prepared(name) / "datalist.json").read_text())
    seen: dict[str, str] = {}
    for split in ("training", "validation", "test"):
        for item in _list(prepared(name), split) if split in content else []:
            assert seen.setdefault(item["patient"], split) == split
            read = MammogramReader().view(item["image"])
            np.testing.assert_allclose(read.spacing_mm, item["spacing_mm"])
            (kind,) = {"label", "points", "outlines"} & set(item)
            if kind == "label":
                label = np.asarray(Image.open(item["label"]))
                assert label.shape == read.pixels.shape
                assert item["negative"] == (not label.any())
            assert item["dataset"] == name
    assert {"training", "test"} <= set(seen.values())
    assert all(item["negative"] and item["split"] == "training" for item in _list(prepared(name), "negatives"))


def test_points_stay_points_and_polygons_polygons(prepared: Callable[[str], Path]) -> None:
    (item, *_) = [item for item in _list(prepared("inbreast"), "training") if "points" in item]
    rois = read_rois(item["points"])
    np.testing.assert_array_equal(rois.points, [POINT_AT])
    (polygon,) = rois.polygons
    np.testing.assert_allclose(polygon.mean(axis=0), POLYGON_AT)
    (masked,) = [item for item in _list(prepared("inbreast"), "test") if not item["negative"]]
    rows, columns = np.nonzero(np.asarray(Image.open(masked["label"])))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (70, 72, 63, 65)


def test_what_the_table_says_of_a_view_is_kept(prepared: Callable[[str], Path]) -> None:
    item = _list(prepared("inbreast"), "validation")[0]
    number = int(Path(item["image"]).name[:8]) - 20000000
    expected = ("LR"[number % 2], ("CC", "MLO")[number % 2], "ABCD"[number % 4], "Test Maker")
    assert (item["laterality"], item["view"], item["density"], item["vendor"]) == expected


def test_the_split_of_inbreast_has_a_name_of_its_own(prepared: Callable[[str], Path]) -> None:
    content = json.loads((prepared("inbreast") / "datalist.json").read_text())
    assert content["split_name"] == "inbreast-calcification-seed0"


def test_every_damage_is_told_and_ends_nothing(tmp_path: Path) -> None:
    source = inbreast(tmp_path / "source")
    images = sorted((source / "AllDICOMs").iterdir())
    images[1].write_bytes(images[1].read_bytes()[:3000])
    dicom(images[2], view((80, 100)), BreastImplantPresent="YES")
    (source / "AllXML" / "20000004.xml").write_text("<plist>cut sho")
    (source / "AllXML" / "99999999.xml").write_bytes((source / "AllXML" / "20000005.xml").read_bytes())
    (source / "AllXML" / "20000005.xml").unlink()
    dicom(source / "AllDICOMs" / "other.dcm", view())
    report = _prepare("inbreast", source, tmp_path / "out")
    assert sum(split["views"] for split in report["splits"].values()) == 2
    assert len(report["skipped"]) == 6
    told = json.dumps(report["skipped"])
    for word in ("truncated", "implant", "cannot be read", "without its view", "not rated BI-RADS 1", "not named"):
        assert word in told, word
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Skipped: 6" in page
    assert "20000004" not in page


def test_regions_outside_the_view_leave_it_out(tmp_path: Path) -> None:
    source = inbreast(tmp_path / "source")
    image = next((source / "AllDICOMs").glob("20000000_*"))
    dicom(image, view((72, 70)))
    report = _prepare("inbreast", source, tmp_path / "out")
    assert [entry["reason"] for entry in report["skipped"]] == ["Expected regions inside the view of 72 x 70 px"]


def test_views_without_a_pixel_size_are_skipped_unless_one_is_given_by_machine_or_for_all(tmp_path: Path) -> None:
    source = rsna(tmp_path / "source")
    command = ["rsna", "--source", str(source), "--output-dir"]
    with pytest.raises(SystemExit, match=r"found none of 6"):
        main([*command, str(tmp_path / "none")])
    reasons = json.loads((tmp_path / "none" / "report.json").read_text())["reasons"]
    assert reasons["Expected a pixel spacing"] == 5
    (tmp_path / "spacings.csv").write_text("machine,spacing_mm\n49,0.065\n")
    main([*command, str(tmp_path / "out"), "--spacings", str(tmp_path / "spacings.csv"), "--spacing-mm", "0.1"])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["spacings_mm"] == {"0.065 x 0.065 (assumed)": 3, "0.1 x 0.1 (assumed)": 2}
    # The same command goes on without reading; other options make the copies anew.
    before = (tmp_path / "out" / "views_read.jsonl").read_bytes()
    main([*command, str(tmp_path / "out"), "--spacings", str(tmp_path / "spacings.csv"), "--spacing-mm", "0.1"])
    assert (tmp_path / "out" / "views_read.jsonl").read_bytes() == before
    main([*command, str(tmp_path / "out"), "--spacing-mm", "0.08"])
    for item in _list(tmp_path / "out", "training"):
        assert MammogramReader().view(item["image"]).spacing_mm == (0.08, 0.08)


def test_a_copy_with_a_pixel_size_has_the_pixels_of_its_source(tmp_path: Path) -> None:
    source = rsna(tmp_path / "source")
    _prepare("rsna", source, tmp_path / "out")
    for item in [*_list(tmp_path / "out", "training"), *_list(tmp_path / "out", "test")]:
        patient, image = Path(item["image"]).stem.split("_")
        original = MammogramReader(spacing_mm=0.1).view(source / "train_images" / patient / f"{image}.dcm")
        copied = MammogramReader().view(item["image"])
        np.testing.assert_array_equal(copied.pixels, original.pixels)
        # Padded rows are the darkest, after inversion.
        assert copied.pixels[:20].max() == copied.pixels.min()


def test_drawing_fewer_patients_removes_what_an_earlier_run_wrote(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    _prepare("folder", source, tmp_path / "out")
    report = _prepare("folder", source, tmp_path / "out", "--max-patients", "1")
    assert sum(split["patients"] for split in report["splits"].values()) == 1
    files = [path for where in ("views", "truth") for path in (tmp_path / "out" / where).rglob("*") if path.is_file()]
    assert len(files) == 2 * 2


def test_no_identifier_of_a_header_leaves_it(prepared: Callable[[str], Path]) -> None:
    out = prepared("folder")
    for path in out.iterdir():
        if path.is_file():
            assert "SECRET" not in path.read_text(), path
    assert {item["patient"] for item in _list(out, "training")} <= {"patient0001", "patient0002", "patient0003"}


def test_views_without_masks_are_no_negatives_unless_said_so(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    main(["folder", "--source", str(source), "--output-dir", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert sum(split["negative"] for split in report["splits"].values()) == 0
    assert report["reasons"] == {f"Expected a mask of this name in {source}": 3}
    dicom(tmp_path / "normals" / "view.dcm", view())
    with pytest.raises(SystemExit, match="missing-is-clean"):
        main(["folder", "--source", str(tmp_path / "normals"), "--output-dir", str(tmp_path / "none")])


def test_a_table_says_who_is_the_patient(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    rows = "".join(f"view{n},p{n % 2}\n" for n in range(5))
    (tmp_path / "patients.csv").write_text(f"image,patient\n{rows}")
    report = _prepare("folder", source, tmp_path / "out", "--patients", str(tmp_path / "patients.csv"))
    assert sum(split["patients"] for split in report["splits"].values()) == 2
    assert [entry["what"] for entry in report["skipped"]] == ["view5"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["inbrest", "--source", "."], "Expected one of inbreast, rsna"),
        (["inbreast", "--source", "nowhere"], "Expected the folder of a data set"),
        (["inbreast", "--source", "."], "Expected INbreast's"),
        (["rsna", "--source", "."], r"Expected train\.csv"),
        (["vindr-mammo", "--source", "."], r"Expected breast-level_annotations\.csv"),
        (["mini-mias", "--source", "."], r"Expected Info\.txt"),
        (["cbis-ddsm", "--source", "."], "Expected calc_case_description_train_set"),
        (["folder", "--source", "."], "Expected a folder with DICOM"),
        (["rsna", "--source", ".", "--masks", "m"], "NAME folder alone"),
        (["rsna", "--source", ".", "--spacing-mm", "7"], "Expected pixel spacing 0.01 to 0.5 mm"),
        (["rsna", "--source", ".", "--spacings", "nowhere.csv"], "Expected an existing file"),
        (["rsna", "--source", ".", "--max-patients", "0"], "Expected at least 1"),
    ],
)
def test_a_wrong_word_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    with pytest.raises(SystemExit, match=line) as status:
        main([*arguments, "--output-dir", str(tmp_path / "out")])
    assert "\n" not in str(status.value.code)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_with_other_files_or_inside_the_source_is_refused(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    for out, line in ((tmp_path / "letters", "an empty folder"), (source / "out", "outside --source")):
        with pytest.raises(SystemExit, match=line):
            main(["folder", "--source", str(source), "--output-dir", str(out), "--missing-is-clean"])
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["mine.txt"]
