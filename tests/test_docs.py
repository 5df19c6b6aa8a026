"""The documentation keeps what it promises: names exist, links lead somewhere, no machine shows through."""

import ast
import importlib
import re
from functools import cache, reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
METHOD = (ROOT / "docs" / "method.md").read_text()
FUNCTION = re.compile(r"`(bundle/[\w/]+\.py):([\w.]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
# Documents with tables of promises, by their heading; each line names the tests that hold it.
PROMISES, PROMISE = ("reliability.md", "determinism.md"), "| promise |"
EQUATIONS = [str(number) for number in range(1, 25)]
FOLDERS = (".ci", "bundle", "configs", "docs", "models", "scripts", "tests")
TEXTS = ("", ".cfg", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml")
MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?:home|Users|root|tmp|work|workspace|mnt|media|scratch|opt)/|\b[A-Z]:\\\w")


def _rows() -> dict[str, list[str]]:
    """Cells of the tables by equation."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in METHOD.splitlines() if line[:1] == "|"]
    numbered = [row for row in cells if row[0].isdigit()]
    assert len(numbered) == len({row[0] for row in numbered}), "an equation has two rows"
    return {row[0]: row for row in numbered}


@cache
def _functions_of(path: str) -> set[str]:
    """Names of the functions of a module and of its classes."""
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


def _texts() -> list[Path]:
    """Every text of the project, whether git is there or not."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    paths = [path for path in [*ROOT.iterdir(), *inside] if path.is_file() and path.suffix in TEXTS]
    return [path for path in paths if "__pycache__" not in path.parts and path.name != ".coverage"]


def _documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_all_equations_of_the_paper_are_there_in_order() -> None:
    assert list(_rows()) == EQUATIONS


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_equation_names_a_function_and_a_test(equation: str) -> None:
    _, says, function, test, _ = _rows()[equation]
    assert says
    assert FUNCTION.findall(function)
    assert TEST.findall(test)
    # Nothing in those cells escapes the checks below.
    assert not TEST.sub("", test).strip()
    assert not FUNCTION.sub("", function).strip()


@pytest.mark.parametrize(("path", "name"), sorted(set(FUNCTION.findall(METHOD))))
def test_a_named_function_exists(path: str, name: str) -> None:
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert callable(reduce(getattr, name.split("."), module))


@pytest.mark.parametrize(("path", "name"), sorted(set(TEST.findall(METHOD))))
def test_a_named_test_exists(path: str, name: str) -> None:
    assert name in _functions_of(path)


def _promises() -> list[str]:
    """Lines of the tables of promises, without their headings."""
    found, inside = [], False
    for name in PROMISES:
        for line in (ROOT / "docs" / name).read_text().splitlines():
            inside = line.startswith(PROMISE) or (inside and line[:1] == "|")
            found += [line] if inside and not line.startswith((PROMISE, "|-")) else []
    return found


def test_every_promise_has_a_test_that_exists() -> None:
    promises = _promises()
    assert len(promises) > 5
    for line in promises:
        tests = TEST.findall(line)
        assert tests, line
        for path, name in tests:
            assert name in _functions_of(path), line


@pytest.mark.parametrize("document", _documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if not re.match(r"https?:|mailto:|#", target):
            assert (document.parent / target.split("#")[0]).exists(), target


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_the_licence_of_every_source_is_told() -> None:
    text = (ROOT / "docs" / "data_license.txt").read_text()
    for word in ("Apache License, Version 2.0", "BSD 2-Clause", "Project-MONAI/model-zoo", "nyukat/BIRADS_classifier"):
        assert word in text, word


def test_no_text_holds_a_path_of_a_machine() -> None:
    found = [path.relative_to(ROOT) for path in _texts() if MACHINE_PATH.search(path.read_text(errors="replace"))]
    assert found == []


@pytest.mark.parametrize("text", ["in /home" + "/someone/x", '"/tmp' + '/a"', "(/Users" + "/b", "C:" + "\\data"])
def test_a_path_of_a_machine_is_recognised(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["docs/root/x", "https://host/home/x", "a/tmp/b", "../work/x", "50 /mm"])
def test_other_paths_are_not(text: str) -> None:
    assert not MACHINE_PATH.search(text)
