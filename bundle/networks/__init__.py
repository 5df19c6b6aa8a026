"""Networks."""

from .csd import ContextSensitiveNetwork as ContextSensitiveNetwork
from .fpn import FeaturePyramidRegressor as FeaturePyramidRegressor
from .inpainter import Inpainter as Inpainter
from .inpainter import ResidualChannelSegmentor as ResidualChannelSegmentor
from .restormer import Restormer as Restormer
from .weights import load_weights as load_weights
from .weights import start_from as start_from
