"""Lets torchvision be imported beside a torch build that its compiled part was not made for (a CPU-only torch).

Python imports this module at its start when its folder is on PYTHONPATH. torchvision describes two operators to torch
even where the compiled part that has them is missing; MONAI Label imports torchvision and calls neither.
"""

import torch

OPERATORS = torch.library.Library("torchvision", "DEF")
OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
