from pathlib import Path

import pytest

from bundle.data import MammogramError
from bundle.data.pairing import Case, assign_patients, pair_cases

INBREAST = "20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm"


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


def _pairs(cases: list[Case]) -> dict[str, str | None]:
    return {Path(case.image).name: case.mask and Path(case.mask).name for case in cases}


@pytest.mark.parametrize("mask", ["a.png", "a_mask.png", "a_label.nii.gz", "a_seg.nii", "a.xml"])
def test_a_mask_is_found_by_the_name_of_its_view(tmp_path: Path, mask: str) -> None:
    images, masks = _folder(tmp_path / "i", "a.dcm"), _folder(tmp_path / "m", mask)
    cases, problems = pair_cases(images, masks)
    assert problems == []
    assert [(case.case, case.patient, case.image, case.mask) for case in cases] == [
        ("a", "a", str(images / "a.dcm"), str(masks / mask))
    ]


def test_inbreast_is_paired_by_the_number_of_the_view(tmp_path: Path) -> None:
    images = _folder(tmp_path / "i", INBREAST)
    masks = _folder(tmp_path / "m", "20586908.xml", "20586908_notes.txt")
    cases, problems = pair_cases(images, masks)
    assert problems == []
    assert _pairs(cases) == {INBREAST: "20586908.xml"}


def test_names_with_dots_keep_them(tmp_path: Path) -> None:
    images = _folder(tmp_path / "i", "1.2.840.10.dcm", "1.2.840.11.dcm")
    masks = _folder(tmp_path / "m", "1.2.840.10.png", "1.2.840.11_mask.png")
    cases, problems = pair_cases(images, masks)
    assert problems == []
    assert [case.case for case in cases] == ["1.2.840.10", "1.2.840.11"]


@pytest.mark.parametrize("masks", [".", "masks"])
def test_masks_in_or_below_the_folder_of_views_are_no_views(tmp_path: Path, masks: str) -> None:
    _folder(tmp_path, "a.dcm", "b.png", f"{masks}/a_mask.png", f"{masks}/b_mask.png")
    cases, problems = pair_cases(tmp_path, tmp_path / masks)
    assert problems == []
    assert _pairs(cases) == {"a.dcm": "a_mask.png", "b.png": "b_mask.png"}


def test_views_below_the_folder_of_masks_are_no_masks(tmp_path: Path) -> None:
    _folder(tmp_path, "a.png", "views/a.png")
    cases, problems = pair_cases(tmp_path / "views", tmp_path)
    assert problems == []
    assert cases[0].mask == str(tmp_path / "a.png")


def test_views_of_one_name_in_two_folders_go_with_the_masks_of_these_folders(tmp_path: Path) -> None:
    images = _folder(tmp_path / "i", "left/cc.dcm", "right/cc.dcm")
    masks = _folder(tmp_path / "m", "left/cc.png", "right/cc.png")
    cases, problems = pair_cases(images, masks)
    assert problems == []
    assert [(case.case, case.mask) for case in cases] == [
        ("left/cc", str(masks / "left" / "cc.png")),
        ("right/cc", str(masks / "right" / "cc.png")),
    ]


def test_every_problem_has_a_line_of_its_own(tmp_path: Path) -> None:
    images = _folder(tmp_path / "i", "good.dcm", "alone.dcm", "twice.dcm", "x/same.dcm", "y/same.dcm")
    masks = _folder(tmp_path / "m", "good.png", "twice.png", "twice_mask.nii", "same.png", "nobody.png")
    cases, problems = pair_cases(images, masks)
    said = sorted(line.split(": Expected ")[1].split(", found")[0] for line in problems)
    assert said == [
        f"a mask of this name in {masks}",
        f"a view for this mask in {images}",
        "one mask",
        "one view for this mask",
    ]
    assert {Path(line.split(":")[0]).name for line in problems} == {"alone.dcm", "nobody.png", "twice.dcm", "same.png"}
    assert len(cases) == 5


