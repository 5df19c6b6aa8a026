"""The sums of the weights: told, recorded, and nothing else of metadata.json touched."""

import json
from pathlib import Path

import pytest
import torch

from scripts import weights
from scripts.weights import WEIGHTS, compare, record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(WEIGHTS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        torch.save({"weight": torch.full((9,), float(number))}, tmp_path / name)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text('{\n    "name": "Größe",\n    "list": [\n        1\n    ]\n}\n')
    return tmp_path


def test_the_shipped_weights_are_the_listed_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """After a training that replaces them: python -m scripts.weights --record."""
    weights.main([])
    assert capsys.readouterr().out.count("as listed") == len(WEIGHTS)


def test_what_was_recorded_is_as_listed(root: Path) -> None:
    before = (root / "configs" / "metadata.json").read_text()
    assert not any(same for _, same in compare(root).values())
    record(root)
    assert all(same for _, same in compare(root).values())
    after = (root / "configs" / "metadata.json").read_text()
    assert after.startswith(before[: before.rindex("]")])
    assert list(json.loads(after)) == ["name", "list", "weights_sha256"]


def test_only_the_changed_file_is_another(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(root)
    torch.save({"weight": torch.ones(2)}, root / WEIGHTS[1])
    assert [same for _, same in compare(root).values()] == [True, False]
    monkeypatch.setattr(weights.compare, "__defaults__", (root,))
    with pytest.raises(SystemExit) as status:
        weights.main([])
    assert status.value.code == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith(f"{WEIGHTS[0]}  as listed")
    assert told[1].endswith(f"{WEIGHTS[1]}  NOT as listed in configs/metadata.json")


def test_what_holds_no_weights_is_not_recorded(root: Path) -> None:
    record(root)
    before = (root / "configs" / "metadata.json").read_bytes()
    (root / WEIGHTS[0]).write_bytes(b"")
    with pytest.raises(ValueError, match="whole file of weights"):
        record(root)
    (root / WEIGHTS[0]).unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.pt, found none"):
        record(root)
    assert (root / "configs" / "metadata.json").read_bytes() == before
