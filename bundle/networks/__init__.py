"""Networks."""

from .restormer import Restormer as Restormer
