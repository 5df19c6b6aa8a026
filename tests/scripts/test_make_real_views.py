from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bundle.data.labelled_views import labelled_views
from scripts.make_real_views import main
from tests.normals import real_like_normals


def test_views_of_other_exams_come_with_masks_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    normals, output = real_like_normals(tmp_path / "normals"), tmp_path / "out"
    words = ["--normals", str(normals), "--output-dir", str(output), "--spacing-mm", "0.1", "--crop-mm", "25"]
    words += ["--without", "b", "--injections", "2"]
    main(words)
    views = labelled_views(str(output), str(output), ceiling_dir="")
    assert [Path(view["image"]).name for view in views] == ["a_1_0.nii", "a_1_1.nii", "c_1_0.nii", "c_1_1.nii"]
    masks = [np.asarray(Image.open(view["label"])) for view in views]
    assert all((mask == 1).any() and mask.max() <= 2 for mask in masks)
    assert (masks[0] != masks[1]).any()
    written = nib.load(views[0]["image"])
    assert written.header.get_zooms()[:2] == pytest.approx((0.1, 0.1))
    was = np.asarray(written.dataobj)
    Path(views[0]["image"]).unlink()
    last = Path(views[-1]["image"]).stat().st_mtime_ns
    main(words)
    np.testing.assert_array_equal(np.asarray(nib.load(views[0]["image"]).dataobj), was)
    assert Path(views[-1]["image"]).stat().st_mtime_ns == last
    files = sorted(output.iterdir())
    with pytest.raises(SystemExit, match="Expected views of these options, got some of others"):
        main([*words[:-4], "--without", "a", "--injections", "2"])
    (output / "made_from.json").unlink()  # views of nobody knows what
    with pytest.raises(SystemExit, match="Expected views of these options, got some of others"):
        main(words)
    assert len(list(output.iterdir())) == len(files) - 1


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    words = ["--normals", str(real_like_normals(tmp_path / "normals")), "--output-dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="Expected exams among a, b, c, got d"):
        main([*words, "--without", "d"])
    with pytest.raises(SystemExit, match="Expected at least 1, got 0"):
        main([*words, "--injections", "0"])
    assert not (tmp_path / "out").exists()
