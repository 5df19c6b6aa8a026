"""What the commands make of options and errors."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from bundle.data import MammogramError
from bundle.networks import Restormer
from scripts.command import one_line_errors, refusal_line
from scripts.segment import main
from scripts.shipped import ROOT


def test_a_chain_of_errors_has_one_line() -> None:
    def chained(*errors: Exception) -> Exception:
        for error, cause in itertools.pairwise(errors):
            error.__cause__ = cause
        return errors[0]

    told = ValueError("Expected weights of\n this architecture")
    assert (
        refusal_line(chained(RuntimeError("host"), told, RuntimeError("torch")))
        == "Expected weights of this architecture"
    )
    assert refusal_line(chained(RuntimeError("applying transform"), MammogramError("a.png: wrong"))) == "a.png: wrong"
    assert refusal_line(chained(RuntimeError("host"), KeyError("a bug of ours"))) is None


def test_weights_of_another_architecture_have_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^error: Expected weights in models/ .*weight") as status, one_line_errors():
        nn.Linear(2, 1).load_state_dict(nn.Conv2d(1, 1, 1).state_dict())
    assert len(str(status.value).splitlines()) == 1
    with pytest.raises(RuntimeError, match="our bug"), one_line_errors():
        raise RuntimeError("our bug")


def test_segmenting_with_weights_that_do_not_fit_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    network = Restormer(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0)
    torch.save(network.state_dict(), tmp_path / "models" / "model.pt")
    (tmp_path / "view.png").write_bytes(b"")
    monkeypatch.setattr("scripts.command.ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"^error: Expected weights in models/") as status:
        main(
            [
                str(tmp_path / "view.png"),
                "--method",
                "segmentor",
                "--threshold",
                "0.5",
                "--output-dir",
                str(tmp_path / "out"),
            ]
        )
    assert len(str(status.value).splitlines()) == 1
