"""Real normals with the calcifications of the benchmark on real backgrounds, and their masks.

`python -m scripts.make_real_views --normals DIR --output-dir OUT`: every crop of every view gets an injection, so that
configs/train_supervised.yaml can learn from some exams what the benchmark tests on others (docs/benchmarks.md). OUT
holds VIEW_N.nii and VIEW_N_mask.png (0, 1, 2: ignore) of each injection N. An interrupted run goes on where it stopped;
a folder that other options have made is refused.
"""

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.transforms import Compose
from PIL import Image
from tqdm import tqdm

from bundle.data import LoadMammogramd, MammogramError
from bundle.data.files import read_json
from bundle.data.real_backgrounds import RealBackgrounds, exams_of
from bundle.data.shift_benchmark import nifti_of
from bundle.data.whole_files import write_whole
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.command import one_line_errors

# What the views of a folder were made from.
MADE_FROM = "made_from.json"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.make_real_views",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--normals", required=True, help="folder of normal views")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for the files; made if missing")
    parser.add_argument("--exams", help="CSV with the columns image and exam; left out: what stands before the first _")
    parser.add_argument("--without", nargs="+", default=[], metavar="EXAM", help="exams that are left out")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument("--crop-mm", type=float, default=60.0, help="side of a crop (default: %(default)s)")
    parser.add_argument("--injections", type=int, default=4, help="copies of each view (default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Write what is missing."""
    arguments = _parser().parse_args(argv)
    with one_line_errors():
        exams = exams_of(arguments.normals, arguments.exams)
        if unknown := sorted(set(arguments.without) - set(exams)):
            raise MammogramError(f"--without: Expected exams among {', '.join(exams)}, got {unknown[0]}; correct it")
        if arguments.injections < 1:
            raise MammogramError(f"--injections: Expected at least 1, got {arguments.injections}; raise it")
        load = Compose([LoadMammogramd(spacing_mm=arguments.spacing_mm), BreastMaskd(), MammogramWindowd()])
        backgrounds = RealBackgrounds(load, crop_mm=arguments.crop_mm)
        wanted = [
            (exam, path, injection)
            for exam, paths in exams.items()
            if exam not in arguments.without
            for path in paths
            for injection in range(arguments.injections)
        ]
        _claim(
            arguments.output_dir,
            {
                "views": sorted({Path(path).name for _, path, _ in wanted}),
                **{name: getattr(arguments, name) for name in ("spacing_mm", "crop_mm", "injections")},
            },
        )
        for exam, path, injection in tqdm(wanted, desc="Views", unit="view"):
            image = arguments.output_dir / f"{Path(path).stem}_{injection}.nii"
            # Written last: it stands for both.
            if image.exists():
                continue
            view = backgrounds.load_whole(exam, path, injection)
            write_whole(image.with_name(f"{image.stem}_mask.png"), Image.fromarray(view["label"]).save)
            levels = np.round((np.clip(view["image"], -1, 1) + 1) * 127.5).astype(np.uint16)
            write_whole(image, partial(nib.save, nifti_of(levels, view["spacing_mm"])))
        print(f"{len(wanted)} views and their masks are in {arguments.output_dir}")


def _claim(folder: Path, options: Mapping[str, object]) -> None:
    """Keep the options beside the views: those of others would be learned from too.

    Raises:
        MammogramError: if the folder was made with others.
    """
    path = folder / MADE_FROM
    if not path.exists() and not any(folder.glob("*.nii")):
        write_whole(path, lambda temporary: temporary.write_text(json.dumps(options), encoding="utf-8"))
    elif not path.exists() or read_json(path) != options:
        raise MammogramError(f"{folder}: Expected views of these options, got some of others; take another folder")


if __name__ == "__main__":
    main()
