"""Files in and out."""

from .errors import MammogramError as MammogramError
from .errors import MammogramWarning as MammogramWarning
from .errors import root_mammogram_error as root_mammogram_error
from .find import find_mammograms as find_mammograms
from .load import LoadLabeld as LoadLabeld
from .load import LoadMammogramd as LoadMammogramd
from .mammogram_reader import MammogramReader as MammogramReader
from .operating_points import choose_threshold as choose_threshold
from .operating_points import company_settings as company_settings
from .phantom import phantom_datalist as phantom_datalist
from .phantom import phantom_seed as phantom_seed
from .synthetic_pairs import SampleNumberSampler as SampleNumberSampler
from .synthetic_pairs import SyntheticPairDataset as SyntheticPairDataset
from .training_views import training_views as training_views
from .view_stream import ViewStream as ViewStream
