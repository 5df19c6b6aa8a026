"""The folder and the zip that are handed out, and what the model zoo verifies on them, from another folder."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, download_large_files
from PIL import Image

from bundle.networks.weights_file import LISTED, sha256_of
from scripts import assemble
from scripts.assemble import files_of, write_zip

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT.parent / "shared" / "data" / "schema" / "meta_schema_20240725.json"
NAME = "mammography_microcalcification_segmentation"
# What the zoo's ci/verify_bundle.py asks for, with what its guide for contributors asks for beside it.
NECESSARY = ("configs/metadata.json", "LICENSE", "models/model.pt", "configs/inference.yaml")
ASKED = ("configs/train.yaml", "docs/README.md", "docs/data_license.txt")


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pytest.importorskip("safetensors")
    return assemble.assemble(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def folder(assembled: tuple[Path, Path]) -> Path:
    return assembled[0]


@pytest.fixture(scope="module")
def unzipped(assembled: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unzipped")
    with zipfile.ZipFile(assembled[1]) as archive:
        archive.extractall(path)
    return path / NAME


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """A project of few bytes, with a cache and a test."""
    root = tmp_path / "project"
    metadata = {"name": "Small bundle", "version": "1.2.3", "changelog": {"1.2.3": "first"}}
    texts = {
        "configs/metadata.json": json.dumps(metadata),
        **{f"configs/{name}.yaml": "run: [1]\n" for name in assemble.TWINS},
        **{"LICENSE": "free", "requirements.txt": "torch", "docs/README.md": "read", "scripts/a.py": "b = 1"},
        **{"bundle/__pycache__/a.pyc": "", "bundle/a.py": "", "docs/.hidden": "", "tests/test_a.py": "", ".ci/run": ""},
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "models").mkdir()
    for name in assemble.WEIGHTS:
        torch.save({"weight": torch.arange(5.0)}, root / "models" / name)
    (root / "models" / "compared" / "segai").mkdir(parents=True)
    (root / "models" / "compared" / "segai" / "model.pt").write_bytes(b"of a compared system")
    return root


# The folder.


def test_what_the_zoo_asks_for_is_there(folder: Path) -> None:
    assert folder.name == NAME
    for name in (*NECESSARY, *ASKED):
        assert (folder / name).is_file(), name


def test_every_module_config_and_page_of_the_project_is_there(folder: Path) -> None:
    for pattern in ("bundle/**/*.py", "scripts/*.py", "configs/*", "docs/**/*.md"):
        for path in ROOT.glob(pattern):
            assert (folder / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path


def test_links_lead_to_files_that_are_there_too(folder: Path) -> None:
    for page in folder.rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if not re.match(r"https?:|mailto:|#", target):
                assert (page.parent / target.split("#")[0]).exists(), (page, target)


def test_no_tests_no_caches_no_hidden_files(small_project: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    folder, _ = assemble.assemble(tmp_path / "out", root=small_project)
    twins = [f"configs/{name}.json" for name in assemble.TWINS]
    tensors = [f"models/{Path(name).stem}.safetensors" for name in assemble.WEIGHTS]
    named = ["LICENSE", "SHA256SUMS", "bundle/a.py", "docs/README.md", "requirements.txt", "scripts/a.py"]
    kept = [f"configs/{name}.yaml" for name in assemble.TWINS] + [f"models/{name}" for name in assemble.WEIGHTS]
    found = {path.relative_to(folder).as_posix() for path in files_of(folder)}
    assert found == {*named, *kept, *twins, *tensors, "configs/metadata.json"}


def test_no_file_is_over_the_zoos_limit(folder: Path) -> None:
    assert not (folder / "large_files.yml").exists()
    assert max(path.stat().st_size for path in files_of(folder)) <= assemble.LIMIT_BYTES


def test_the_list_of_sums_names_every_file_once(folder: Path) -> None:
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    listed = {name: total for total, name in lines}
    found = {path.relative_to(folder).as_posix(): path for path in files_of(folder) if path.name != "SHA256SUMS"}
    assert len(listed) == len(lines)
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}


@pytest.mark.parametrize("name", assemble.WEIGHTS)
def test_safetensors_hold_the_same_weights(folder: Path, name: str) -> None:
    from safetensors.torch import load_file

    expected = torch.load(ROOT / "models" / name, weights_only=True)
    found = load_file((folder / "models" / name).with_suffix(".safetensors"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", assemble.TWINS)
def test_a_config_as_json_says_what_its_yaml_says(folder: Path, name: str) -> None:
    load = ConfigParser.load_config_file
    assert load(str(folder / "configs" / f"{name}.json")) == load(str(ROOT / "configs" / f"{name}.yaml"))


# The zip.


def test_the_same_files_make_the_same_bytes_at_any_time(small_project: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    _, first = assemble.assemble(tmp_path / "one", root=small_project)
    for path in files_of(small_project):
        os.utime(path, (10**9, 10**9))
        path.chmod(0o600)
    _, second = assemble.assemble(tmp_path / "two", root=small_project)
    assert first.name == "small_bundle_v1.2.3.zip"
    assert first.read_bytes() == second.read_bytes()
    (small_project / "docs" / "README.md").write_text("reed")
    _, third = assemble.assemble(tmp_path / "two", root=small_project)
    assert third.read_bytes() != first.read_bytes()


def test_the_zip_holds_the_folder_under_its_name(folder: Path, unzipped: Path) -> None:
    assert [path.relative_to(unzipped) for path in files_of(unzipped)] == [
        p.relative_to(folder) for p in files_of(folder)
    ]
    assert all((unzipped / path.relative_to(folder)).read_bytes() == path.read_bytes() for path in files_of(folder))


def test_names_in_a_zip_are_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    for name in ("z", "a/c", "a/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    with zipfile.ZipFile(write_zip(folder, tmp_path / "b.zip")) as archive:
        assert archive.namelist() == ["b/a/b", "b/a/c", "b/z"]


# Large files, and what is refused.


def test_a_large_file_is_fetched_from_where_the_list_says(
    small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors")
    content = b"0" * 3000
    (small_project / "models" / "large.pt").write_bytes(content)
    monkeypatch.setattr(assemble, "LIMIT_BYTES", 2500)
    url = (tmp_path / "out" / "large_files").as_uri()
    folder, _ = assemble.assemble(tmp_path / "out", root=small_project, large_files_url=url)
    assert not (folder / "models" / "large.pt").exists()
    assert "large.pt" not in (folder / "SHA256SUMS").read_text()
    download_large_files(bundle_path=str(folder))
    assert (folder / "models" / "large.pt").read_bytes() == content


def test_a_large_file_needs_an_address(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    monkeypatch.setattr(assemble, "LIMIT_BYTES", 100)
    with pytest.raises(ValueError, match=r"models/model\.pt.*--large-files-url"):
        assemble.assemble(tmp_path / "out", root=small_project)


def test_a_version_without_a_line_in_the_changelog_is_refused(small_project: Path, tmp_path: Path) -> None:
    path = small_project / "configs" / "metadata.json"
    path.write_text(path.read_text().replace('"version": "1.2.3"', '"version": "1.2.4"'))
    with pytest.raises(ValueError, match=r"1\.2\.4"):
        assemble.assemble(tmp_path / "out", root=small_project)


def test_other_weights_than_the_listed_ones_are_not_handed_out(small_project: Path, tmp_path: Path) -> None:
    path = small_project / "configs" / "metadata.json"
    listed = {LISTED: {f"models/{name}": sha256_of(small_project / "models" / name) for name in assemble.WEIGHTS}}
    path.write_text(json.dumps(json.loads(path.read_text()) | listed))
    torch.save({"weight": torch.zeros(5)}, small_project / "models" / assemble.WEIGHTS[1])
    with pytest.raises(ValueError, match=rf"Expected models/{assemble.WEIGHTS[1]} with SHA-256 .* --record"):
        assemble.assemble(tmp_path / "out", root=small_project)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_kind_is_left_alone(small_project: Path, tmp_path: Path) -> None:
    other = tmp_path / "out" / "small_bundle" / "mine.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(ValueError, match="move it away"):
        assemble.assemble(tmp_path / "out", root=small_project)
    assert other.read_text() == "mine"


# What the zoo's ci/verify_bundle.py does in full mode, and what people do with the zip.


@pytest.mark.skipif(not SCHEMA.exists(), reason="needs the schema of MONAI bundles")
def test_the_zoos_schema_accepts_the_metadata(folder: Path) -> None:
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))
    assert metadata["version"] in metadata["changelog"]
    assert metadata["eval_metrics"]


# The first argument is the bundle, as the zoo names it: relative, seen from the folder that all bundles lie in.
VERIFY = """
import json, sys
from pathlib import Path
import torch
from monai.bundle import ckpt_export, create_workflow, verify_metadata, verify_net_in_out
bundle = Path(sys.argv[1])
sys.path.insert(0, str(bundle))
meta, config = str(bundle / "configs/metadata.json"), str(bundle / "configs/inference.yaml")
verify_metadata(meta_file=meta, filepath=str(bundle / "eval/schema.json"))
workflow = create_workflow(workflow_type="inference", bundle_root=str(bundle), config_file=config, meta_file=meta,
                           logging_file=str(bundle / "configs/logging.conf"))
