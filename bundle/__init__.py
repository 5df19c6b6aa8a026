"""MC-GenRef: annotation-free segmentation of microcalcifications in screening mammograms."""

__version__ = "0.1.0"
