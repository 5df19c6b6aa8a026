"""`nnU-Net` v2 behind the inferers' interface: what its own package predicted, looked up by the pixels of a view."""

from pathlib import Path

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor

from ..data.errors import refuse
from ..functional.objects import Spacing
from ..functional.windows import BACKGROUND, EMPTY_LOGIT
from ..inferers.windowed import like_inputs, plain_image
from .classical import LOGIT_LIMIT, _spacing_per_view
from .network import Network
from .nnunet_files import case_name, read_probability, write_image


class NnUNetInferer(Inferer):
    """Logits that nnU-Net predicted, and the inputs for those that it has not yet predicted.

    nnU-Net runs as commands of its own (`scripts.nnunet`). A view without a prediction is written to `inputs`, so that
    one run over all views collects what there is to predict, and the next one reads it.

    Args:
        predictions: folder that `nnUNetv2_predict --save_probabilities` wrote to.
        inputs: folder that it reads; None writes nothing.
        threshold: probability that becomes 0.5, in (0, 1).

    Raises:
        ValueError: on a threshold out of its range.
    """

    def __init__(self, predictions: str | Path, *, inputs: str | Path | None = None, threshold: float = 0.5) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"Expected a threshold in (0, 1), got {threshold:g}; 0.5 leaves the probabilities as are")
        self.predictions, self.threshold = Path(predictions), threshold
        self.inputs = None if inputs is None else Path(inputs)

    def __call__(self, inputs: Tensor, network: Network | None = None, *, spacing_mm: Spacing | None = None) -> Tensor:
        """Return logits (B, 1, rows, columns), float32, for windowed views of that shape; `network` is not used.

        Raises:
            MammogramError: if a view has no prediction; all those of the batch are written to `inputs` first.
            ValueError: on another shape, or when an input is to be written and no spacing is known.
        """
        image = plain_image(inputs)
        planes = image.cpu().numpy()[:, 0]
        found = [read_probability(self.predictions, case_name(plane), shape=plane.shape) for plane in planes]
        if missing := [number for number, probs in enumerate(found) if probs is None]:
            self._ask_for(inputs, planes, missing, spacing_mm)
        probs = torch.from_numpy(np.stack([p for p in found if p is not None])[:, None]).double()
        logits = torch.logit(probs) - torch.logit(torch.tensor(self.threshold, dtype=torch.float64))
        logits = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).float().to(image.device)
        return like_inputs(torch.where(image > BACKGROUND, logits, EMPTY_LOGIT), inputs)

    def _ask_for(self, inputs: Tensor, planes: np.ndarray, missing: list[int], spacing_mm: Spacing | None) -> None:
        if self.inputs is not None:
            spacings = _spacing_per_view(inputs, spacing_mm)
            for number in missing:
                write_image(self.inputs, case_name(planes[number]), planes[number], spacing_mm=spacings[number])
        where = f"its input is in {self.inputs}" if self.inputs is not None else "write it with scripts.nnunet"
        raise refuse(
            self.predictions,
            f"Expected nnU-Net's prediction {case_name(planes[missing[0]])}, found none; {where}, run nnUNetv2_predict",
        )
