"""Networks."""

from .restormer import Restormer as Restormer
from .weights import load_weights as load_weights
