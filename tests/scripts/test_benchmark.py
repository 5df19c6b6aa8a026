"""The commands of the benchmarks and the systems in them."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from bundle.baselines import TopHatInferer, tune_classical
from bundle.data import MammogramError
from bundle.engines.benchmark import Case, KeptMaps
from bundle.inferers import TTGPRInferer, WindowedInferer
from scripts.benchmark import _priced_only, main, reference_row
from scripts.benchmark_real import (
    FITTED,
    SEEN,
    ClassicalFolds,
    check_fold_weights,
    fitted_row,
    learned_rows,
    put_fold_weights,
)
from scripts.benchmark_systems import (
    COMPANY,
    CONTROL,
    CONTROL_SETTINGS,
    NEIGHBOURS,
    WEIGHED,
    Networks,
    cached,
    is_clean,
    learned_systems,
    tuned_rows,
)
from tests.normals import real_like_normals

WINDOW_PX = 32


class Velocity(nn.Module):
    """A generator of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.weight * state


def networks() -> Networks:
    segmentor = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        segmentor.weight.fill_(20.0)
        segmentor.bias.fill_(0.0)  # type: ignore[union-attr]
    return Networks(WindowedInferer(WINDOW_PX), TTGPRInferer(Velocity(), window_px=WINDOW_PX), segmentor)


def view(seed: int, *, dots: int = 6, contrast: float = 0.6) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(0, 1, (96, 96)), 4) + rng.normal(0, 0.03, (96, 96)) - 0.5
    label = np.zeros(image.shape, np.uint8)
    label[rng.integers(25, 70, dots), rng.integers(25, 70, dots)] = 1
    label = ndimage.binary_dilation(label).astype(np.uint8)
    image = np.clip(image + contrast * label, -0.99, 1).astype(np.float32)
    return {"image": image, "label": label, "breast": np.ones(label.shape, bool), "spacing_mm": (0.1, 0.1)}


def case(exam: str, seed: int, **options: Any) -> Case:
    dots = options.get("dots", 6)
    return Case(f"{exam} {seed} {dots}", exam, "set", f"{seed} {options}", lambda: view(seed, **options))


def exams() -> dict[str, list[Case]]:
    return {name: [case(name, n), case(name, n + 10, dots=0)] for n, name in enumerate("abc")}


def test_a_view_with_nothing_but_ignored_spots_is_clean() -> None:
    one = view(0)
    assert not is_clean(one)
    assert is_clean({**one, "label": 2 * one["label"]})


def test_choices_are_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"threshold": 0.5}

    path = tmp_path / "tuning" / "x.json"
    assert cached(path, make) == cached(path, make) == json.loads(path.read_text())
    assert made == [1]


def test_learned_systems_have_a_tuned_row_and_one_at_the_default(tmp_path: Path) -> None:
    some, maps = [one for members in exams().values() for one in members], KeptMaps(tmp_path / "maps")
    learned = learned_systems(["segmentor", "top-hat"], networks())
    rows = tuned_rows(["segmentor", "top-hat"], learned, some, maps, cache=tmp_path)
    assert [row.name for row in rows] == ["segmentor", "segmentor at 0.5", "top-hat"]
    logit = np.log(rows[0].threshold / (1 - rows[0].threshold))
    assert np.min(np.abs(np.array(rows[0].froc_logits) - logit)) < 1e-6
    assert [row.threshold for row in rows[1:]] == [0.5, 0.5]
    again = tuned_rows(["segmentor", "top-hat"], learned, some, maps, cache=tmp_path)
    assert [(row.threshold, row.froc_logits) for row in again] == [(row.threshold, row.froc_logits) for row in rows]


def test_what_weighs_candidates_moves_them_alone_and_knows_the_pixel_size() -> None:
    one, used = view(0), networks()
    systems = learned_systems(["segmentor", "evidence", *WEIGHED], used)
    plain, evidence, control, company = (systems[name].predict(one) for name in ("segmentor", "evidence", *WEIGHED))
    for moved, threshold in ((evidence, 0.02), (control, CONTROL_SETTINGS.threshold), (company, COMPANY.threshold)):
        candidate = plain >= np.log(threshold / (1 - threshold))
        assert (moved != plain)[candidate].any()
        np.testing.assert_array_equal(moved[~candidate], plain[~candidate])
    for name, moved in ((CONTROL, control), (NEIGHBOURS, company)):
        assert (systems[name].predict({**one, "spacing_mm": (0.05, 0.05)}) != moved).any()
    # This generator does not look at seeds: its score is 0, so a tested candidate moves by the constant alone.
    change = evidence[candidate] - plain[candidate].clip(max=12)
    np.testing.assert_allclose(change[change != 0], -1.03, atol=1e-5)


