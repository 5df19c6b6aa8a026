"""The phantom exam is one study of four views, and its picture keeps greys and the few colours of marks."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from scripts import segment_picture
from scripts.segment_picture import reduced, take_picture, write_exam


def test_few_coloured_pixels_keep_their_colour_among_many_grey_ones() -> None:
    grey = np.repeat((np.arange(40_000) % 256).astype(np.uint8).reshape(200, 200, 1), 3, axis=2)
    grey[50, 50], grey[60, 60] = (255, 176, 0), (64, 216, 255)
    found = np.asarray(reduced(Image.fromarray(grey)).convert("RGB")).astype(int)
    # Half a step of the greys, and Pillow looks palettes up in bins of four values.
    assert np.abs(found - grey).max() <= 6


def test_the_exam_is_one_study_of_four_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_picture, "HEIGHT_MM", 40.0)
    monkeypatch.setattr(segment_picture, "WIDTH_MM", 30.0)
    write_exam(tmp_path)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(tmp_path.iterdir())]
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert len({header.SOPInstanceUID for header in headers}) == 4
    views = [(header.ImageLaterality, header.ViewPosition) for header in headers]
    assert views == [(side, position) for side, position, _ in segment_picture.VIEWS]


def test_without_a_browser_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_picture.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="Expected Chromium"):
        take_picture(tmp_path / "page.html", tmp_path / "picture.png")
