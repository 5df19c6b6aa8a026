"""Where the views of a study hang: right breast left, left breast right, as seen from the front."""

from collections.abc import Sequence
from itertools import zip_longest

POSITIONS = ("CC", "MLO")
"""Projections of a screening exam, in the order in which they hang; others follow by name."""

Place = int | None
Row = tuple[Place, Place]


def hanging_rows(tags: Sequence[tuple[str, str]]) -> list[Row]:
    """Pair the views of a study.

    Args:
        tags: laterality ("R", "L" or anything else) and projection ("CC", "MLO", ... or "") of each view.

    Returns:
        Rows of two indices into `tags`, None for an empty place. RCC beside LCC, RMLO beside LMLO, then other
        projections by name; a repeated view opens another row. Views whose side or projection is not known come last,
        two by two in the given order.
    """
    known = sorted({position for side, position in tags if side in ("R", "L") and position}, key=_order)
    rows: list[Row] = []
    for position in known:
        right, left = ([i for i, tag in enumerate(tags) if tag == (side, position)] for side in ("R", "L"))
        rows += zip_longest(right, left)
    placed = {index for row in rows for index in row}
    rest = [index for index in range(len(tags)) if index not in placed]
    return rows + list(zip_longest(rest[::2], rest[1::2]))


def _order(position: str) -> tuple[int, str]:
    return POSITIONS.index(position) if position in POSITIONS else len(POSITIONS), position