def test_company_moves_the_mean_of_flips_and_turns_and_says_so() -> None:
    one, used = view(0), networks()
    systems = learned_systems(["augmentation", "company"], used)
    company, first = systems["company"], systems["augmentation"].predict(one)
    assert company.first is not None
    assert company.first.settings == systems["augmentation"].settings
    moved = company.predict(one)
    candidate = first >= np.log(0.005 / 0.995)
    assert (moved != first)[candidate].any()
    np.testing.assert_array_equal(moved[~candidate], first[~candidate])
    assert company.move is not None
    np.testing.assert_array_equal(company.move(one, first), moved)


def test_company_is_fitted_on_exams_with_the_same_weights_and_never_on_the_held_out_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, asked = networks(), []
    for name, weight in (("a", 1.0), ("c", 2.0)):
        torch.save({key: value * weight for key, value in used.network.state_dict().items()}, tmp_path / f"{name}.pt")
    (tmp_path / "b.pt").write_bytes((tmp_path / "a.pt").read_bytes())

    def fit(first: Any, cases: list[Case], maps: KeptMaps, *, cache: Path) -> Any:
        asked.append([case.patient for case in cases])
        return COMPANY

    monkeypatch.setattr("scripts.benchmark_real.fit_company", fit)
    put_fold_weights(used, tmp_path, "a")
    row = fitted_row(used, tmp_path, exams(), "a", KeptMaps(tmp_path / "maps"), cache=tmp_path)
    assert asked == [["b", "b"]]
    assert (row.name, row.threshold) == (FITTED, 0.5)
    with pytest.raises(MammogramError, match=r"c\.pt: Expected another exam with the same weights"):
        fitted_row(used, tmp_path, exams(), "c", KeptMaps(tmp_path / "maps"), cache=tmp_path)


def test_a_held_out_exam_does_not_move_its_own_choice(tmp_path: Path) -> None:
    plain = ClassicalFolds(["top-hat"], exams(), cache=tmp_path).chosen["top-hat"]["folds"]
    changed = exams()
    # The same pixels, so that the same thresholds are tried, but nothing of it is true any more.
    changed["b"] = [
        Case("b", "b", "set", "changed", lambda: {**view(1), "label": np.zeros((96, 96), np.uint8)}),
        changed["b"][1],
    ]
    moved = ClassicalFolds(["top-hat"], changed, cache=tmp_path).chosen["top-hat"]["folds"]
    assert moved["b"] == plain["b"]
    assert moved["a"] != plain["a"]


def test_a_fold_is_tuned_as_its_own_views_would_be(tmp_path: Path) -> None:
    folds = ClassicalFolds(["top-hat"], exams(), cache=tmp_path)
    others = [one.load() for exam, members in exams().items() if exam != "a" for one in members]
    grid = {"diameter_mm": [folds.chosen["top-hat"]["folds"]["a"]["diameter_mm"]]}
    alone = tune_classical(TopHatInferer, others, grid=grid)
    (row,) = folds.rows("a")
    # The thresholds tried are shares of all views in the one case, and of two exams in the other.
    assert folds.chosen["top-hat"]["folds"]["a"]["threshold"] == pytest.approx(alone.parameters["threshold"], rel=0.3)
    assert row.threshold == 0.5


def test_rows_say_what_their_weights_have_seen(tmp_path: Path) -> None:
    both = ["segmentor", "ttgpr"]
    torch.save(networks().network.state_dict(), tmp_path / "a.pt")
    names = [row.name for row in learned_rows(both, networks(), None, "a")]
    assert names == [f"segmentor ({SEEN})", f"ttgpr ({SEEN})"]
    names = [row.name for row in learned_rows(both, networks(), tmp_path, "a")]
    assert names == ["segmentor", f"ttgpr (generator {SEEN})"]
    torch.save(Velocity().state_dict(), tmp_path / "a_generator.pt")
    assert [row.name for row in learned_rows(both, networks(), tmp_path, "a")] == both


def test_weights_of_a_fold_are_put_in_and_change_the_settings(tmp_path: Path) -> None:
    fold = nn.Conv2d(1, 1, 1)
    torch.save(fold.state_dict(), tmp_path / "a.pt")
    torch.save({"weight": torch.ones(1)}, tmp_path / "a_generator.pt")
    used = networks()
    before = [row.system.settings for row in learned_rows(["segmentor", "ttgpr"], used, tmp_path, "a")]
    put_fold_weights(used, tmp_path, "a")
    after = [row.system.settings for row in learned_rows(["segmentor", "ttgpr"], used, tmp_path, "a")]
    assert torch.equal(used.network.weight, fold.weight)  # type: ignore[arg-type]
    assert used.refined_inferer.generator.weight.item() == 1.0
    assert all(first != second for first, second in zip(before, after, strict=True))


