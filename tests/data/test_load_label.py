from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data import LoadLabeld, MammogramError


def test_rows_are_rows(tmp_path: Path) -> None:
    label = np.zeros((4, 6), np.uint8)
    label[1, 5], label[3, 0] = 1, 2
    Image.fromarray(label).save(tmp_path / "label.png")
    loaded = LoadLabeld("label")({"label": str(tmp_path / "label.png")})["label"]
    np.testing.assert_array_equal(loaded[0], label)


@pytest.mark.parametrize("content", [b"", b"text"])
def test_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "label.png").write_bytes(content)
    with pytest.raises(MammogramError, match=r"label\.png"):
        LoadLabeld("label")({"label": str(tmp_path / "label.png")})


def test_missing_file_and_other_values_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "mask.png")
    for name in ("mask.png", "nowhere.png"):
        with pytest.raises(MammogramError, match="Expected"):
            LoadLabeld("label")({"label": str(tmp_path / name)})
