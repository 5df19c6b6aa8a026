"""A trained network behind the inferers' interface, which the learned systems share."""

import math
from collections.abc import Callable

from monai.inferers import Inferer
from torch import Tensor

from ..functional.objects import Spacing
from ..inferers import WindowedInferer

Network = Callable[..., Tensor]


class NetworkInferer(Inferer):
    """Logits of a network over a whole view, window by window, less the logit of a threshold.

    By itself it is SegAI, a U-Net without further steps, and the supervised reference.

    Args:
        network: windows (N, 1, window_px, window_px) -> logits of that shape; a network of the call goes first.
        windowed: how views are cut into windows and put together; windows of 256 px, half overlapping, when None.
        threshold: probability of the network that becomes 0.5, in (0, 1).

    Raises:
        ValueError: on a threshold out of its range.
    """

    def __init__(
        self,
        network: Network | None = None,
        *,
        windowed: WindowedInferer | None = None,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"Expected a threshold in (0, 1), got {threshold:g}; 0.5 leaves the probabilities as are")
        self.network, self.threshold = network, threshold
        self.windowed = WindowedInferer() if windowed is None else windowed

    def __call__(self, inputs: Tensor, network: Network | None = None, *, spacing_mm: Spacing | None = None) -> Tensor:
        """Return logits (B, 1, rows, columns), float32, for windowed views of that shape; `spacing_mm` is not needed.

        Raises:
            ValueError: on another shape, or without a network.
        """
        logits = self.windowed(self.prepare(inputs), chosen_network(network, self.network))
        return logits - math.log(self.threshold / (1 - self.threshold))

    def prepare(self, inputs: Tensor) -> Tensor:
        """What the network is to see of the views: as they are here, something else in other systems."""
        return inputs


def chosen_network(given: Network | None, own: Network | None) -> Network:
    """The network of the call, or else that of the constructor.

    Raises:
        ValueError: if there is neither.
    """
    network = own if given is None else given
    if network is None:
        raise ValueError("Expected a network, got none; pass one to the call or to the constructor")
    return network
