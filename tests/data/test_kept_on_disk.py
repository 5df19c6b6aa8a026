import os
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from bundle.data import MammogramError
from bundle.data.errors import refuse
from bundle.data.kept_on_disk import KeptOnDisk
from bundle.data.synthetic_pairs import SyntheticPairDataset
from bundle.transforms import RandBreastCropd, RandInjectMicrocalcificationsd


class Loader:
    """Reads seeds from text files; a negative one cannot be read, an even one has a mask."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, item: dict) -> dict:
        self.calls += 1
        seed = int(Path(item["image"]).read_text())
        if seed < 0:
            raise refuse(item["image"], "Expected a seed of 0 or more, got a negative one; correct it")
        rng = np.random.default_rng(seed)
        image = torch.from_numpy(rng.normal(0, 0.1, (1, 90, 70)).astype(np.float32))
        view = {"image": MetaTensor(image, meta={"spacing_mm": np.array([0.07, 0.08])})}
        return view | ({"ignore": torch.from_numpy(rng.random((1, 90, 70)) > 0.9)} if seed % 2 == 0 else {})


@pytest.fixture
def items(tmp_path: Path) -> list[dict]:
    for seed in range(4):
        (tmp_path / f"{seed}.txt").write_text(str(seed))
    return [{"image": str(tmp_path / f"{seed}.txt")} for seed in range(4)]


def _samples(items: list[dict], load: Loader, **options: object) -> list[dict]:
    transform = Compose([RandBreastCropd(window_px=32), RandInjectMicrocalcificationsd()])
    dataset = SyntheticPairDataset(items, load, transform, samples_per_epoch=6, **options)  # type: ignore[arg-type]
    return [dataset[number] for number in range(6)]


def test_views_come_back_bit_for_bit_and_are_loaded_once(items: list[dict], tmp_path: Path) -> None:
    load = Loader()
    for _ in range(2):
        kept = KeptOnDisk(load, tmp_path / "kept")
        for item in items:
            view, expected = kept(item), Loader()(item)
            assert view.keys() == expected.keys()
            assert all(torch.equal(torch.as_tensor(view[name]), torch.as_tensor(expected[name])) for name in view)
            np.testing.assert_array_equal(view["image"].meta["spacing_mm"], [0.07, 0.08])
    assert load.calls == len(items)


def test_samples_are_the_same_from_disk_and_from_memory(items: list[dict], tmp_path: Path) -> None:
    from_memory = _samples(items, Loader())
    from_disk = _samples(items, Loader(), cache_dir=str(tmp_path / "kept"))
    for first, second in zip(from_memory, from_disk, strict=True):
        assert torch.equal(torch.as_tensor(first["image"]), torch.as_tensor(second["image"]))
        assert torch.equal(torch.as_tensor(first["label"]), torch.as_tensor(second["label"]))


def test_another_file_or_setting_is_loaded_anew(items: list[dict], tmp_path: Path) -> None:
    load = Loader()
    KeptOnDisk(load, tmp_path / "kept")(items[0])
    KeptOnDisk(load, tmp_path / "kept", settings=0.05)(items[0])
    assert load.calls == 2
    Path(items[0]["image"]).write_text("2")
    os.utime(items[0]["image"], ns=(1, 1))
    view = KeptOnDisk(load, tmp_path / "kept")(items[0])
    assert torch.equal(torch.as_tensor(view["image"]), torch.as_tensor(Loader()(items[2])["image"]))


def test_a_view_whose_writing_was_stopped_is_loaded_anew(items: list[dict], tmp_path: Path) -> None:
    load = Loader()
    kept = KeptOnDisk(load, tmp_path / "kept")
    kept(items[0])
    for told in (tmp_path / "kept").glob("*.json"):
        told.unlink()
    for array in (tmp_path / "kept").glob("*.npy"):
        array.write_bytes(array.read_bytes()[:100])
    assert torch.equal(torch.as_tensor(kept(items[0])["image"]), torch.as_tensor(Loader()(items[0])["image"]))


def test_training_writes_nothing_into_what_is_kept(items: list[dict], tmp_path: Path) -> None:
    kept = KeptOnDisk(Loader(), tmp_path / "kept")
    kept(items[0])["image"][:] = 9
    assert torch.equal(torch.as_tensor(kept(items[0])["image"]), torch.as_tensor(Loader()(items[0])["image"]))


@pytest.mark.parametrize("kept", [False, True])
def test_an_unreadable_view_is_told_and_left_out(
    items: list[dict], tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: bool
) -> None:
    Path(items[1]["image"]).write_text("-1")
    options = {"cache_dir": str(tmp_path / "kept")} if kept else {}
    _samples([{**item, "weight": 1 + number} for number, item in enumerate(items)], Loader(), **options)
    assert "left out: " in capsys.readouterr().out
    dataset = SyntheticPairDataset(
        [{**item, "weight": 1 + number} for number, item in enumerate(items)],
        Loader(),
        Compose([RandBreastCropd(window_px=32)]),
        samples_per_epoch=1,
        **options,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(dataset.shares, np.array([1, 3, 4]) / 8)


def test_no_readable_view_at_all_ends_the_training_with_the_reason(items: list[dict]) -> None:
    Path(items[0]["image"]).write_text("-1")
    with pytest.raises(MammogramError, match="got a negative one"):
        _samples(items[:1], Loader())
