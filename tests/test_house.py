"""The house itself: names, layers and files that every consumer of the bundle relies on."""

import ast
from pathlib import Path

import bundle

ROOT = Path(__file__).resolve().parents[1]


def test_version_is_in_the_changelog() -> None:
    assert f"## {bundle.__version__}" in (ROOT / "docs" / "changelog.md").read_text()


def test_top_level_holds_what_a_model_zoo_bundle_needs() -> None:
    for name in ("LICENSE", "README.md", "requirements.txt", "configs", "scripts", "docs", "models"):
        assert (ROOT / name).exists(), name


# What runs or builds whatever lies in a file that it reads. Configs are run by MONAI, and only our own.
UNPICKLERS = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "pandas.read_pickle",
}
FORBIDDEN_CALLS = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}


def _unsafe(source: str) -> list[str]:
    """What a module reads files with that could run code of the file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name in UNPICKLERS]
        if isinstance(node, ast.ImportFrom) and node.module in UNPICKLERS:
            found += [name.name for name in node.names if name.name != "UnpicklingError"]
        if isinstance(node, ast.Call):
            called, options = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            loads = called == "torch.load" and options.get("weights_only") != "True"
            if called in FORBIDDEN_CALLS or loads or options.get("allow_pickle", "False") != "False":
                found.append(called)
    return found


def test_what_would_run_code_of_a_file_is_found_out() -> None:
    unsafe = (
        "import pickle",
        "from joblib import load",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "eval(x)",
    )
    for source in (*unsafe, "np.load(p, allow_pickle=True)", "yaml.load(f, Loader=yaml.Loader)"):
        assert _unsafe(source), source
    safe = ("torch.load(p, weights_only=True)", "network.eval()", "np.load(p)", "from pickle import UnpicklingError")
    for source in (*safe, "yaml.safe_load(f)"):
        assert not _unsafe(source), source


def test_nothing_that_is_read_is_run() -> None:
    paths = [path for folder in ("bundle", "scripts", "docs") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 200
    assert {path.name: found for path in paths if (found := _unsafe(path.read_text()))} == {}
