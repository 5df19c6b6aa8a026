"""A phantom exam of four views, its page, and a picture of that page: `python -m scripts.segment_picture`.

Takes minutes without a GPU. See docs/study_report.md.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from bundle.data.phantom import phantom_seed, write_phantom_dicom
from bundle.functional.phantom import render_phantom, sample_phantom
from scripts import segment
from scripts.command import one_line_errors

VIEWS = (("R", "CC", True), ("L", "CC", False), ("R", "MLO", True), ("L", "MLO", True))
"""Side, projection, and whether there are calcifications."""
SPACING_MM, HEIGHT_MM, WIDTH_MM = 0.1, 80.0, 60.0
WINDOW_PX = (1500, 1420)
PICTURE_PX = 1000
GREYS, COLOURS = 80, 80


def write_exam(folder: Path) -> None:
    """Write the views as DICOM, one study."""
    folder.mkdir(parents=True, exist_ok=True)
    study = pydicom.uid.generate_uid(entropy_srcs=["mcgenref phantom exam"])
    for number, (side, position, calcified) in enumerate(VIEWS):
        seed = phantom_seed("test", 500 + number)
        parameters = sample_phantom(
            np.random.default_rng(seed),
            spacing_mm=SPACING_MM,
            view=position,
            laterality=side,
            calcified=calcified,
            height_mm=HEIGHT_MM,
            width_mm=WIDTH_MM,
        )
        path = write_phantom_dicom(folder / f"{number}.dcm", render_phantom(parameters), seed=seed)
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = study
        dataset.save_as(path)


def take_picture(page: Path, target: Path) -> None:
    """Picture of the top of a page, with fewer colours.

    Raises:
        ValueError: if there is no Chromium, or it takes none.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise ValueError("Expected Chromium for a picture, found none; install Debian's chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        size = f"--window-size={WINDOW_PX[0]},{WINDOW_PX[1]}"
        subprocess.run(
            [browser, *flags, size, f"--screenshot={shot}", page.resolve().as_uri()], capture_output=True, timeout=300
        )
        if not shot.is_file():
            raise ValueError("Expected a picture of the page, got none; open it in Chromium by hand")
        with Image.open(shot) as picture:
            rows = round(picture.height * PICTURE_PX / picture.width)
            small = picture.convert("RGB").resize((PICTURE_PX, rows), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    reduced(small).save(target, optimize=True)


def reduced(picture: Image.Image) -> Image.Image:
    """A palette picture: even greys, and colours chosen among the pixels that have any, or marks would lose theirs."""
    pixels = np.asarray(picture).reshape(-1, 3)
    coloured = pixels[np.ptp(pixels.astype(int), axis=1) > 8]
    chosen = Image.fromarray(coloured[None]).quantize(COLOURS).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*np.repeat(np.linspace(0, 255, GREYS).astype(int), 3).tolist(), *chosen[: 3 * COLOURS]])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def main(argv: list[str] | None = None) -> None:
    """Write the exam, segment it, take the picture."""
    parser = argparse.ArgumentParser(prog="python -m scripts.segment_picture", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=Path("output"), help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    exam, results = arguments.output_dir / "exam", arguments.output_dir / "results"
    with one_line_errors():
        write_exam(exam)
    segment.main([str(exam), "--output-dir", str(results), "--no-dicom"])
    with one_line_errors():
        (page,) = results.glob("report_*.html")
        take_picture(page, arguments.output_dir / "study_report.png")
    print(f"Picture: {arguments.output_dir / 'study_report.png'}")


if __name__ == "__main__":
    main()
