from pathlib import Path

import pytest
import torch

from bundle.networks import Restormer, load_weights, start_from

SMALL = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 0}


def test_weights_come_back(tmp_path: Path) -> None:
    network = Restormer(**SMALL)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    loaded = load_weights(Restormer(**SMALL), str(tmp_path / "model.pt"))
    assert not loaded.training
    x = torch.randn(1, 1, 16, 16)
    assert torch.equal(loaded(x), network.eval()(x))


def test_other_architecture_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save(Restormer(**SMALL).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="of this architecture") as refusal:
        load_weights(Restormer(**{**SMALL, "dim": 16}), str(tmp_path / "model.pt"))
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut short"])
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"in .*model\.pt; ") as refusal:
        load_weights(Restormer(**SMALL), str(tmp_path / "model.pt"))
    assert len(str(refusal.value).splitlines()) == 1


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pt"):
        load_weights(Restormer(**SMALL), str(tmp_path / "model.pt"))


def test_a_start_takes_the_weights_and_goes_on_training(tmp_path: Path) -> None:
    network = Restormer(**SMALL)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    fresh = Restormer(**SMALL)
    before = fresh.embed.weight.clone()
    assert torch.equal(start_from(fresh, "").embed.weight, before)
    started = start_from(fresh, str(tmp_path / "model.pt"))
    assert started.training
    assert torch.equal(started.embed.weight, network.embed.weight)
