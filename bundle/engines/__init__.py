"""What training needs beside MONAI's engines."""

from .inference import segment_views as segment_views
from .training import ResumableCheckpoints as ResumableCheckpoints
from .training import StopOnNonFiniteLoss as StopOnNonFiniteLoss
from .training import TrainingProgress as TrainingProgress
from .training import prepare_flow_batch as prepare_flow_batch
