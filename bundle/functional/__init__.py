"""The equations: pure numpy and torch, no files, no MONAI; randomness only through a generator that is passed in."""
