"""Command-line entry points of MC-GenRef: `python -m scripts.NAME --help`."""
