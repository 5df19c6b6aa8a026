"""Compare the weights in models/ with the sums in configs/metadata.json: `python -m scripts.weights [--record]`."""

import argparse
import json
from pathlib import Path

from bundle.networks.weights_file import LISTED, read_weights, sha256_of
from scripts.command import one_line_errors
from scripts.shipped import ROOT

WEIGHTS = ("models/model.pt", "models/generator_ema.pt")


def compare(root: Path = ROOT) -> dict[str, tuple[str, bool]]:
    """Name of every file of weights to its SHA-256 and whether that is the listed one.

    Raises:
        FileNotFoundError: if one is missing.
    """
    listed = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8")).get(LISTED, {})
    sums = {name: _sum(root / name) for name in WEIGHTS}
    return {name: (total, listed.get(name) == total) for name, total in sums.items()}


def record(root: Path = ROOT) -> None:
    """Write the sums of the weights that lie in models/ into metadata.json; the rest of it stays as it is.

    Raises:
        ValueError: if a file holds no weights.
        FileNotFoundError: if one is missing.
    """
    path = root / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    for name in WEIGHTS:
        read_weights(root / name)
    metadata[LISTED] = {name: sha256_of(root / name) for name in WEIGHTS}
    path.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def _sum(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"Expected weights at {path}, found none; take them from a release")
    return sha256_of(path)


def main(argv: list[str] | None = None) -> None:
    """Run the command; status 1 if a file is not the listed one."""
    parser = argparse.ArgumentParser(prog="python -m scripts.weights", description=__doc__)
    parser.add_argument("--record", action="store_true", help="list the sums of what lies in models/ now")
    arguments = parser.parse_args(argv)
    with one_line_errors():
        if arguments.record:
            record()
        found = compare()
    for name, (total, same) in found.items():
        print(f"{total}  {name}  {'as listed' if same else 'NOT as listed in configs/metadata.json'}")
    if not all(same for _, same in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
