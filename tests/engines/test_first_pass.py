"""What is kept is the one pass, bit for bit, and it costs no call of the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bundle.engines.first_pass import keep_first_pass
from bundle.functional.evidence import EvidenceSettings
from bundle.inferers import AugmentedInferer, EvidenceInferer, TTGPRInferer, WindowedInferer
from bundle.transforms import SaveFindingsd

SIDE = 32
WINDOWS: dict[str, Any] = {"window_px": SIDE, "sw_batch_size": 2}


class Counted(nn.Module):
    """A network that is no friend of flips, and counts its windows."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0
        self.tilt = nn.Parameter(torch.linspace(-2, 2, SIDE))

    def forward(self, x: Tensor) -> Tensor:
        self.windows += len(x)
        return 3 * x + self.tilt


def _velocity(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
    return 0.5 * state


INFERERS: dict[str, Callable[[], Any]] = {
    "augmentation": lambda: AugmentedInferer(augmentations=4, **WINDOWS),
    "company": lambda: EvidenceInferer(
        None,
        settings=EvidenceSettings(weight_score=0.0, weight_neighbours=1.0),
        first_pass=AugmentedInferer(augmentations=4, **WINDOWS),
        **WINDOWS,
    ),
    "evidence": lambda: EvidenceInferer(_velocity, **WINDOWS),
    "ttgpr": lambda: TTGPRInferer(_velocity, **WINDOWS),
}


def _views(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    views = []
    for number in range(count):
        image = torch.from_numpy(rng.uniform(-0.9, 0.9, (1, 70, 45)).astype(np.float32))
        image[..., 40:] = -1
        meta = {"spacing_mm": np.array([0.1, 0.1]), "filename_or_obj": f"view{number}.png"}
        views.append({"image": MetaTensor(image, meta=meta)})
    return views


def _run(folder: Path, inferer: Any, network: nn.Module, views: list[dict[str, Any]], *, keep: bool = True) -> None:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=DataLoader(views, batch_size=1, collate_fn=_collate),
        network=network, inferer=inferer,
        postprocessing=SaveFindingsd("pred", output_dir=folder, pictures=False),
    )  # fmt: skip
    if keep:
        keep_first_pass(evaluator, inferer, folder)
    evaluator.run()


def _collate(batch: list[dict[str, Any]]) -> Any:
    from monai.data.utils import list_data_collate

    return list_data_collate(batch)


@pytest.mark.parametrize("method", sorted(INFERERS))
def test_the_kept_map_is_the_one_pass_bit_for_bit(tmp_path: Path, method: str) -> None:
    views = _views(2)
    _run(tmp_path, INFERERS[method](), Counted(), views)
    alone = WindowedInferer(**WINDOWS)
    for number, view in enumerate(views):
        expected = torch.sigmoid(alone(view["image"][None], Counted()))[0, 0].detach()
        kept = nib.load(tmp_path / f"view{number}_segmentor.nii.gz")
        assert (np.asarray(expected) == np.asarray(kept.dataobj)[..., 0].T).all()
        np.testing.assert_array_equal(kept.affine, nib.load(tmp_path / f"view{number}_probability.nii.gz").affine)


@pytest.mark.parametrize("method", sorted(INFERERS))
def test_keeping_it_costs_no_window(tmp_path: Path, method: str) -> None:
    counts = []
    for keep in (True, False):
        network = Counted()
        _run(tmp_path / str(keep), INFERERS[method](), network, _views(1), keep=keep)
        counts.append(network.windows)
    assert counts[0] == counts[1] > 0


def test_one_pass_itself_is_not_kept_twice(tmp_path: Path) -> None:
    _run(tmp_path, WindowedInferer(**WINDOWS), Counted(), _views(1))
    assert not list(tmp_path.glob("*_segmentor.nii.gz"))
    assert list(tmp_path.glob("*_probability.nii.gz"))


def test_an_inferer_that_lays_windows_out_otherwise_keeps_none_and_leaves_no_old_one(tmp_path: Path) -> None:
    class Other(AugmentedInferer):
        def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
            return WindowedInferer(window_px=SIDE, sw_batch_size=3)(inputs, network)

    old = tmp_path / "view0_segmentor.nii.gz"
    old.write_bytes(b"of an earlier run")
    _run(tmp_path, Other(**WINDOWS), Counted(), _views(1))
    assert not old.exists()
