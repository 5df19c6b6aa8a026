"""The shift benchmark on disk, and the proof that nothing in it is shared with training or between its splits."""

import ast
import itertools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose

from bundle.data import LoadLabeld, LoadMammogramd, find_mammograms
from bundle.data import shift_benchmark as module
from bundle.data.phantom import SEED_RANGES as TRAINING_SEED_RANGES
from bundle.data.shift_benchmark import (
    CONDITIONS,
    RANGES,
    SEED_RANGES,
    SPLITS,
    ShiftCase,
    sample_parameters,
    shift_cases,
    write_cases,
)
from bundle.functional.benchmark_clusters import DISTRIBUTIONS
from bundle.transforms import BreastMaskd, MammogramWindowd

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*sorted((ROOT / "bundle" / "functional").glob("benchmark_*.py")), ROOT / "bundle/data/shift_benchmark.py"]
TRAINING = {"phantom", "puncta", "injection", "hard_negatives", "detector", "synthetic_pairs", "training_views"}


def imported(path: Path) -> set[Path]:
    """Modules of the bundle that a module imports, directly or through others."""
    seen, waiting = set(), [path]
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        seen.add(source)
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = source.parents[node.level - 1]
                target = folder.joinpath(*(node.module or "").split("."))
                names = [target.with_suffix(".py"), *(target / f"{alias.name}.py" for alias in node.names)]
                waiting += [name for name in names if name.exists()]
    return seen - {path}


def test_there_are_modules_to_look_at() -> None:
    assert len(SOURCES) > 6
    assert ROOT / "bundle/functional/phantom_texture.py" in imported(ROOT / "bundle/functional/phantom.py")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_generator_of_training_is_imported(source: Path) -> None:
    names = {path.stem for path in imported(source)}
    assert not {name for name in names if name in TRAINING or name.startswith("phantom")}


def test_seeds_of_training_tuning_and_test_never_meet() -> None:
    ranges = sorted([*SEED_RANGES.values(), *TRAINING_SEED_RANGES.values()])
    assert len(ranges) == 5
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(ranges))


def test_no_range_of_parameters_of_the_two_splits_overlaps() -> None:
    tuning, test = asdict(RANGES["tuning"]), asdict(RANGES["test"])
    for name, (low, high) in tuning.items():
        assert low < high
        assert high < test[name][0] or test[name][1] < low, name


def test_drawn_parameters_lie_in_the_ranges_of_their_split() -> None:
    for split, ranges in RANGES.items():
        for index in range(6):
            drawn = sample_parameters(split, index, calcified=True)
            values = {
                **asdict(drawn.breast.outline),
                **asdict(drawn.breast.lumps),
                **asdict(drawn.breast),
                **asdict(drawn.mtf),
                **asdict(drawn.exposure),
            }
            for name, (low, high) in asdict(ranges).items():
                assert low <= values[name] <= high, name


def test_splits_have_their_size_and_all_five_distributions() -> None:
    for split, (calcified, clean) in SPLITS.items():
        cases = shift_cases(split, "reference")
        assert [case.calcified for case in cases] == [True] * calcified + [False] * clean
        assert {case.parameters.distribution for case in cases if case.calcified} == set(DISTRIBUTIONS)
        assert {case.parameters.distribution for case in cases if not case.calcified} == {None}
        assert len({case.parameters.seed for case in cases}) == len({case.patient for case in cases}) == len(cases)


def test_a_shift_changes_one_thing() -> None:
    reference = [asdict(case.parameters) for case in shift_cases("test", "reference")]
    changed = {"pixel": {"spacing_mm"}, "mtf": {"mtf"}, "dose": {"exposure"}, "texture": {"breast"}}
    for condition, names in changed.items():
        for plain, case in zip(reference, shift_cases("test", condition), strict=True):
            shifted = asdict(case.parameters)
            assert {name for name in plain if plain[name] != shifted[name]} == names
    plain, shifted = (shift_cases("test", name)[0].parameters.breast for name in ("reference", "texture"))
    assert {k for k, v in asdict(plain).items() if v != asdict(shifted)[k]} == {"texture"}