def test_missing_or_strange_weights_of_a_fold_are_named(tmp_path: Path) -> None:
    with pytest.raises(MammogramError, match=r"a\.pt: Expected weights"):
        put_fold_weights(networks(), tmp_path, "a")
    torch.save(nn.Conv2d(1, 2, 1).state_dict(), tmp_path / "a.pt")
    with pytest.raises(MammogramError, match=r"a\.pt: Expected weights"):
        put_fold_weights(networks(), tmp_path, "a")


def test_weights_of_all_folds_are_there_before_a_long_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with pytest.raises(MammogramError, match=rf"{name}\.pt: Expected weights"):
            check_fold_weights(tmp_path, ["a", "b"])
        (tmp_path / f"{name}.pt").touch()
    check_fold_weights(tmp_path, ["a", "b"])
    (tmp_path / "a_generator.pt").touch()
    # Fold b would run with the generator of fold a, which has seen b.
    with pytest.raises(MammogramError, match=r"b_generator\.pt: Expected weights"):
        check_fold_weights(tmp_path, ["a", "b"])


def test_price_knows_the_maps_of_every_fold(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    used, maps, blank = networks(), KeptMaps(tmp_path / "maps"), view(0, dots=0)
    cases = {name: [Case(name, name, "set", name, lambda: blank)] for name in ("a", "b")}
    for name, members in cases.items():
        weights = {key: value + (name == "b") for key, value in used.network.state_dict().items()}
        torch.save(weights, tmp_path / f"{name}.pt")
        put_fold_weights(used, tmp_path, name)
        maps.probs(learned_systems(["ttgpr"], used)["ttgpr"], members[0], blank)
    arguments = argparse.Namespace(systems=["segmentor", "ttgpr"], price_only=True)
    assert _priced_only(arguments, used, cases, maps, weights_dir=tmp_path)
    text = capsys.readouterr().out
    assert "segmentor on 2 views, about 0.0 minutes" in text
    assert "ttgpr on 0 views, about 0.0 minutes" in text
    # Those of one fold are not those of the other.
    _priced_only(arguments, used, cases, maps)
    assert "ttgpr on 1 views" in capsys.readouterr().out


@pytest.mark.slow
def test_real_backgrounds_from_folder_to_report_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["real", "--normals", str(real_like_normals(tmp_path / "normals")), "--output-dir", str(tmp_path / "out")]
    words += ["--systems", "top-hat", "high-pass", "--spacing-mm", "0.1", "--crop-mm", "25", "--injections", "2"]
    words += ["--crops", "1"]
    main(words)
    table = (tmp_path / "out" / "table.md").read_text()
    assert "## real\n" in table
    assert "## real/b\n" in table
    assert (tmp_path / "out" / "report.html").exists()
    # Nothing is scored a second time.
    monkeypatch.setattr("bundle.engines.benchmark.score_case", None)
    main(words)
    assert (tmp_path / "out" / "table.md").read_text() == table
    assert "Held out: c (3 of 3)" in capsys.readouterr().out


@pytest.mark.slow
def test_shift_from_rendering_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundle.data.shift_benchmark.SPLITS", {"tuning": (2, 1), "test": (2, 1)})
    main(["shift", "--output-dir", str(tmp_path), "--systems", "high-pass", "--conditions", "reference", "dose"])
    table = (tmp_path / "table.md").read_text()
    assert "## shift/dose\n" in table
    assert "## shift/reference\n" in table
    assert len(list((tmp_path / "records").rglob("*.json"))) == 6


@pytest.mark.parametrize(
    ("rows", "name", "expected"),
    [
        (["augmentation", "segmentor", "segmentor at 0.5"], "segmentor", "segmentor"),
        (["augmentation", "segmentor", "segmentor at 0.5"], "segmentor at 0.5", "segmentor at 0.5"),
        (["augmentation", f"segmentor ({SEEN})"], "segmentor at 0.5", f"segmentor ({SEEN})"),
        (["top-hat", "high-pass"], "segmentor", None),
    ],
)
def test_the_row_that_others_are_compared_with(rows: list[str], name: str, expected: str | None) -> None:
    assert reference_row(rows, name) == expected


def test_a_folder_without_weights_is_one_line(tmp_path: Path) -> None:
    words = ["real", "--normals", str(real_like_normals(tmp_path / "normals")), "--output-dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match=r"error: Expected weights at .*model\.pt, found none"):
        main([*words, "--systems", "segmentor", "--spacing-mm", "0.1", "--models-dir", str(tmp_path)])


def test_company_cannot_be_fitted_without_weights_of_folds(tmp_path: Path) -> None:
    words = ["real", "--normals", str(real_like_normals(tmp_path / "normals")), "--output-dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="error: Expected --weights-dir and a learned system with --fit-company"):
        main([*words, "--systems", "top-hat", "--spacing-mm", "0.1", "--fit-company"])


def test_unreadable_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: "):
        main(["real", "--normals", str(tmp_path / "nowhere"), "--systems", "top-hat", "--output-dir", str(tmp_path)])
