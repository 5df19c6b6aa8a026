"""The bundle as an application of the MONAI Deploy App SDK (docs/monai_deploy.md)."""

import warnings

# Holoscan's advice on every start, given as soon as MONAI is imported: the system's usual stack is enough here.
warnings.filterwarnings("ignore", message="Current stack size")
