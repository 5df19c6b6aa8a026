"""What a refinement does, iteration by iteration: `python -m scripts.trace INPUT --output-dir OUT`.

Per view: STEM_trace.csv and STEM_trace.png (energy and its terms, largest step, t, seeds), and STEM_logits.png (the
logits of the busiest window after some iterations). See docs/refinement_study.md.
"""

import argparse
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from numpy.typing import NDArray

from bundle.data import LoadMammogramd, ViewStream
from bundle.data.whole_files import write_whole
from bundle.engines.benchmark import EVALUATIONS
from bundle.engines.pictures import trace_figure
from bundle.engines.tracking import trace_csv, write_figure
from bundle.functional.flow import ode_steps
from bundle.functional.refinement import time_schedule
from bundle.functional.refinement_settings import PRESETS, RefinementSettings
from bundle.functional.windows import breast_windows, pad_to_window
from bundle.inferers import TTGPRInferer
from bundle.reports.panels import densest_crop
from bundle.reports.trace import logit_figure, shown_iterations
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark_systems import Networks, load_networks
from scripts.command import one_line_errors
from scripts.study_cost import GENERATOR, SEGMENTOR, Passes, minutes_of, pass_costs

Plane = NDArray[np.float32]


class WatchedInferer(TTGPRInferer):
    """TT-GPR that keeps its trace, and its map of logits after some iterations.

    Args:
        generator: as in `TTGPRInferer`.
        watch: numbers of iterations done at which the map is kept; 0 is the segmentor's.
        **options: of `TTGPRInferer`.

    Attributes:
        kept: (rows, columns) by the number of iterations done, of the last call; nothing if no window was refined.
    """

    def __init__(self, generator: Any, *, watch: Sequence[int], **options: Any) -> None:
        super().__init__(generator, trace=True, **options)
        self.watch = set(watch)
        self.kept: dict[int, Plane] = {}

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As `TTGPRInferer`; the images of a batch but the first are not watched."""
        self.kept = {}
        logits = super().__call__(inputs, network, *args, **kwargs)
        rows, columns = logits.shape[-2:]
        self.kept = {count: plane[:rows, :columns] for count, plane in self.kept.items()}
        if self.kept:
            # What comes after the last iteration belongs to it, and it may have come early.
            self.kept[len(self.last_trace)] = _first(logits)
        return logits

    def _iterate(self, view: Any, refine_iter: int, t: float, network: Any) -> None:
        if refine_iter in self.watch:
            self.kept[refine_iter] = _first(view.logits)
        super()._iterate(view, refine_iter, t, network)


def _first(logits: torch.Tensor) -> Plane:
    """The first map of a batch, a copy."""
    return logits[0, 0].detach().cpu().numpy().copy()


def passes_per_window(settings: RefinementSettings) -> Passes:
    """Passes of each network in the refinement of one window, the segmentor's first one included."""
    times = time_schedule(settings.iterations, t_start=settings.t_start, t_end=settings.t_end)
    steps = [settings.steps or ode_steps(t, k_max=settings.k_max) for t in times]
    return {
        SEGMENTOR: 1 + settings.draws * len(times),
        GENERATOR: settings.draws * EVALUATIONS[settings.method] * sum(steps),
    }


def price(inferer: TTGPRInferer, networks: Networks, images: Sequence[torch.Tensor]) -> str:
    """What refining the images costs at most, in words."""
    windowed = inferer.windowed
    frames = [pad_to_window(image, window_px=windowed.window_px) for image in images]
    count = sum(len(breast_windows(frame, window_px=windowed.window_px, overlap=windowed.overlap)) for frame in frames)
    passes = {name: each * count for name, each in passes_per_window(inferer.settings).items()}
    minutes = minutes_of(passes, pass_costs(networks))
    return (
        f"{count} windows with breast: at most {passes[SEGMENTOR]} passes of the segmentor and {passes[GENERATOR]} of "
        f"the generator, about {minutes:.1f} minutes; windows without evidence cost one pass"
    )


