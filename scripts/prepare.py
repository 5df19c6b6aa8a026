"""Make a MONAI datalist of a data set: `python -m scripts.prepare NAME --source DIR --output-dir OUT`.

The data set is read as it is distributed; its files stay as they are. NAME is inbreast, rsna, cbis-ddsm, vindr-mammo,
mini-mias or folder (any views of your own); see docs/datasets.md.
"""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundle.data.cbis_ddsm import list_cbis_ddsm
from bundle.data.datalist import Listing
from bundle.data.errors import refuse
from bundle.data.mini_mias import list_mini_mias
from bundle.data.prepare import Options, prepare_dataset
from bundle.data.prepare_folder import list_folder
from bundle.data.prepare_inbreast import list_inbreast
from bundle.data.prepare_tables import read_rows, the_folder
from bundle.data.rsna import list_rsna
from bundle.data.view import checked_spacing
from bundle.data.vindr import list_vindr
from scripts.command import one_line_errors

ADAPTERS: dict[str, Callable[[str], Listing]] = {
    "inbreast": list_inbreast,
    "rsna": list_rsna,
    "cbis-ddsm": list_cbis_ddsm,
    "vindr-mammo": list_vindr,
    "mini-mias": list_mini_mias,
}
NAMES = (*ADAPTERS, "folder")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--source", required=True, help="folder of the data set, as it was unpacked")
    parser.add_argument(
        "--output-dir", required=True, help="where the list goes; a new folder, or that of an earlier run"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that state none")
    parser.add_argument("--spacings", help="CSV with the columns machine and spacing_mm: the same by RSNA's machine_id")
    parser.add_argument("--max-patients", type=int, help="draw so many patients (default: all)")
    own = parser.add_argument_group("for NAME folder")
    own.add_argument("--masks", help="folder of masks: PNG, NIfTI or INbreast XML (default: the views' own)")
    own.add_argument("--patients", help="CSV with the columns image and patient")
    own.add_argument("--missing-is-clean", action="store_true", help="views without a mask are negatives")
    return parser.parse_args(argv)


def listing_of(arguments: argparse.Namespace) -> Listing:
    """What the data set lists.

    Raises:
        MammogramError: if the name is unknown, options do not belong to it, or the folder is not that data set.
    """
    if arguments.name not in NAMES:
        raise refuse("NAME", f"Expected one of {', '.join(NAMES)}, got {arguments.name!r}")
    source, output = the_folder(arguments.source).resolve(), Path(arguments.output_dir).resolve()
    if source == output or source in output.parents:
        raise refuse(arguments.output_dir, "Expected an output folder outside --source, got one inside; choose another")
    own = {key: getattr(arguments, key) for key in ("masks", "patients", "missing_is_clean")}
    if arguments.name == "folder":
        return list_folder(arguments.source, **own)
    if given := [key for key, value in own.items() if value]:
        option = given[0].replace("_", "-")
        raise refuse(f"--{option}", f"Expected it with NAME folder alone, got {arguments.name}; leave it out")
    return ADAPTERS[arguments.name](arguments.source)


def options_of(arguments: argparse.Namespace) -> Options:
    """Command line to options.

    Raises:
        MammogramError: if a number is out of range, or the table of spacings is wrong.
    """
    if arguments.spacing_mm is not None:
        checked_spacing([arguments.spacing_mm] * 2, path="--spacing-mm")
    if arguments.max_patients is not None and arguments.max_patients < 1:
        raise refuse("--max-patients", f"Expected at least 1, got {arguments.max_patients}")
    return Options(
        seed=arguments.seed,
        spacing_mm=arguments.spacing_mm,
        machine_spacings_mm=_machine_spacings(arguments.spacings),
        max_patients=arguments.max_patients,
    )


def _machine_spacings(table: str | None) -> dict[str, float]:
    rows = read_rows(Path(table), ("machine", "spacing_mm")) if table else ()
    return {
        row["machine"]: checked_spacing([row["spacing_mm"]] * 2, path=f"{table} line {number}")[0]
        for number, row in rows
        if row is not None
    }


def main(argv: list[str] | None = None) -> None:
    """Prepare the data set and print what came of it."""
    arguments = parse(argv)
    logging.disable(logging.WARNING)
    with one_line_errors():
        options = options_of(arguments)
        report = prepare_dataset(listing_of(arguments), arguments.output_dir, options)
    for split, counts in report["splits"].items():
        print(f"{split}: " + ", ".join(f"{count} {what}" for what, count in counts.items() if count))
    print(f"skipped: {len(report['skipped'])} (report.md says why)")
    print(f"Results in {arguments.output_dir}")
    if arguments.name == "folder":
        _tell_refused(report)


def _tell_refused(report: dict[str, Any]) -> None:
    """Of a folder of one's own every view is meant to be read: one line for each that was not, and status 1."""
    refused = [entry["detail"] for entry in report["skipped"] if entry["refused"]]
    for line in refused:
        print(f"left out: {line}")
    if refused:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
