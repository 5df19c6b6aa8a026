"""Write phantom mammograms: `python -m scripts.make_phantom --output-dir DIR --count 4`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from bundle.data.phantom import phantom_datalist


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for the files; made if missing")
    parser.add_argument("--count", type=int, default=4, help="number of phantoms")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first; the next ones follow")
    parser.add_argument("--spacing-mm", type=float, default=0.1, help="pixel side in mm")
    parser.add_argument("--height-mm", type=float, default=240.0, help="detector height; the breast follows it")
    parser.add_argument("--width-mm", type=float, default=180.0, help="detector width; the breast follows it")
    parser.add_argument("--view", choices=("CC", "MLO"), help="left out: drawn")
    parser.add_argument("--density", choices=("A", "B", "C", "D"), help="BI-RADS density; left out: drawn")
    parser.add_argument("--normal", action="store_true", help="without calcifications")
    parser.add_argument("--png", action="store_true", help="also an 8-bit picture beside each DICOM file")
    return parser.parse_args(arguments)


def write_picture(image: Path) -> Path:
    """Write the 8-bit picture of a phantom's DICOM file beside it."""
    picture = image.with_suffix(".png")
    values = pydicom.dcmread(image).pixel_array
    Image.fromarray((values >> 4).astype(np.uint8)).save(picture)
    return picture


def main(arguments: list[str] | None = None) -> int:
    """Write the phantoms and print their paths; returns the exit status."""
    options = parse_arguments(arguments)
    try:
        files = phantom_datalist(
            options.output_dir,
            count=options.count,
            first_seed=options.seed,
            spacing_mm=options.spacing_mm,
            calcified=not options.normal,
            height_mm=options.height_mm,
            width_mm=options.width_mm,
            view=options.view,
            density=options.density,
        )
        for item in files:
            print(item["image"])
            if options.png:
                print(write_picture(Path(item["image"])))
    except (ValueError, OSError) as error:
        print(f"make_phantom: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
