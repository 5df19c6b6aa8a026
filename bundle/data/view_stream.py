"""The views of an inference run: a bad file is reported and left out, and the others go on."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch.utils.data import IterableDataset
from tqdm import tqdm

from .errors import MammogramError, root_mammogram_error
from .find import find_mammograms


class ViewStream(IterableDataset):
    """Views of a file or a folder, one after the other, without those that cannot be read.

    Args:
        input_path: a file or a folder.
        transform: reading, breast mask and window of {"image": path}.

    Attributes:
        refused: one line per file that was left out, filled while iterating.
        done: number of views given out.
    """

    def __init__(self, input_path: str, transform: Callable[[Mapping[str, Any]], dict]) -> None:
        self.input_path, self.transform = input_path, transform
        self.refused: list[str] = []
        self.done = 0

    def files(self) -> list[dict[str, str]]:
        """What there is to read: [{"image": path}, ...].

        Raises:
            MammogramError: if there is nothing.
        """
        return find_mammograms(self.input_path)

    def __iter__(self) -> Iterator[dict]:
        """Each readable view, transformed."""
        self.refused, self.done = [], 0
        for item in tqdm(self.files(), desc="Views", unit="view"):
            try:
                view = read_view(item, self.transform)
            except MammogramError as refusal:
                self.refused.append(str(refusal))
                tqdm.write(f"refused: {refusal}")
                continue
            self.done += 1
            yield view


def read_view(item: Mapping[str, Any], transform: Callable[[Mapping[str, Any]], dict]) -> dict:
    """One view, transformed.

    Args:
        item: {"image": path}.
        transform: as of `ViewStream`.

    Raises:
        MammogramError: in one line, if the file cannot be read, whatever MONAI wraps around that.
    """
    try:
        return transform(item)
    except (RuntimeError, ValueError) as error:
        if (refusal := root_mammogram_error(error)) is None:
            raise
        raise refusal from error
