"""Views as they might look without calcifications: `python -m scripts.virtual_normal FILE --output-dir OUT`."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from bundle.baselines.virtual_normal import VirtualNormalInferer
from bundle.data import LoadMammogramd, MammogramError, find_mammograms
from bundle.data.dicom_file import silent_pydicom
from bundle.data.dicom_results import Placement, new_uid, read_header, write_dicom
from bundle.data.dicom_virtual_normal import burned_in, stored_greys, virtual_normal_image
from bundle.data.errors import printable
from bundle.data.mammogram_reader import sniff
from bundle.data.whole_files import write_whole
from bundle.functional.windows import window_origins
from bundle.inferers import WindowedInferer
from bundle.networks import load_weights
from bundle.networks.inpainter_grid import grid_offsets
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.command import one_line_errors
from scripts.shipped import ROOT, shipped_inferers

SERIES_NUMBER = 9911
"""Far from an exam's own, and from those of scripts.dicom_results."""
GROW_PX = 3
Hidden = Callable[[Tensor], Tensor]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.virtual_normal", description=__doc__)
    parser.add_argument("input", help="a file or a folder: MG DICOM, PNG, TIFF, JPEG or NIfTI")
    parser.add_argument("--output-dir", type=Path, default=Path("output"), help="(default: %(default)s)")
    shipped = ROOT / "models" / "compared" / "inpainter" / "model.pt"
    parser.add_argument(
        "--weights",
        type=Path,
        default=shipped,
        help="of configs/train_inpainter.yaml (default: those of the repository, trained on phantoms alone)",
    )
    parser.add_argument("--published", action="store_true", help="weights are of train_inpainter_published.yaml")
    parser.add_argument(
        "--replace",
        choices=("findings", "everywhere"),
        default="findings",
        help="what the segmentor marks, or every pixel, each predicted while hidden (default: %(default)s)",
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="probability of a finding (default: %(default)s)")
    parser.add_argument("--cell-px", type=int, default=32, help="hidden cells of `everywhere` (default: %(default)s)")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    return parser.parse_args(argv)


def inpainter_inferer(arguments: argparse.Namespace) -> VirtualNormalInferer:
    """The trained inpainter in windows of the size it was trained on.

    Raises:
        FileNotFoundError: without weights.
        ValueError: if they are of another network.
    """
    names = ("train", "train_inpainter", *(("train_inpainter_published",) if arguments.published else ()))
    parser = ConfigParser(ConfigParser.load_config_files([str(ROOT / "configs" / f"{name}.yaml") for name in names]))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_weights(parser.get_parsed_content("network_def"), str(arguments.weights), device=device)
    return VirtualNormalInferer(
        network,
        windowed=WindowedInferer(parser.get_parsed_content("window_px"), dtype="bfloat16", progress=True),
        hide="mask" if arguments.replace == "findings" else "grid",
        cell_px=arguments.cell_px,
    )


def finder(threshold: float) -> Hidden:
    """The shipped segmentor's findings, grown by `GROW_PX`: views (B, 1, rows, columns) to bool of that shape."""
    inferer, _, network = shipped_inferers()

    def hidden(view: Tensor) -> Tensor:
        found = (torch.sigmoid(inferer(view, network)) >= threshold).float()
        return F.max_pool2d(found, 2 * GROW_PX + 1, stride=1, padding=GROW_PX) > 0

    return hidden


def write_view(path: str, folder: Path, normal: np.ndarray, series_uid: str, number: int) -> None:
    """Write the virtual normal as PNG, and as DICOM beside it for a DICOM source.

    Args:
        path: the source.
        folder: where to.
        normal: (rows, columns) in [-1, 1].
        series_uid: of the DICOM series.
        number: in the series.
    """
    name = png_path(path, folder)
    greys = (burned_in(stored_greys(normal)) // 16).astype(np.uint8)
    if sniff(path) == "dicom":
        with silent_pydicom():
            image = virtual_normal_image(read_header(path), normal, Placement(series_uid, SERIES_NUMBER, number))
            write_dicom(name.with_suffix(".dcm"), image)
    # The last to be written says that a view is done.
    write_whole(name, lambda temporary: Image.fromarray(greys).save(str(temporary), format="PNG"))


def png_path(path: str, folder: Path) -> Path:
    """Where the picture of a view goes."""
    return folder / f"{Path(path).name.split('.')[0]}_virtual_normal.png"


def price(view: Tensor, inferer: VirtualNormalInferer) -> str:
    """What a view costs at most."""
    windowed = inferer.windowed
    windows = len(window_origins(*view.shape[-2:], window_px=windowed.window_px, overlap=windowed.overlap))
    passes = len(grid_offsets(inferer.cell_px, blended=inferer.blended)) if inferer.hide == "grid" else 1
    return f"at most {windows * passes} windows of {windowed.window_px} px"


def make_all(arguments: argparse.Namespace) -> list[str]:
    """Write the virtual normal of every view that has none yet.

    Returns:
        One line per file that was left out.
    """
    views = [item["image"] for item in find_mammograms(arguments.input)]
    waiting = [path for path in views if not png_path(path, arguments.output_dir).exists()]
    if not waiting:
        return []
    inferer = inpainter_inferer(arguments)
    hidden = finder(arguments.threshold) if arguments.replace == "findings" else None
    load = Compose([LoadMammogramd(default_spacing_mm=arguments.spacing_mm), BreastMaskd(), MammogramWindowd()])
    device = next(inferer.inpainter.parameters()).device  # type: ignore[union-attr]
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    refused, series_uid = [], new_uid()
    for number, path in enumerate(tqdm(waiting, desc="Views", unit="view"), start=1):
        try:
            view = load({"image": path})["image"][None].to(device)
        except MammogramError as error:
            refused.append(str(error))
            continue
        tqdm.write(f"{printable(Path(path).name)}: {price(view, inferer)}")
        normal = inferer(view, hidden=None if hidden is None else hidden(view))
        write_view(path, arguments.output_dir, np.asarray(normal.cpu())[0, 0], series_uid, number)
    return refused


def main(argv: list[str] | None = None) -> None:
    """Write virtual normals and end with status 1 if a file was left out."""
    arguments = parse(argv)
    with one_line_errors():
        refused = make_all(arguments)
    for line in refused:
        print(f"left out: {line}")
    print(f"Virtual normals in {arguments.output_dir}: predictions, not real images")
    if refused:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
