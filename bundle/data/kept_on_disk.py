"""Loaded views kept as files, so that a training over thousands of them needs no memory for them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from .whole_files import write_whole


class KeptOnDisk:
    """Loads a view once, and from then on maps its files into memory: only what is cut out of it is read.

    Arrays come back bit for bit. What is kept belongs to the item, to size and time of its file, and to `settings`;
    after a change of the transform itself the folder must be deleted.

    Args:
        load: {"image": path, ...} -> `image`, (1, rows, columns) with `spacing_mm` in its metadata, and where there is
            one the bool mask `ignore`.
        directory: folder of the files: 4 bytes a pixel, 5 with a mask.
        settings: options of `load` that change its result, as far as JSON can hold them.
    """

    def __init__(
        self, load: Callable[[Mapping[str, Any]], Mapping[str, Any]], directory: str | PathLike[str], settings: Any = ()
    ) -> None:
        self.load, self.directory, self.settings = load, Path(directory), settings

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The loaded view, with `image` and `ignore` as maps of their files.

        Raises:
            MammogramError: from `load`.
        """
        # Written last, it says that the arrays beside it are whole.
        told = self.directory / f"{self._key(item)}.json"
        if not told.exists():
            self._keep(item, told)
        spacing_mm = json.loads(told.read_text())["spacing_mm"]
        out: dict[str, Any] = {"image": MetaTensor(_mapped(told, "image"), meta={"spacing_mm": np.array(spacing_mm)})}
        if _array(told, "ignore").exists():
            out["ignore"] = _mapped(told, "ignore")
        return out

    def _keep(self, item: Mapping[str, Any], told: Path) -> None:
        view = self.load(item)
        for name in ("ignore", "image"):
            if name in view:
                array: NDArray[Any] = np.asarray(view[name])
                write_whole(_array(told, name), lambda path, array=array: np.save(path, array))  # type: ignore[misc]
        spacing_mm = [float(side) for side in view["image"].meta["spacing_mm"]]
        write_whole(told, lambda path: path.write_text(json.dumps({"spacing_mm": spacing_mm})))

    def _key(self, item: Mapping[str, Any]) -> str:
        state = Path(item["image"]).stat()
        identity = [sorted((name, str(value)) for name, value in item.items()), state.st_size, state.st_mtime_ns]
        return hashlib.sha256(json.dumps([identity, self.settings]).encode()).hexdigest()[:24]


def _array(told: Path, name: str) -> Path:
    return told.with_name(f"{told.stem}_{name}.npy")


def _mapped(told: Path, name: str) -> torch.Tensor:
    # Copy on write, since torch has no tensors that cannot be written.
    return torch.from_numpy(np.load(_array(told, name), mmap_mode="c"))