def test_views_without_a_mask_are_clean_if_told(tmp_path: Path) -> None:
    images, masks = _folder(tmp_path / "i", "a.dcm", "b.dcm"), _folder(tmp_path / "m", "a.png")
    cases, problems = pair_cases(images, masks, missing_is_clean=True)
    assert problems == []
    assert _pairs(cases) == {"a.dcm": "a.png", "b.dcm": None}
    assert len(pair_cases(images, masks)[1]) == 1


def test_a_format_chooses_among_masks(tmp_path: Path) -> None:
    images = _folder(tmp_path / "i", "a.dcm")
    masks = _folder(tmp_path / "m", "a.png", "a.nii.gz", "a.xml")
    for mask_format, name in (("png", "a.png"), ("nifti", "a.nii.gz"), ("inbreast", "a.xml")):
        cases, problems = pair_cases(images, masks, mask_format=mask_format)
        assert (problems, _pairs(cases)) == ([], {"a.dcm": name})
    assert "found 3" in pair_cases(images, masks)[1][0]
    with pytest.raises(MammogramError, match="auto, png, nifti, inbreast"):
        pair_cases(images, masks, mask_format="jpeg")


def test_every_view_needs_a_region_if_there_are_any(tmp_path: Path) -> None:
    images, masks = _folder(tmp_path / "i", "a.dcm", "b.dcm"), _folder(tmp_path / "m", "a.png", "b.png")
    rois = _folder(tmp_path / "r", "a.png")
    cases, problems = pair_cases(images, masks, roi_dir=rois, missing_is_clean=True)
    assert [case.roi for case in cases] == [str(rois / "a.png"), None]
    assert len(problems) == 1
    assert "b.dcm: Expected a mask of this name" in problems[0]


def test_folders_that_are_not_there_are_refused(tmp_path: Path) -> None:
    images = _folder(tmp_path / "i", "a.dcm")
    for pair in ((images, tmp_path / "m"), (tmp_path / "j", images)):
        with pytest.raises(MammogramError, match="found none"):
            pair_cases(*pair)


def _cases(*names: str) -> list[Case]:
    return [Case(case=Path(n).stem, patient=Path(n).stem, image=n, mask=None) for n in names]


def test_inbreast_names_tell_the_patient() -> None:
    names = [f"{number}_6c613a14b80a8591_MG_{view}_ANON.dcm" for number, view in ((1, "R_CC"), (2, "L_ML"))]
    cases, source, problems = assign_patients(_cases(*names))
    assert [case.patient for case in cases] == ["6c613a14b80a8591"] * 2
    assert (source, problems) == ("INbreast's file names", [])


def test_without_a_word_each_view_is_a_patient() -> None:
    cases, source, problems = assign_patients(_cases("a.png", INBREAST))
    assert [case.patient for case in cases] == ["a", Path(INBREAST).stem]
    assert (source, problems) == ("each view its own", [])


def test_a_table_names_patients_by_file_or_stem(tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("\ufeffimage, patient\na.png, P1\nb, P1\nc.png, P2\n", encoding="utf-8")
    cases, source, problems = assign_patients(_cases("a.png", "b.png", "c.png"), table)
    assert [case.patient for case in cases] == ["P1", "P1", "P2"]
    assert (source, problems) == ("patients.csv", [])


def test_gaps_and_contradictions_of_a_table_are_listed(tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("image,patient\na.png,P1\na.png,P2\nb.png,\n")
    _, _, problems = assign_patients(_cases("a.png", "b.png", "c.png"), table)
    assert [line.split(": ")[1].split(",")[0] for line in problems] == [
        "Expected one patient for a.png",
        "Expected columns image and patient",
        "Expected a row for this view in " + str(table),
        "Expected a row for this view in " + str(table),
    ]


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere.csv", "p.csv"):
        with pytest.raises(MammogramError, match=r"Expected an existing file|Expected text in UTF-8"):
            assign_patients(_cases("a.png"), tmp_path / name)
