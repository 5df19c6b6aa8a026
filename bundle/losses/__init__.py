"""Losses as modules."""

from .dice_focal_tversky import DiceFocalTverskyLoss as DiceFocalTverskyLoss
from .flow_matching import FlowMatchingLoss as FlowMatchingLoss
from .soft_dice import SoftDiceLoss as SoftDiceLoss
from .top_k import TopKCrossEntropyLoss as TopKCrossEntropyLoss
