"""The systems of a comparison: which can run and support a claim, what they have seen, and how to build them."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from numpy.typing import NDArray

from bundle import __version__
from bundle.baselines.nnunet import NnUNetInferer
from bundle.baselines.nnunet_files import case_name, read_probability, write_image
from bundle.baselines.registry import CLASSICAL, REGISTRY, Entry, off_plateau
from bundle.data import MammogramError
from bundle.data.errors import refuse
from bundle.data.whole_files import write_whole
from bundle.engines.benchmark import MapSystem, View
from bundle.engines.evaluation import fingerprint
from bundle.functional.findings import GENERATIVE_METHODS
from bundle.inferers import WindowedInferer
from bundle.networks import load_weights
from scripts.benchmark_systems import classical_system, learned_systems, load_networks
from scripts.compare_data import Item, Seen
from scripts.shipped import ROOT

RECORD = "training.json"
LOSSES = "losses.csv"
NO_WEIGHTS, NO_PREDICTIONS, NOT_BUILT = "no weights", "no predictions", "not built"
PREDICTIONS, INPUTS = "predictions", "inputs"
NOT_CONVERGED, NOT_RECORDED = "not converged", "training not recorded"
Parameters = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Status:
    """What a row may be used for.

    Attributes:
        word: beside its name; "" for a row that supports claims.
        why: in a sentence.
        command: what would mend it.
    """

    word: str = ""
    why: str = ""
    command: str = ""

    @property
    def runs(self) -> bool:
        """Whether there is anything to run."""
        return self.word not in (NO_WEIGHTS, NO_PREDICTIONS, NOT_BUILT)


@dataclass(frozen=True)
class Folders:
    """Where weights lie.

    Attributes:
        weights: FOLDER/model.pt of each trained system, and FOLDER/folds/EXAM.pt if it was trained on real views.
        models: model.pt and generator_ema.pt of our own.
        folds: EXAM.pt of our own, trained without that exam.
    """

    weights: Path
    models: Path = ROOT / "models"
    folds: Path | None = None

    def of(self, entry: Entry, part: str = "") -> list[Path]:
        """The files of weights that a system runs with, on a held-out exam if one is named."""
        if entry.kind == "classical":
            return []
        if entry.kind == "predicted":
            return [self.weights / entry.name / PREDICTIONS]
        if entry.kind == "trained":
            return [self._trained(weights.folder, part) for weights in entry.weights]
        own = self.folds / f"{part}.pt" if part and self.folds is not None else self.models / "model.pt"
        if entry.name not in GENERATIVE_METHODS:
            return [own]
        generator = None if self.folds is None or not part else self.folds / f"{part}_generator.pt"
        return [own, generator if generator is not None and generator.exists() else self.models / "generator_ema.pt"]

    def _trained(self, folder: str, part: str) -> Path:
        fold = self.weights / folder / "folds" / f"{part}.pt"
        return fold if part and fold.exists() else self.weights / folder / "model.pt"


@dataclass(frozen=True)
class Training:
    """What is recorded of a training, beside its weights.

    Attributes:
        seen: images, patients and seeds that it was trained on.
        losses: mean loss of each epoch.
        options: of the training, as its record has them.
    """

    seen: Seen
    losses: tuple[float, ...]
    options: dict[str, Any] = field(default_factory=dict)


def digest_of(path: Path) -> str:
    """SHA-256 of a file of weights, or of the files of a folder of predictions and their names."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.iterdir() if file.is_file())
    return hashlib.sha256("".join(file.name + digest_of(file) for file in files).encode()).hexdigest()


def training_of(weights: Path) -> Training | None:
    """The record of a training in the training.json beside its weights, found by their SHA-256; None without one.

    Raises:
        MammogramError: if the file is damaged.
    """
    path = weights.with_name(RECORD)
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))["trainings"].get(digest_of(weights))
        if record is None:
            return None
        seen = seen_of(record)
        losses = weights.parent / record.get("losses", LOSSES)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise refuse(path, f"Expected a record of a training as scripts.compare_train writes it; {error}") from error
    return Training(seen, read_losses(losses), dict(record.get("options", {})))


def seen_of(record: Mapping[str, Any]) -> Seen:
    """What a recorded training has seen."""
    seeds = tuple((str(name), int(first), int(stop)) for name, first, stop in record["seeds"])
    return Seen(frozenset(record["images"]), frozenset(record["patients"]), seeds)


def read_losses(path: Path) -> tuple[float, ...]:
    """Mean loss of each epoch of a losses.csv, the last one of an epoch that was run twice; none without a file.

    Raises:
        MammogramError: if a line is not `epoch,loss`.
    """
    if not path.exists():
        return ()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            losses = {int(epoch): float(loss) for epoch, loss in csv.reader(file)}
    except ValueError as error:
        raise refuse(path, f"Expected lines of epoch,loss, got something else; {error}") from error
    return tuple(losses[epoch] for epoch in sorted(losses))


def write_losses(path: Path, losses: Iterable[float]) -> None:
    """Write the mean loss of each epoch, from 1 on, as `read_losses` reads them."""
    text = "".join(f"{epoch},{loss:.6f}\n" for epoch, loss in enumerate(losses, 1))
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def training_command(entry: Entry) -> str:
    """The command that trains a system."""
    if entry.kind == "shipped":
        return "python -m scripts.train_weights --normals FOLDER_OF_NORMALS"
    if entry.kind == "predicted":
        return "python -m scripts.nnunet pairs --help"
    return f"python -m scripts.compare_train {entry.name}"


