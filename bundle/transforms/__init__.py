"""MONAI transforms."""

from .flow import RandFlowStated as RandFlowStated
from .injection import RandBreastCropd as RandBreastCropd
from .injection import RandDetectord as RandDetectord
from .injection import RandInjectMicrocalcificationsd as RandInjectMicrocalcificationsd
from .injection import RandQuantumNoised as RandQuantumNoised
