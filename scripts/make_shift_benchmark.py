"""Write the views of the shift benchmark: `python -m scripts.make_shift_benchmark --output-dir DIR`.

An interrupted run goes on where it stopped. 122 views take about a minute on one core and 140 MB.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import maximum_filter

from bundle.data.shift_benchmark import CONDITIONS, ShiftCase, shift_cases, write_cases

STRATA = (("< 3", 0.0, 3.0), ("3-6", 3.0, 6.0), ("> 6", 6.0, np.inf))
TILE_PX = (300, 225)
MARK_PX = 7
"""Labels are drawn that much wider: one pixel would vanish when the view is made small."""
TINT = {1: (255, 60, 40), 2: (60, 220, 90)}


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.make_shift_benchmark", description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for the files; made if missing")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), help="default: all")
    parser.add_argument("--no-tuning", action="store_true", help="leave the tuning split out")
    parser.add_argument("--contact-sheet", type=Path, help="also a picture with some views of each condition")
    return parser.parse_args(argv)


def chosen_cases(conditions: Sequence[str], *, tuning: bool) -> list[ShiftCase]:
    """Test cases of the conditions, and the tuning cases if wanted."""
    cases = [case for condition in conditions for case in shift_cases("test", condition)]
    return cases + (shift_cases("tuning", "reference") if tuning else [])


def strata_table(items: Sequence[dict[str, str]]) -> str:
    """Shares of the contrast-to-noise strata among the visible calcifications, per split and condition, as Markdown."""
    lines = ["| views | calcifications | below the floor | " + " | ".join(f"CNR {name}" for name, *_ in STRATA) + " |"]
    lines.append("|---" * (3 + len(STRATA)) + "|")
    for group in dict.fromkeys((item["split"], item["condition"]) for item in items):
        paths = [item["truth"] for item in items if (item["split"], item["condition"]) == group]
        truth = [finding for path in paths for finding in json.loads(Path(path).read_text())]
        cnr = np.array([finding["cnr"] for finding in truth if finding["visible"]])
        shares = [np.mean((cnr >= low) & (cnr < high)) if cnr.size else 0.0 for _, low, high in STRATA]
        hidden = 1.0 - cnr.size / max(len(truth), 1)
        cells = [f"{group[0]}, {group[1]}", str(len(truth)), f"{hidden:.0%}", *(f"{share:.0%}" for share in shares)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tile(item: dict[str, str], *, marked: bool) -> Image.Image:
    """A view as a small picture with its name; with its label in colour if marked."""
    view = np.asarray(nib.load(item["image"]).dataobj)[:, :, 0].T  # type: ignore[attr-defined]
    picture = np.repeat((view >> 4).astype(np.uint8)[..., None], 3, axis=2)
    if marked:
        with Image.open(item["label"]) as opened:
            label = maximum_filter(np.asarray(opened), MARK_PX)
        for value, colour in TINT.items():
            picture[label == value] = colour
    image = Image.fromarray(picture).resize(TILE_PX[::-1], Image.Resampling.LANCZOS)
    ImageDraw.Draw(image).text((4, 2), f"{item['condition']}: {item['level']}", fill=(255, 220, 80))
    return image


def contact_sheet(items: Sequence[dict[str, str]], path: Path, *, columns: int = 6) -> None:
    """One row of views per split and condition; every second column shows the view before it with its label."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for item in items:
        groups.setdefault((item["split"], item["condition"]), []).append(item)
    sheet = Image.new("RGB", (columns * TILE_PX[1], len(groups) * TILE_PX[0]))
    for row, members in enumerate(groups.values()):
        for column in range(min(columns, 2 * len(members))):
            place = (column * TILE_PX[1], row * TILE_PX[0])
            sheet.paste(tile(members[column // 2], marked=column % 2 == 1), place)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Write what is missing, print the shares of the contrast-to-noise strata; returns the exit status."""
    arguments = parse_arguments(argv)
    try:
        items = write_cases(arguments.output_dir, chosen_cases(arguments.conditions, tuning=not arguments.no_tuning))
        print(strata_table(items))
        if arguments.contact_sheet:
            contact_sheet(items, arguments.contact_sheet)
            print(arguments.contact_sheet)
    except OSError as error:
        print(f"make_shift_benchmark: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