assert workflow.check_properties() == [], workflow.check_properties()
verify_net_in_out(net_id="network_def", meta_file=meta, config_file=config, bundle_root=str(bundle))
exported = bundle / "models/verify_model.ts"
ckpt_export(net_id="network_def", filepath=str(exported), ckpt_file=str(bundle / "models/model.pt"), meta_file=meta,
            config_file=config, bundle_root=str(bundle))
import bundle as code
assert Path(code.__file__).resolve().parents[1] == bundle.resolve(), code.__file__
network = workflow.parser.get_parsed_content("network_def").cpu()
network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
kept = {"metadata.json": "", "inference.json": ""}
scripted = torch.jit.load(str(exported), map_location="cpu", _extra_files=kept)
assert json.loads(kept["metadata.json"])["version"] == workflow.version
assert json.loads(kept["inference.json"])["window_px"] == workflow.parser["window_px"]
with torch.no_grad():
    for size in ((1, 1, 256, 256), (3, 1, 64, 96)):
        image = torch.rand(size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        torch.testing.assert_close(scripted(image), network.eval()(image), atol=1e-4, rtol=1e-4)
print("verified")
"""
# If the official schema is not at hand: the same demands in short.
SHORT_SCHEMA = {
    "type": "object",
    "required": [
        *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
        *("task", "description", "authors", "copyright", "network_data_format"),
    ],
    "properties": {"changelog": {"type": "object"}, "supported_apps": {"type": "object"}},
}

LOAD = """
import sys
from pathlib import Path
import torch
from monai.bundle import ConfigWorkflow, load
bundles, name, view, output = Path(sys.argv[1]), *sys.argv[2:]
root = bundles / name
sys.path.insert(0, str(root))
network = load(name, bundle_dir=str(bundles), device="cpu").eval()
weights = torch.load(root / "models/model.pt", weights_only=True)
assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
workflow = ConfigWorkflow(str(root / "configs/inference.yaml"), workflow_type="infer", logging_file=False,
                          bundle_root=str(root), device="cpu", method="segmentor", spacing_mm=0.07, input=view,
                          output_dir=output)
workflow.initialize()
workflow.run()
"""


def _python(program: str, *arguments: str, cwd: Path) -> str:
    """Run a program that sees nothing of this checkout."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_zoo_verifies_it(unzipped: Path) -> None:
    (unzipped / "eval").mkdir(exist_ok=True)
    schema = SCHEMA.read_text() if SCHEMA.exists() else json.dumps(SHORT_SCHEMA)
    (unzipped / "eval" / "schema.json").write_text(schema)
    assert "verified" in _python(VERIFY, NAME, cwd=unzipped.parent)


@pytest.mark.slow
def test_the_zip_is_loaded_and_run_from_another_folder(
    assembled: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundles, elsewhere = tmp_path_factory.mktemp("bundles"), tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(assembled[1]) as archive:
        archive.extractall(bundles)
    noise = np.random.default_rng(0).integers(40, 200, (300, 280)).astype(np.uint8)
    noise[:, 200:] = 0
    Image.fromarray(noise).save(elsewhere / "view.png")
    _python(LOAD, str(bundles), NAME, str(elsewhere / "view.png"), str(elsewhere / "out"), cwd=elsewhere)
    (findings,) = (elsewhere / "out").glob("*_findings.json")
    assert json.loads(findings.read_text())
