"""MONAI transforms."""

from .by_label import ByLabel as ByLabel
from .candidates import RandCandidatesd as RandCandidatesd
from .clahe import Clahed as Clahed
from .file_grid import MaskInFileGridd as MaskInFileGridd
from .findings import SaveFindingsd as SaveFindingsd
from .flow import RandFlowStated as RandFlowStated
from .injection import RandBreastCropd as RandBreastCropd
from .injection import RandDetectord as RandDetectord
from .injection import RandInjectMicrocalcificationsd as RandInjectMicrocalcificationsd
from .injection import RandQuantumNoised as RandQuantumNoised
from .labelled_crop import RandLabelledCropd as RandLabelledCropd
from .mammogram import BreastMaskd as BreastMaskd
from .mammogram import MammogramWindowd as MammogramWindowd
from .overlay import overlay_picture as overlay_picture
from .overlay import zoom_picture as zoom_picture
from .proximity import ProximityMapd as ProximityMapd
from .screening import ScreenBackgroundd as ScreenBackgroundd
