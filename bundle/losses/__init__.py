"""Losses as modules."""

from .dice_focal_tversky import DiceFocalTverskyLoss as DiceFocalTverskyLoss
from .flow_matching import FlowMatchingLoss as FlowMatchingLoss
from .top_k import TopKCrossEntropyLoss as TopKCrossEntropyLoss
