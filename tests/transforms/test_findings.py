import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from PIL import Image

from bundle.functional.uncertainty import UncertaintyMaps
from bundle.transforms.findings import SUFFIXES, SaveFindingsd

SHAPE = (90, 120)
SPACING = (0.1, 0.2)
ROW, COLUMN = 20, 70
PLAIN = np.array([[0, -0.2, 0, 0], [-0.1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def view(source: str = "/somewhere/case 7.dcm", *, affine: np.ndarray = PLAIN) -> MetaTensor:
    image = np.random.default_rng(0).uniform(-0.8, 0.2, (1, *SHAPE)).astype(np.float32)
    image[:, :, 100:] = -1
    meta = {
        "spacing_mm": np.array(SPACING),
        "filename_or_obj": source,
        "view_position": "CC",
        "laterality": "L",
        "patient_name": "Secret",
    }
    return MetaTensor(torch.from_numpy(image), affine=torch.from_numpy(affine), meta=meta)


def logits(findings: int = 6) -> torch.Tensor:
    values = torch.full((1, *SHAPE), -6.0)
    for index in range(findings):
        values[0, ROW + 4 * index, COLUMN] = 3.0 - 0.1 * index
    values[0, 10:14, 110:114] = 6.0
    return values


def save_to(folder: Path, **options: Any) -> SaveFindingsd:
    return SaveFindingsd(output_dir=folder, **{"pictures": False, **options})


def saved(folder: Path) -> dict[str, Path]:
    return {suffix: folder / f"case_7_{suffix}" for suffix in SUFFIXES}


def test_every_file_appears_and_no_temporary_one_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "deep"
    save_to(folder, pictures=True)({"image": view(), "pred": logits()})
    assert sorted(folder.iterdir()) == sorted(saved(folder).values())


def test_report_holds_the_findings_and_no_patient_data(tmp_path: Path) -> None:
    save_to(tmp_path, threshold=0.4, method="ttgpr")({"image": view(), "pred": logits()})
    text = saved(tmp_path)["findings.json"].read_text()
    report = json.loads(text)
    assert (report["image"], report["method"], report["threshold"]) == ("case 7.dcm", "ttgpr", 0.4)
    assert (report["rows"], report["columns"], report["spacing_mm"]) == (*SHAPE, list(SPACING))
    assert (report["view_position"], report["laterality"]) == ("CC", "L")
    assert report["findings"][0]["position_mm"] == pytest.approx([ROW * 0.1, COLUMN * 0.2])
    assert (report["finding_count"], report["cluster_count"]) == (6, 1)
    assert report["breast_area_cm2"] == pytest.approx(90 * 100 * 0.02 / 100)
    assert "Secret" not in text
    assert "somewhere" not in text


def test_mask_has_the_rows_and_columns_of_the_image_and_stays_in_the_breast(tmp_path: Path) -> None:
    save_to(tmp_path)({"image": view(), "pred": logits()})
    mask = np.asarray(Image.open(saved(tmp_path)["mask.png"]))
    expected = np.zeros(SHAPE, np.uint8)
    expected[ROW : ROW + 24 : 4, COLUMN] = 255
    np.testing.assert_array_equal(mask, expected)


def test_given_breast_replaces_the_one_read_off_the_image(tmp_path: Path) -> None:
    breast = torch.ones((1, *SHAPE), dtype=torch.bool)
    breast[:, : ROW + 1] = False
    save_to(tmp_path)({"image": view(), "pred": logits(), "breast": breast})
    assert json.loads(saved(tmp_path)["findings.json"].read_text())["finding_count"] == 5


def test_probability_map_is_transposed_with_its_spacing(tmp_path: Path) -> None:
    save_to(tmp_path)({"image": view(), "pred": logits()})
    volume = nib.load(saved(tmp_path)["probability.nii.gz"])
    probs = volume.get_fdata()
    assert probs.shape == (SHAPE[1], SHAPE[0], 1)
    np.testing.assert_allclose(probs[:, :, 0].T, torch.sigmoid(logits())[0], atol=1e-6)
    np.testing.assert_allclose(volume.affine, np.diag([-0.2, -0.1, 1, 1]), atol=1e-7)
    assert volume.header.get_zooms()[:2] == pytest.approx((0.2, 0.1))
    assert volume.get_data_dtype() == np.float32


def test_upright_in_a_viewer_means_columns_to_the_left_and_rows_to_the_back(tmp_path: Path) -> None:
    save_to(tmp_path)({"image": view(), "pred": logits()})
    assert nib.aff2axcodes(nib.load(saved(tmp_path)["probability.nii.gz"]).affine)[:2] == ("L", "P")


def test_map_overlays_the_image_it_was_made_from(tmp_path: Path) -> None:
    own = PLAIN.copy()
    own[:3, 3] = 5, 6, 7
    save_to(tmp_path)({"image": view(affine=own), "pred": logits()})
    affine = nib.load(saved(tmp_path)["probability.nii.gz"]).affine
    np.testing.assert_allclose(affine @ [COLUMN, ROW, 0, 1], own @ [ROW, COLUMN, 0, 1], atol=1e-5)


def test_affine_that_contradicts_the_spacing_is_not_used(tmp_path: Path) -> None:
    save_to(tmp_path)({"image": view(affine=np.eye(4)), "pred": logits()})
    affine = nib.load(saved(tmp_path)["probability.nii.gz"]).affine
    np.testing.assert_allclose(affine, np.diag([-0.2, -0.1, 1, 1]), atol=1e-7)


def test_probabilities_and_logits_give_the_same_files(tmp_path: Path) -> None:
    save_to(tmp_path / "a")({"image": view(), "pred": logits()})
    save_to(tmp_path / "b", sigmoid=False)({"image": view(), "pred": torch.sigmoid(logits())})
    for suffix in ("findings.json", "mask.png"):
        assert saved(tmp_path / "a")[suffix].read_bytes() == saved(tmp_path / "b")[suffix].read_bytes()


def test_same_name_from_another_folder_overwrites_nothing(tmp_path: Path) -> None:
    save = save_to(tmp_path)
    save({"image": view("/a/x.dcm"), "pred": logits(6)})
    save({"image": view("/b/x.dcm"), "pred": logits(3)})
    counts = {p.name: json.loads(p.read_text())["finding_count"] for p in tmp_path.glob("*_findings.json")}
    assert sorted(counts.values()) == [3, 6]
    assert counts["x_findings.json"] == 6
    assert len(list(tmp_path.iterdir())) == 6


def test_repeating_an_image_replaces_its_files(tmp_path: Path) -> None:
    for count in (6, 0):
        save_to(tmp_path, pictures=True)({"image": view("/a/x.dcm"), "pred": logits(count)})
    assert json.loads((tmp_path / "x_findings.json").read_text())["finding_count"] == 0
    assert not (tmp_path / "x_zoom.png").exists()


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("/a/v.nii.gz", "v"),
        ("/a/..\\evil name;rm.png", "_evil_name_rm"),
        ("/a/1.2.840.99.123", "1.2.840.99.123"),
        ("/a/.dcm", "image"),
        ("/a/" + "n" * 300 + ".png", "n" * 100),
    ],
)
def test_file_names_are_made_harmless(tmp_path: Path, source: str, stem: str) -> None:
    save_to(tmp_path)({"image": view(source), "pred": logits()})
    assert (tmp_path / f"{stem}_findings.json").exists()


def test_overlay_shows_the_view_twice_and_colours_on_the_right_only(tmp_path: Path) -> None:
    save_to(tmp_path, pictures=True)({"image": view(), "pred": logits()})
    overlay = np.asarray(Image.open(saved(tmp_path)["overlay.png"])).astype(int)
    coloured = np.ptp(overlay, axis=2) > 40
    half = overlay.shape[1] // 2
    assert not coloured[:, :half].any()
    assert coloured[:, half:].any()


def test_data_pass_unchanged(tmp_path: Path) -> None:
    data = {"image": view(), "pred": logits(), "other": 3}
    result = save_to(tmp_path)(data)
    assert set(result) == set(data)
    assert all(result[key] is data[key] for key in data)


def test_failure_leaves_no_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(volume: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nib, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        save_to(tmp_path)({"image": view(), "pred": logits()})
    assert list(tmp_path.iterdir()) == []


class Bright(torch.nn.Module):
    """Positive logits where the view is brighter than 0.19."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 100 * (torch.as_tensor(image) - 0.19)


def test_it_runs_as_the_postprocessing_of_an_evaluator(tmp_path: Path) -> None:
    loader = DataLoader(Dataset([{"image": view("/a/x.png")}, {"image": view("/a/y.png")}]), batch_size=2)
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=Bright(),
        inferer=SimpleInferer(),
        postprocessing=save_to(tmp_path),
    ).run()
    expected = np.count_nonzero(view().numpy() >= 0.19)
    for name in ("x", "y"):
        assert np.count_nonzero(np.asarray(Image.open(tmp_path / f"{name}_mask.png"))) == expected > 10
        assert json.loads((tmp_path / f"{name}_findings.json").read_text())["spacing_mm"] == list(SPACING)


def test_wrong_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 'x'"):
        save_to(tmp_path, method="x")
    with pytest.raises(ValueError, match=r"got 1\.5"):
        save_to(tmp_path, threshold=1.5)
    save = save_to(tmp_path)
    with pytest.raises(ValueError, match="shape of its image"):
        save({"image": view(), "pred": logits()[:, :-1]})
    with pytest.raises(ValueError, match=r"\(1, rows, columns\)"):
        save({"image": view(), "pred": logits()[0]})
    with pytest.raises(ValueError, match="read the view with its pixel spacing"):
        save({"image": torch.zeros((1, *SHAPE)), "pred": logits()})


# The spread over members.


class Source:
    """An inferer that has just seen one view."""

    def __init__(self, *, views: int = 1, members: int = 8) -> None:
        value = np.zeros((views, 1, *SHAPE), np.float32)
        self.last_uncertainty: UncertaintyMaps | None = UncertaintyMaps(
            value + 0.125, value + 0.75, value + 0.25, value + 0.5, value + members
        )


def test_findings_and_a_map_tell_the_spread(tmp_path: Path) -> None:
    save_to(tmp_path, uncertainty=Source(), method="augmentation")({"image": view(), "pred": logits()})
    findings = json.loads(saved(tmp_path)["findings.json"].read_text())["findings"]
    expected = {"members": 8, "agreement": 0.5, "peak_mean": 0.75, "peak_sd": 0.25, "pixel_sd": 0.125}
    assert [finding["uncertainty"] for finding in findings] == [expected] * 6
    spread, probability = (nib.load(tmp_path / f"case_7_{name}.nii.gz") for name in ("spread", "probability"))
    assert (spread.get_fdata() == 0.125).all()
    np.testing.assert_array_equal(spread.affine, probability.affine)


def test_without_a_spread_nothing_is_said_and_an_older_map_goes(tmp_path: Path) -> None:
    save_to(tmp_path, uncertainty=Source())({"image": view(), "pred": logits()})
    for source in (None, object(), Source(members=1)):
        save_to(tmp_path, uncertainty=source)({"image": view(), "pred": logits()})
        report = json.loads(saved(tmp_path)["findings.json"].read_text())
        assert all("uncertainty" not in finding for finding in report["findings"])
        assert (tmp_path / "case_7_spread.nii.gz").exists() == isinstance(source, Source)


def test_the_spread_of_several_views_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size of 1"):
        save_to(tmp_path, uncertainty=Source(views=2))({"image": view(), "pred": logits()})
