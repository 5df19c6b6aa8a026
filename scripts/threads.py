"""How many threads torch takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """So many threads of torch in the block: its sums depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
