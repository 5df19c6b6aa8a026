"""Weights come back, and of other files one line is said and nothing is run."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from bundle.networks import Restormer, load_weights, start_from
from bundle.networks.weights_file import LISTED, check_listed, read_weights, sha256_of

SMALL = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 0}


def _save(weights: dict[str, torch.Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


def _refused(path: Path, network: nn.Module | None = None) -> str:
    with pytest.raises(ValueError) as refusal:
        load_weights(network or nn.Linear(300, 2), path)
    assert len(str(refusal.value).splitlines()) == 1
    assert path.name in str(refusal.value)
    return str(refusal.value)


class Touches:
    """Leaves a file behind where somebody loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


# What fits.


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_weights_come_back(tmp_path: Path, name: str) -> None:
    network = Restormer(**SMALL)
    path = _save(network.state_dict(), tmp_path / name)
    loaded = load_weights(Restormer(**SMALL), str(path))
    assert not loaded.training
    x = torch.randn(1, 1, 16, 16)
    assert torch.equal(loaded(x), network.eval()(x))


def test_a_start_takes_the_weights_and_goes_on_training(tmp_path: Path) -> None:
    network = Restormer(**SMALL)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    fresh = Restormer(**SMALL)
    before = fresh.embed.weight.clone()
    assert torch.equal(start_from(fresh, "").embed.weight, before)
    started = start_from(fresh, str(tmp_path / "model.pt"))
    assert started.training
    assert torch.equal(started.embed.weight, network.embed.weight)


# What does not.


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pt"):
        load_weights(Restormer(**SMALL), str(tmp_path / "model.pt"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: {"bias": w["bias"]}, "1 missing (weight)"),
        (lambda w: {**w, **{f"more{n}": w["bias"] for n in range(5)}}, "5 unexpected (more0, more1, more2, ...)"),
        (lambda w: {**w, "bias": torch.zeros(3)}, "1 of another shape (bias (3,) in place of (2,))"),
        (lambda w: {"wait": w["weight"], "bias": w["bias"]}, "1 missing (weight); 1 unexpected (wait)"),
    ],
    ids=["missing", "unexpected", "shape", "renamed"],
)
def test_another_architecture_is_told_by_names_and_shapes(tmp_path: Path, change: object, told: str) -> None:
    path = tmp_path / "model.pt"
    torch.save(change(nn.Linear(300, 2).state_dict()), path)  # type: ignore[operator]
    assert _refused(path) == f"Expected weights of this architecture in {path}, got others: {told}"


def test_a_network_of_another_size_is_refused_shortly(tmp_path: Path) -> None:
    torch.save(Restormer(**SMALL).state_dict(), tmp_path / "model.pt")
    assert len(_refused(tmp_path / "model.pt", Restormer(**{**SMALL, "dim": 16}))) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize(
    "content",
    [lambda b: b[: len(b) // 2], lambda b: b[:50], lambda b: b"", lambda b: b"no weights at all"],
    ids=["half", "beginning", "empty", "text"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: object) -> None:
    path = _save(nn.Linear(300, 2).state_dict(), tmp_path / name)
    path.write_bytes(content(path.read_bytes()))  # type: ignore[operator]
    assert "Expected a whole file of weights" in _refused(path)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_objects_are_refused_and_never_run(tmp_path: Path, write: object) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "was_here"
    write({"weight": Touches(trace)}, path)  # type: ignore[operator]
    assert "Expected tensors alone" in _refused(path)
    assert not trace.exists()


def test_a_whole_network_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(nn.Linear(300, 2), tmp_path / "model.pt")
    assert "save network.state_dict()" in _refused(tmp_path / "model.pt")


def test_a_checkpoint_of_a_training_is_told_by_its_keys(tmp_path: Path) -> None:
    torch.save({"network": nn.Linear(3, 1).state_dict(), "trainer": {"epoch": 1}}, tmp_path / "model.pt")
    assert "got network, trainer;" in _refused(tmp_path / "model.pt")
    torch.save({}, tmp_path / "model.pt")
    assert "got nothing;" in _refused(tmp_path / "model.pt")


def test_a_torchscript_program_is_told_as_such(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    torch.jit.trace(Two(), torch.zeros(1)).save(str(tmp_path / "model.pt"))
    assert "TorchScript program" in _refused(tmp_path / "model.pt")


def test_without_the_package_safetensors_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "pip install safetensors" in _refused(tmp_path / "model.safetensors")


# What is listed.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bundle that lists the sum of its weights."""
    for name in ("models", "configs"):
        (tmp_path / name).mkdir()
    torch.save(nn.Linear(300, 2).state_dict(), tmp_path / "models" / "model.pt")
    listed = {LISTED: {"models/model.pt": sha256_of(tmp_path / "models" / "model.pt"), "models/gone.pt": "0" * 64}}
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps(listed))
    return tmp_path


def _flip_a_bit(path: Path) -> None:
    """In the middle of the numbers, which torch.load does not notice."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert read_weights(path)


def test_one_changed_bit_of_listed_weights_is_noticed(root: Path) -> None:
    path, metadata = root / "models" / "model.pt", root / "configs" / "metadata.json"
    load_weights(nn.Linear(300, 2), path, listed_in=metadata)
    _flip_a_bit(path)
    load_weights(nn.Linear(300, 2), path)
    with pytest.raises(ValueError, match=r"^Expected models/model\.pt with SHA-256 .* --record$") as refusal:
        load_weights(nn.Linear(300, 2), path, listed_in=metadata)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_listed_file_is_known_by_any_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _flip_a_bit(root / "models" / "model.pt")
    (root / "link.pt").symlink_to(root / "models" / "model.pt")
    monkeypatch.chdir(root)
    for path in ("models/model.pt", "./configs/../models/model.pt", "link.pt"):
        with pytest.raises(ValueError, match="SHA-256"):
            check_listed(path, "configs/metadata.json")


def test_ones_own_weights_are_not_compared(root: Path) -> None:
    own = shutil.copy(root / "models" / "model.pt", root / "models" / "own.pt")
    _flip_a_bit(own)
    load_weights(nn.Linear(300, 2), own, listed_in=root / "configs" / "metadata.json")
    load_weights(nn.Linear(300, 2), own, listed_in=root / "configs" / "none.json")


def test_a_training_starts_from_other_weights_than_the_listed_ones_and_tells(root: Path) -> None:
    path, metadata = root / "models" / "model.pt", root / "configs" / "metadata.json"
    start_from(nn.Linear(300, 2), path, listed_in=metadata)
    _flip_a_bit(path)
    with pytest.warns(UserWarning, match=r"^Expected models/model\.pt with SHA-256"):
        started = start_from(nn.Linear(300, 2), path, listed_in=metadata)
    assert torch.equal(started.weight, read_weights(path)["weight"])
