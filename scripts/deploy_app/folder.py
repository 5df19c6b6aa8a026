"""The folder that monai-deploy packages: `python -m scripts.deploy_app.folder --output-dir build/deploy`."""

import argparse
import shutil
from pathlib import Path

from scripts.command import one_line_errors
from scripts.shipped import ROOT

FOLDERS = ("bundle", "configs", "models", "scripts")
CACHES = ("__pycache__", "*.py[cod]", ".*")
FILES = {
    "LICENSE": "LICENSE",
    "requirements-deploy.txt": "requirements.txt",
    "scripts/deploy_app/app.yaml": "app.yaml",
    "docs/monai_deploy.md": "README.md",
}
"""What goes to the top of the folder, and its name there."""
ENTRY = '"""What the container starts."""\n\nfrom scripts.deploy_app.__main__ import main\n\nmain()\n'


def write_folder(folder: Path, *, root: Path = ROOT) -> None:
    """Write code, configs, weights, requirements, app.yaml and __main__.py into one folder.

    Args:
        folder: one that does not exist or was written by this function, which it then replaces.
        root: of the project.

    Raises:
        ValueError: if there is another folder.
    """
    if folder.exists():
        if not all((folder / name).is_file() for name in ("app.yaml", "__main__.py")):
            raise ValueError(f"Expected nothing or an application's folder at {folder}, got another; move it away")
        shutil.rmtree(folder)
    for name in FOLDERS:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns(*CACHES))
    for source, name in FILES.items():
        shutil.copy(root / source, folder / name)
    (folder / "__main__.py").write_text(ENTRY)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m scripts.deploy_app.folder", description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="the folder")
    arguments = parser.parse_args(argv)
    with one_line_errors():
        write_folder(arguments.output_dir)
    print(f"Application for monai-deploy package in {arguments.output_dir}")


if __name__ == "__main__":
    main()
