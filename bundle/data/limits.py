"""What a file may ask of the machine before it is refused; docs/hostile_input.md lists the numbers.

The size of a view itself, MAX_PIXELS, is in `view`. All are far above what scanners, detectors and data sets write.
"""

MAX_VIEW_BYTES = 512 * 2**20
"""A file with a view: twice the largest matrix in 32 bits per pixel."""
MAX_TABLE_BYTES = 64 * 2**20
"""A CSV, JSON or text file: the largest table of the known data sets has 5 MB."""
MAX_XML_BYTES = 8 * 2**20
"""An INbreast annotation: a view's has kilobytes."""
MAX_XML_DEPTH = 32
"""Nesting of a property list: INbreast's has 8 levels."""
MAX_XML_TOKEN_BYTES = 2**16
"""One tag, comment or run of text; expat below 2.6 reads a long one again for every 2 KB of it."""

MAX_HEADER_BYTES = 16 * 2**20
"""A DICOM header without pixels, with its LUTs and overlays."""
MAX_HEADER_READS = 50_000
"""Pieces that a DICOM header is read in, about two per element; a view has some hundred elements."""
MAX_SEQUENCE_BYTES = 4 * 2**20
"""One DICOM sequence: eight LUTs of 65536 entries have 1 MB."""
MAX_SEQUENCE_ITEMS = 10_000
"""Items in one DICOM element; each becomes an object of more than a kilobyte."""
MAX_FRAGMENTS = 2**16
"""Pieces of a compressed frame."""
MAX_DECODE_SECONDS = 120.0
"""Decoding one compressed frame; 12 million pixels take one or two."""
MAX_DECODE_BYTES = 4 * 2**30
"""Memory of the process that decodes, beyond what it starts with (not enforced on Windows and macOS)."""

MAX_JPEG_SCANS = 100
"""Passes over a JPEG: a progressive one has about ten, and each costs time on all pixels. libtiff has this bound."""
MAX_PNG_CHUNKS = 2**17
"""Pieces of a PNG: at the usual 8 KB, those of the largest view are 24 thousand."""
MAX_TIFF_TILES = 2**16
"""Strips or tiles of a TIFF."""
MAX_TIFF_VALUES = 2**24
"""Values of all tags of a page of a TIFF, a colour profile of some megabytes among them."""
MAX_PAGES_COUNTED = 100
"""Pages of a file that are counted before it is refused for having more than one."""
MAX_NIFTI_OFFSET = 16 * 2**20
"""Where the voxels of a NIfTI file may begin; before them lie header and extensions."""
MAX_GZIP_MEMBERS = 2**16
"""Members of a gzip file; block-wise compressors write one per 64 KB."""

MAX_FILL_STEPS = 2 * 10**9
"""Pixels of the boxes around outlines, times their vertices: what filling them costs."""
MAX_JSON_DIGITS = 400
"""Digits of an integer in JSON: no double is longer, and Python's time for them grows with the square."""
MAX_NAME_BYTES = 200
"""A view's name in an output folder; file systems take 255 bytes with what is put behind it."""