def evident_crop(image: torch.Tensor, networks: Networks, crop_px: int) -> tuple[slice, slice]:
    """The square where the segmentor alone sees most."""
    positive = _first(networks.segmentor_inferer(image, networks.network)) >= 0
    return densest_crop(positive, _first(image) > -1, crop_px=crop_px)


def trace_view(image: torch.Tensor, name: str, inferer: WatchedInferer, networks: Networks, output: Path) -> str:
    """Refine one view and write its three files; what happened, in words.

    Args:
        image: (1, 1, rows, columns).
        name: of its files, without suffix.
        inferer: to watch.
        networks: the segmentor's is used.
        output: folder.
    """
    inferer(image, networks.network)
    if not inferer.kept:
        return f"{name}: no window shows evidence, nothing was refined"
    trace = inferer.last_trace
    write_whole(output / f"{name}_trace.csv", lambda path: path.write_text(trace_csv(trace)))
    write_figure(output / f"{name}_trace.png", trace_figure(trace))
    side = inferer.windowed.window_px
    write_figure(output / f"{name}_logits.png", logit_figure(inferer.kept, _first(image), name=name, crop_px=side))
    first, last = trace[0], trace[-1]
    return (
        f"{name}: {len(trace)} iterations, energy {first['energy']:.1f} to {last['energy']:.1f}, "
        f"seeds {first['n_seeds']:g} to {last['n_seeds']:g}"
    )


def run(arguments: argparse.Namespace) -> None:
    """Trace every view of the input."""
    networks = load_networks(arguments.models_dir, refine=True)
    shipped = networks.refined_inferer
    inferer = WatchedInferer(
        shipped.generator,
        watch=shown_iterations(RefinementSettings(**PRESETS[arguments.preset]).iterations),
        preset=arguments.preset,
        window_px=shipped.windowed.window_px,
        sw_batch_size=shipped.windowed.sw_batch_size,
        dtype=shipped.windowed.dtype,
        progress=True,
    )
    load = Compose([LoadMammogramd(spacing_mm=arguments.spacing_mm), BreastMaskd(), MammogramWindowd()])
    stream = ViewStream(str(arguments.input), load)
    for view in stream:
        image, name = _image(view, networks), _stem(view)
        if arguments.crop_px:
            image = image[(..., *evident_crop(image, networks, arguments.crop_px))].contiguous()
        print(f"{name}: {price(inferer, networks, [image])}", flush=True)
        if not arguments.price_only:
            print(trace_view(image, name, inferer, networks, arguments.output_dir), flush=True)
    if stream.refused:
        raise ValueError(f"Expected views that can be read, but {len(stream.refused)} were refused, see above")


def _image(view: Mapping[str, Any], networks: Networks) -> torch.Tensor:
    device = next(networks.network.parameters()).device
    return torch.from_numpy(np.asarray(view["image"], np.float32).copy())[None].to(device)


def _stem(view: Mapping[str, Any]) -> str:
    """File name of a view without its suffix, in letters that every file system takes."""
    name = Path(str(view["image"].meta.get("filename_or_obj", "view"))).name
    return re.sub(r"[^A-Za-z0-9._-]", "_", re.sub(r"\.(nii\.gz|[A-Za-z]{1,5})$", "", name)) or "view"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.trace", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path, help="a file or a folder: MG DICOM, PNG, TIFF, JPEG or NIfTI")
    parser.add_argument("--output-dir", type=Path, default=Path("output"), help="(default: %(default)s)")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default", help="(default: %(default)s)")
    parser.add_argument("--crop-px", type=int, help="only the square of this side where the segmentor sees most")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument("--models-dir", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--price-only", action="store_true", help="print what it costs and stop")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Trace refinements."""
    arguments = _parser().parse_args(argv)
    warnings.simplefilter("ignore")
    with one_line_errors():
        run(arguments)


if __name__ == "__main__":
    main()
