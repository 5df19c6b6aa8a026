"""Toy trainings that are stopped in every way but a kill, which tests/test_survival.py does for real."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from torch import nn
from torch.utils.data import Dataset

from bundle.data.synthetic_pairs import SampleNumberSampler
from bundle.engines import FinalWeights, ResumableCheckpoints, RunningAverage
from bundle.engines.checkpoints import (
    LOCK,
    BrokenCheckpoint,
    newest_checkpoints,
    read_whole,
    save_whole,
)
from bundle.engines.durable import write_durably
from bundle.engines.random_state import random_state, set_random_state
from tests.disks import full_disk

WIDTH = 8


class Numbers(Dataset):
    """Sample n is a number of n, whatever the epoch."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        value = torch.full((WIDTH,), float(index % 7) / 7)
        return {"image": value, "label": 3 * value[:1] + 1}


class StopAfter:
    """Ends a training as an error of anything else would."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=self.epoch), self)

    def __call__(self, engine: Engine) -> None:
        raise KeyboardInterrupt


def _train(directory: Path, *, epochs: int, stop_after: int = 0, width: int = WIDTH, keep: int = 2) -> nn.Module:
    """Train with dropout, so that the generators of random numbers matter; returns the averaged network."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(WIDTH, width), nn.Dropout(0.5), nn.Linear(width, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    average, dataset = RunningAverage(network, warmup_iterations=6), Numbers()
    objects = {"network": network, "ema": average.ema_model, "optimizer": optimizer}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=DataLoader(dataset, batch_size=2, sampler=SampleNumberSampler(dataset)),
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        inferer=SimpleInferer(),
        train_handlers=[
            average,
            ResumableCheckpoints(str(directory), objects, keep=keep),
            *([StopAfter(stop_after)] if stop_after else []),
            FinalWeights(str(directory / "model.pt"), average.ema_model),
        ],
        decollate=False,
    )
    trainer.run()
    return average.ema_model


def _equal(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in a.state_dict().items())


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_resumed_run_ends_with_the_same_weights(tmp_path: Path, stop_after: int) -> None:
    whole = _train(tmp_path / "whole", epochs=5)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "halves", epochs=5, stop_after=stop_after)
    assert not (tmp_path / "halves" / "model.pt").exists()
    assert _equal(_train(tmp_path / "halves", epochs=5), whole)
    written = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "halves")]
    assert all(torch.equal(written[0][name], written[1][name]) for name in whole.state_dict())


def test_a_finished_training_that_is_run_again_writes_its_weights_again(tmp_path: Path) -> None:
    whole = _train(tmp_path, epochs=2)
    (tmp_path / "model.pt").unlink()
    assert _equal(_train(tmp_path, epochs=2), whole)
    assert (tmp_path / "model.pt").exists()


@pytest.mark.parametrize("broken", ["cut short", "one bit", "empty", "text"])
def test_a_broken_checkpoint_is_refused_in_one_line_and_the_one_before_it_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    whole = _train(tmp_path / "whole", epochs=4)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "cut", epochs=4, stop_after=3)
    newest = newest_checkpoints(tmp_path / "cut")[0]
    content = newest.read_bytes()
    middle = content.index(b"\x00" * 64) if b"\x00" * 64 in content else len(content) // 2
    wrong = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    newest.write_bytes({"cut short": content[:-40], "one bit": wrong, "empty": b"", "text": b"weights"}[broken])
    capsys.readouterr()
    resumed = _train(tmp_path / "cut", epochs=4)
    said = [line for line in capsys.readouterr().out.splitlines() if "checkpoint_" in line]
    assert _equal(resumed, whole)
    # The broken one was written over.
    assert read_whole(newest)["trainer"]["iteration"] == 6
    assert f"Refused {newest}: " in said[0]
    assert "Goes on from checkpoint_2.pt" in said[1]


