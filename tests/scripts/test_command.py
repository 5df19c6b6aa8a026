"""What the commands make of options and errors."""

import itertools
import re
from pathlib import Path

import pytest
import torch

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


def test_a_bug_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="our bug"), one_line_errors():
        raise RuntimeError("our bug")


@pytest.fixture
def other_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose weights are of a smaller network, whole."""
    (tmp_path / "models").mkdir()
    (tmp_path / "configs").mkdir()
    for path in (ROOT / "configs").iterdir():
        (tmp_path / "configs" / path.name).symlink_to(path)
    network = Restormer(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0)
    torch.save(network.state_dict(), tmp_path / "models" / "model.pt")
    monkeypatch.setattr("scripts.command.ROOT", tmp_path)
    return tmp_path


def _refusal(root: Path) -> str:
    """The line that segmenting ends in."""
    (root / "view.png").write_bytes(b"")
    options = ["--method", "segmentor", "--threshold", "0.5", "--output-dir", str(root / "out")]
    with pytest.raises(SystemExit) as status:
        main([str(root / "view.png"), *options])
    assert len(str(status.value).splitlines()) == 1
    assert not (root / "out").exists()
    return str(status.value)


def test_segmenting_with_other_weights_than_the_listed_ones_ends_in_one_line(other_root: Path) -> None:
    told = r"error: Expected models/model\.pt with SHA-256 \w{12}\.\.\. as metadata\.json lists it, got \w{12}\.\.\.; "
    assert re.match(told, _refusal(other_root))


def test_segmenting_with_weights_that_do_not_fit_ends_in_one_line(other_root: Path) -> None:
    (other_root / "configs" / "metadata.json").unlink()
    (other_root / "configs" / "metadata.json").write_text("{}")
    assert re.match(
        r"error: Expected weights of this architecture in .*model\.pt, got others: \d+ ", _refusal(other_root)
    )
    whole = (other_root / "models" / "model.pt").read_bytes()
    (other_root / "models" / "model.pt").write_bytes(whole[: len(whole) // 2])
    assert re.match(r"error: Expected a whole file of weights at .*model\.pt", _refusal(other_root))
