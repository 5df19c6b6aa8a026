"""What training needs beside MONAI's engines."""

from .inference import segment_view as segment_view
from .inference import segment_views as segment_views
from .pictures import generator_panels as generator_panels
from .pictures import segmentor_panels as segmentor_panels
from .ranks import device_of_rank as device_of_rank
from .ranks import over_ranks as over_ranks
from .tracking import RefinementTrace as RefinementTrace
from .tracking import SamplePictures as SamplePictures
from .tracking import TrackableLoss as TrackableLoss
from .tracking import TrackedParameters as TrackedParameters
from .training import ClipGradients as ClipGradients
from .training import ResumableCheckpoints as ResumableCheckpoints
from .training import StopOnNonFiniteLoss as StopOnNonFiniteLoss
from .training import TrainingProgress as TrainingProgress
from .training import prepare_flow_batch as prepare_flow_batch
