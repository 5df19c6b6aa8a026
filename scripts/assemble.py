"""Assemble what is handed out, as folder and zip of the model zoo: `python -m scripts.assemble --output-dir OUT`."""

import argparse
import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser
from tqdm import tqdm

from bundle.networks.weights_file import check_listed, read_weights
from scripts.command import one_line_errors
from scripts.shipped import ROOT

# What the bundle is, runs on and is documented by; tests and what builds leave behind stay out.
FOLDERS = ("bundle", "configs", "docs", "models", "scripts")
FILES = ("LICENSE", "Makefile", "README.md", "mkdocs.yml", "pyproject.toml", "requirements*.txt")
# Weights of compared systems: scripts.compare reads them in the repository.
LEFT_OUT = ("compared",)
CACHES = ("__pycache__", "*.py[cod]", ".*", "*.egg-info")
WEIGHTS = ("model.pt", "generator_ema.pt")
# `monai.bundle.load` reads configs as JSON alone.
TWINS = ("train", "inference")
# Larger files do not go into the zoo's repository, but are fetched by large_files.yml.
LIMIT_BYTES = 25_000_000
SUMS = "SHA256SUMS"
# The earliest date that a zip can hold: the same files make the same bytes on any day.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def bundle_name(metadata: dict[str, Any]) -> str:
    """Name of the folder in the zoo's style: words in lower case, joined by underscores."""
    return str(metadata["name"]).lower().replace(" ", "_")


def assemble(output_dir: Path, *, root: Path = ROOT, large_files_url: str = "") -> tuple[Path, Path]:
    """Write the folder and the zip, both anew.

    Args:
        output_dir: where both go, and large_files/ if a file is over the limit.
        root: of the project.
        large_files_url: where the content of large_files/ will be fetched from.

    Returns:
        The folder and the zip.

    Raises:
        ValueError: if a file is over the limit and no URL is given, the version is not in the changelog, or weights
            are others than metadata.json lists.
        FileNotFoundError: if weights are missing.
    """
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    if metadata["version"] not in metadata["changelog"]:
        raise ValueError(f"Expected version {metadata['version']} in metadata.json's changelog, got none; add its line")
    for name in WEIGHTS:
        check_listed(root / "models" / name, root / "configs" / "metadata.json")
    folder = output_dir / bundle_name(metadata)
    _copy(root, folder)
    for name in TWINS:
        config = ConfigParser.load_config_file(str(folder / "configs" / f"{name}.yaml"))
        (folder / "configs" / f"{name}.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in WEIGHTS:
        write_safetensors(folder / "models" / name)
    _move_large_files(folder, output_dir / "large_files", large_files_url)
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files_of(folder)]
    (folder / SUMS).write_text("".join(lines))
    return folder, write_zip(folder, output_dir / f"{folder.name}_v{metadata['version']}.zip")


def files_of(folder: Path) -> list[Path]:
    """All files below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def write_safetensors(weights: Path) -> Path:
    """Write the tensors of a flat state dict beside it, in a format that cannot hold code.

    Raises:
        FileNotFoundError: if there are no weights.
        ValueError: if the file holds none, or safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ValueError("Expected the package safetensors, found none; pip install safetensors") from None
    path = weights.with_suffix(".safetensors")
    save_file(read_weights(weights), path)
    return path


def write_zip(folder: Path, path: Path) -> Path:
    """Zip a folder under its own name; the same files give the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in tqdm(files_of(folder), desc="zip", unit="file", leave=False):
            entry = zipfile.ZipInfo(f"{folder.name}/{file.relative_to(folder).as_posix()}", ZIP_DATE)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(entry, file.read_bytes(), compresslevel=9)
    return path


def _copy(root: Path, folder: Path) -> None:
    """Copy what is handed out; a folder of an earlier run goes first.

    Raises:
        ValueError: if there is a folder of another kind.
    """
    if folder.exists():
        if not (folder / SUMS).exists():
            raise ValueError(f"Expected an assembled bundle or nothing at {folder}, got another folder; move it away")
        shutil.rmtree(folder)
    for name in FOLDERS:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns(*CACHES, *LEFT_OUT))
    for path in _top_level(root):
        shutil.copy(path, folder)


def _top_level(root: Path) -> Iterator[Path]:
    for pattern in FILES:
        yield from sorted(root.glob(pattern))


def _move_large_files(folder: Path, aside: Path, url: str) -> None:
    """Move files over the limit aside and write large_files.yml, by which the zoo fetches them.

    Raises:
        ValueError: if there is one and no URL.
    """
    large = [path for path in files_of(folder) if path.stat().st_size > LIMIT_BYTES]
    if not large:
        return
    names = [path.relative_to(folder).as_posix() for path in large]
    if not url:
        raise ValueError(
            f"Expected files of at most {LIMIT_BYTES // 10**6} MB, got {', '.join(names)}; "
            "say by --large-files-url where they will be fetched from"
        )
    listed = []
    for path, name in zip(large, names, strict=True):
        listed.append(
            {"path": name, "url": f"{url.rstrip('/')}/{name}", "hash_val": _sha256(path), "hash_type": "sha256"}
        )
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, aside / name)
    (folder / "large_files.yml").write_text(yaml.safe_dump({"large_files": listed}, sort_keys=False))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m scripts.assemble", description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="where the folder and the zip go")
    parser.add_argument("--large-files-url", default="", help="where files over 25 MB will be fetched from")
    arguments = parser.parse_args(argv)
    with one_line_errors():
        folder, archive = assemble(arguments.output_dir, large_files_url=arguments.large_files_url)
    size_mb = archive.stat().st_size / 1e6
    print(f"{folder}: {len(files_of(folder))} files\n{archive}: {size_mb:.1f} MB, SHA-256 {_sha256(archive)}")


if __name__ == "__main__":
    main()