def test_every_bit_that_matters_is_checked(tmp_path: Path) -> None:
    values = torch.arange(64.0)
    save_whole(tmp_path / "a.pt", {"values": values})
    content = (tmp_path / "a.pt").read_bytes()
    rng, refused = random.Random(0), 0
    for place in rng.sample(range(len(content)), 150):
        flipped = content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]
        (tmp_path / "b.pt").write_bytes(flipped)
        try:
            # Where it is read, the bit was of padding or a date.
            assert torch.equal(read_whole(tmp_path / "b.pt")["values"], values)
        except BrokenCheckpoint:
            refused += 1
    assert refused > 30
    for length in range(0, len(content), 97):
        (tmp_path / "b.pt").write_bytes(content[:length])
        with pytest.raises(BrokenCheckpoint):
            read_whole(tmp_path / "b.pt")


def test_where_no_checkpoint_is_sound_training_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = _train(tmp_path / "whole", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "cut", epochs=3, stop_after=2)
    for path in newest_checkpoints(tmp_path / "cut"):
        path.write_bytes(path.read_bytes()[:100])
    assert _equal(_train(tmp_path / "cut", epochs=3), whole)
    assert "None of the 2 checkpoints" in capsys.readouterr().out


def test_a_checkpoint_of_another_network_is_refused_and_stays(tmp_path: Path) -> None:
    _train(tmp_path, epochs=2)
    before = newest_checkpoints(tmp_path)[0].read_bytes()
    with pytest.raises(
        ValueError, match=r"got one of other networks or settings .*; give another --output_dir"
    ) as told:
        _train(tmp_path, epochs=3, width=WIDTH + 1)
    assert "\n" not in str(told.value)
    assert newest_checkpoints(tmp_path)[0].read_bytes() == before


def test_fewer_epochs_than_are_done_are_refused(tmp_path: Path) -> None:
    _train(tmp_path, epochs=3)
    with pytest.raises(ValueError, match="Expected at least the 3 epochs"):
        _train(tmp_path, epochs=2)


def test_only_the_newest_checkpoints_stay_and_never_fewer_than_two(tmp_path: Path) -> None:
    _train(tmp_path, epochs=3)
    _train(tmp_path, epochs=5)
    assert [path.name for path in newest_checkpoints(tmp_path)] == ["checkpoint_5.pt", "checkpoint_4.pt"]
    with pytest.raises(ValueError, match="at least 2 checkpoints"):
        _train(tmp_path, epochs=5, keep=1)


def test_a_second_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    holder = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); print('has it'); "
    holder += "sys.stdout.flush(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        with pytest.raises(RuntimeError, match="Expected no other training on"):
            _train(tmp_path, epochs=1)
        process.kill()
    _train(tmp_path, epochs=1)


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", epochs=4)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "full", epochs=4, stop_after=2)
    before = {path.name: path.read_bytes() for path in newest_checkpoints(tmp_path / "full")}
    with full_disk(1000), pytest.raises(OSError, match=r"Expected room for checkpoint_3.pt .*; free some") as told:
        _train(tmp_path / "full", epochs=4)
    assert "\n" not in str(told.value)
    assert {path.name: path.read_bytes() for path in newest_checkpoints(tmp_path / "full")} == before
    assert not list((tmp_path / "full").glob(".*.part"))
    assert _equal(_train(tmp_path / "full", epochs=4), whole)


def test_a_file_that_could_not_be_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_durably(path, lambda file: file.write(b"old"))

    def half(file: object) -> None:
        file.write(b"ne")  # type: ignore[attr-defined]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_durably(path, half)
    assert path.read_bytes() == b"old"
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.part").write_bytes(b"a longer piece of it")
    write_durably(tmp_path / "a.txt", lambda file: file.write(b"new"))
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"a.txt": b"new"}


def test_generators_go_on_where_they_were_read(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float, float]:
        legacy = np.random  # the global generator, which MONAI seeds
        return torch.rand(1).item(), legacy.random(), legacy.normal(), random.random()

    legacy_once = np.random.normal()  # noqa: NPY002 -- leaves the second of a pair behind
    assert np.isfinite(legacy_once)
    torch.save(random_state(), tmp_path / "state.pt")
    drawn = draw()
    assert draw() != drawn
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == drawn
