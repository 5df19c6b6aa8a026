"""Serve the bundle with MONAI Label: `.venv-label/bin/python -m scripts.label_server --studies FOLDER`."""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APP = "monaibundle"
# As the zoo's folder has them. What a training makes in the served copy stays.
FOLDERS = ("bundle", "configs", "docs", "models", "scripts")
CACHES = ("__pycache__", "*.py[cod]", ".*", "*.egg-info")
# MONAI Label lists no other files of a folder; its own default has neither DICOM nor every suffix of ours.
SUFFIXES = (".dcm", ".dicom", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".nii", ".nii.gz")


def prepare(app_dir: Path, name: str, *, root: Path = ROOT) -> Path:
    """Fetch MONAI Label's app for bundles if it is not there, and copy the bundle into it.

    Args:
        app_dir: where the app's folder goes.
        name: of the bundle among its models.
        root: of the project.

    Returns:
        The app's folder.

    Raises:
        SystemExit: with one line, if MONAI Label is not installed beside this Python, or cannot be imported.
    """
    if importlib.util.find_spec("monailabel") is None:
        raise SystemExit(
            "error: Expected MONAI Label beside this Python, found none; run make label, then .venv-label's"
        )
    app = app_dir / APP
    if not (app / "main.py").exists():
        _fetch_app(app_dir)
    copy_bundle(root, app / "model" / name)
    return app


def _fetch_app(app_dir: Path) -> None:
    app_dir.mkdir(parents=True, exist_ok=True)
    options = ["--download", "--name", APP, "--output", str(app_dir)]
    command = [sys.executable, "-m", "monailabel.main", "apps", *options]
    done = subprocess.run(command, cwd=app_dir, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"status {done.returncode}"]
        hint = "; take torch and torchvision of one build" if "torchvision" in said[0] else ""
        raise SystemExit(f"error: Expected MONAI Label to hand out its app {APP}, got {said[0]}{hint}")


def copy_bundle(root: Path, folder: Path) -> None:
    """Copy the bundle as it is; of an earlier copy only weights and runs stay.

    Args:
        root: of the project.
        folder: of the copy.
    """
    for name in FOLDERS:
        if name != "models":
            shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns(*CACHES), dirs_exist_ok=True)
    shutil.copy(root / "LICENSE", folder)


def settings(bundle: Path) -> dict[str, str]:
    """Environment of the server: what is set already stays.

    Args:
        bundle: folder of the served copy, from where the web application is imported.
    """
    defaults = {
        "MONAI_LABEL_DATASTORE_FILE_EXT": json.dumps([f"*{suffix}" for suffix in SUFFIXES]),
        # Of a DICOMweb archive MONAI Label asks for CT otherwise.
        "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": json.dumps({"Modality": "MG"}),
    }
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH", ""), str(bundle))))
    return {**defaults, **os.environ, "PYTHONPATH": path}


def serve(app: Path, name: str, studies: str, *, host: str, port: int) -> None:
    """Become MONAI Label's server.

    Args:
        app: from `prepare`.
        name: of the bundle.
        studies: folder of mammograms, or the URL of a DICOMweb archive.
        host: address to listen on.
        port: to listen on.
    """
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", studies]
    # Neither the zoo nor SAM 2 is fetched from the net.
    command += ["--conf", "models", name, "--conf", "zoo_source", "ngc", "--conf", "sam2", "false"]
    command += ["--host", host, "--port", str(port), "--uvicorn_app", "scripts.label_app:app"]
    # Not from the project's root, whose `bundle` would be found before the served copy's.
    os.chdir(app)
    environment = settings(app / "model" / name)
    if os.name == "posix":
        os.execve(sys.executable, command, environment)
    raise SystemExit(subprocess.run(command, env=environment).returncode)


def checked_studies(studies: str) -> str:
    """The folder's whole path, or the URL.

    Raises:
        SystemExit: with one line, if there is no such folder; MONAI Label would make an empty one.
    """
    if studies.startswith(("http://", "https://")):
        return studies
    if not Path(studies).is_dir():
        raise SystemExit(f"error: {studies}: Expected a folder of mammograms or the URL of an archive, found none")
    return str(Path(studies).resolve())


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m scripts.label_server", description=__doc__)
    parser.add_argument(
        "--studies", help="folder of mammograms, or URL of a DICOMweb archive; without it, only prepare"
    )
    parser.add_argument(
        "--app-dir", type=Path, default=ROOT / "runs" / "label", help="where app and trained weights lie"
    )
    parser.add_argument("--name", default="mcgenref", help="of the bundle among the server's models")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in, without any password")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args(argv)
    studies = checked_studies(arguments.studies) if arguments.studies else ""
    app = prepare(arguments.app_dir.resolve(), arguments.name)
    if not studies:
        print(f"{app}: ready; start it with --studies FOLDER")
        return
    serve(app, arguments.name, studies, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