def status_of(entry: Entry, folders: Folders, parts: Sequence[str] = ("",)) -> Status:
    """Whether a system can run, and whether its row supports a claim.

    Args:
        entry: the system.
        folders: where weights lie.
        parts: held-out exams it will run on, "" for none.
    """
    if not entry.built:
        return Status(NOT_BUILT, entry.install or "its code is not in this version")
    files = list(dict.fromkeys(path for part in parts for path in folders.of(entry, part)))
    command = training_command(entry)
    missing = next((path for path in files if not path.exists()), None)
    if missing is not None:
        return Status(NO_WEIGHTS, f"expected {missing.parent.name}/{missing.name}", command)
    trainings = {path: training_of(path) for path in files}
    unknown = next((path for path, training in trainings.items() if training is None), None)
    if unknown is not None:
        what = f"{unknown.parent.name}/{RECORD} does not hold {unknown.name}"
        return Status(NOT_RECORDED, what, f"python -m scripts.compare_train {entry.name} --record WEIGHTS")
    for path, training in trainings.items():
        if training is not None and (why := off_plateau(training.losses)):
            word = NOT_CONVERGED if training.losses else NOT_RECORDED
            return Status(word, f"{path.parent.name}/{path.name}: {why}", command)
    return Status()


@dataclass(frozen=True)
class Recipe:
    """A system as any process can build it by itself; called with a view, it returns logits (rows, columns).

    Attributes:
        name: in the registry.
        weights: files, as `Folders.of` gives them.
        parameters: tuned ones of the classical detector that it is or needs.
    """

    name: str
    weights: tuple[str, ...] = ()
    parameters: Parameters = ()

    def __call__(self, view: View) -> NDArray[np.floating]:
        """Logits of a view."""
        return built(self).predict(view)

    def system(self, *, keep: bool | None = None) -> MapSystem:
        """The system with what its maps depend on; those of learned ones are kept."""
        learned = self.name not in CLASSICAL
        return MapSystem(self.name, self, built(self).settings, keep=learned if keep is None else keep)


@lru_cache(maxsize=64)
def built(recipe: Recipe) -> MapSystem:
    """Build a system, once per process.

    Raises:
        MammogramError: if weights do not fit.
    """
    entry, parameters = REGISTRY[recipe.name], dict(recipe.parameters)
    if entry.kind == "classical":
        return classical_system(entry.name, CLASSICAL[entry.name](**parameters))
    if entry.kind == "shipped":
        return _shipped(entry.name, [Path(path) for path in recipe.weights])
    if entry.kind == "predicted":
        return _predicted(entry.name, Path(recipe.weights[0]))
    if entry.make is None:
        raise MammogramError(f"{entry.name}: Expected a system with code, got a row without; leave it out")
    pairs = zip(entry.weights, recipe.weights, strict=True)
    networks = [network_of(weights.configs, path) for weights, path in pairs]
    signal = CLASSICAL[entry.signal](**parameters) if entry.signal else None
    inferer = entry.make(networks, WindowedInferer(dtype="bfloat16"), signal)
    predict = partial(_logits, inferer, next(networks[0].parameters()).device)
    return MapSystem(entry.name, predict, fingerprint(__version__, inferer), keep=True)


def _predicted(name: str, folder: Path) -> MapSystem:
    predict = partial(_logits, NnUNetInferer(folder), torch.device("cpu"))
    return MapSystem(name, predict, fingerprint(__version__, digest_of(folder)))


def without_predictions(folder: Path, items: Iterable[Item]) -> int:
    """How many views another program has yet to predict; they are written to a folder beside its predictions.

    Args:
        folder: of predictions.
        items: test and tuning cases.
    """
    count = 0
    for item in items:
        view = item.case.load()
        image, name = np.asarray(view["image"], np.float32), case_name(view["image"])
        if read_probability(folder, name, shape=(image.shape[0], image.shape[1])) is None:
            write_image(folder.with_name(INPUTS), name, image, spacing_mm=view["spacing_mm"])
            count += 1
    return count


def _shipped(name: str, weights: Sequence[Path]) -> MapSystem:
    generative = name in GENERATIVE_METHODS
    networks = load_networks(None, refine=generative)
    modules = [networks.network, *([networks.refined_inferer.generator] if generative else [])]
    for module, path in zip(modules, weights, strict=True):
        _fill(module, path)
    return learned_systems([name], networks)[name]


def _fill(network: torch.nn.Module, path: Path) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        load_weights(network, str(path), device=device)
    except (OSError, ValueError) as error:
        raise MammogramError(f"{path}: Expected weights of this system; {error}") from error


@lru_cache(maxsize=16)
def network_of(configs: tuple[str, ...], weights: str) -> torch.nn.Module:
    """The network of a config with weights, ready to predict.

    Args:
        configs: overlays of configs/train.yaml, in order.
        weights: a file.

    Raises:
        MammogramError: if they do not fit.
    """
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / f"{name}.yaml") for name in ("train", *configs)])
    network = parser.get_parsed_content("network_def")
    _fill(network, Path(weights))
    return network


def _logits(inferer: Any, device: torch.device, view: Mapping[str, Any]) -> NDArray[np.floating]:
    image = torch.from_numpy(np.ascontiguousarray(view["image"]))[None, None].to(device)
    with torch.no_grad():
        return inferer(image, spacing_mm=view["spacing_mm"])[0, 0].cpu().numpy()