def test_shifts_go_both_ways() -> None:
    assert {case.parameters.spacing_mm for case in shift_cases("test", "pixel")} == {0.05, 0.1}
    levels = {condition: {case.level for case in shift_cases("test", condition)} for condition in CONDITIONS}
    assert {name: len(found) for name, found in levels.items()} == {
        "reference": 1, "pixel": 2, "mtf": 2, "dose": 2, "texture": 1
    }  # fmt: skip


def test_names_are_unique() -> None:
    cases = [case for condition in CONDITIONS for case in shift_cases("test", condition)]
    cases += shift_cases("tuning", "reference")
    assert len({case.name for case in cases}) == len({case.digest for case in cases}) == len(cases)


def test_digests_are_functions_of_the_case() -> None:
    first, second = (shift_cases("test", "mtf")[3].digest for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("split", "condition"), [("train", "reference"), ("test", "fog"), ("tuning", "dose")])
def test_unknown_splits_and_conditions_are_named(split: str, condition: str) -> None:
    with pytest.raises(ValueError, match="pass one of these"):
        shift_cases(split, condition)


def small(index: int = 1) -> ShiftCase:
    """A view at 0.1 mm: the quickest."""
    return shift_cases("test", "pixel")[index]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_cases(tmp_path_factory.mktemp("shift"), [small()])[0]


def test_files_read_back_with_their_pixel_size(written: dict[str, str]) -> None:
    rendered = module.render_case(small().parameters)
    load = Compose([LoadMammogramd(), LoadLabeld("label")])
    view = load({"image": written["image"], "label": written["label"]})
    np.testing.assert_array_equal(view["image"][0].numpy(), rendered.image)
    np.testing.assert_array_equal(view["label"][0].numpy(), rendered.label)
    np.testing.assert_allclose(view["image"].meta["spacing_mm"], [0.1, 0.1], rtol=1e-6)
    assert json.loads(Path(written["truth"]).read_text()) == rendered.truth_records()


def test_a_view_passes_the_bundles_transforms(written: dict[str, str]) -> None:
    view = Compose([LoadMammogramd(), BreastMaskd(), MammogramWindowd()])({"image": written["image"]})
    assert 0.5 < float(view["breast"].float().mean()) < 0.95
    assert float(view["image"].min()) == -1.0
    assert 0.5 < float(view["image"].max()) <= 1.0


def test_a_folder_of_cases_lists_the_views_alone(written: dict[str, str]) -> None:
    assert find_mammograms(Path(written["image"]).parent) == [{"image": written["image"]}]


def test_what_exists_is_not_made_again(written: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "render_case", lambda parameters: pytest.fail("rendered again"))
    assert write_cases(Path(written["image"]).parent, [small()]) == [written]


def test_another_version_reads_no_old_file(written: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BENCHMARK_VERSION", module.BENCHMARK_VERSION + 1)
    monkeypatch.setattr(module, "_write_case", lambda case, paths: None)
    (item,) = write_cases(Path(written["image"]).parent, [small()])
    assert all(item[key] != written[key] for key in ("image", "label", "truth"))


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module.nib, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_cases(tmp_path, [small()])
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".nii"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_stratum_of_contrast_to_noise_has_a_real_share(condition: str) -> None:
    truth = [
        finding
        for case in shift_cases("test", condition)
        if case.calcified
        for finding in module.render_case(case.parameters).truth
    ]
    cnr = np.array([finding.cnr for finding in truth if finding.visible])
    shares = [(cnr < 3).mean(), ((cnr >= 3) & (cnr < 6)).mean(), (cnr >= 6).mean()]
    assert min(shares) > 0.08
    assert len(cnr) > 150
