"""The refinement study: its crops, its rows, what they cost, its tables, and the command from crops to table."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from bundle.data.shift_benchmark import SEED_RANGES, SPLITS
from bundle.engines.benchmark import refinement_passes
from bundle.functional.case_record import score_case
from bundle.functional.confusion import IGNORE, MICROCALCIFICATION
from bundle.functional.refinement_settings import RefinementSettings, preset
from bundle.inferers import TTGPRInferer, WindowedInferer
from scripts import refinement_study, study_crops, study_fit, study_price, study_run
from scripts.benchmark_systems import Networks
from scripts.study_cost import GENERATOR, PassCost, counted_passes, gflop_of, minutes_of, pass_costs
from scripts.study_crops import FIRST_VIEW, crop_place, cut, study_cases, study_views
from scripts.study_price import price, stub_parts, stub_view
from scripts.study_table import PRIMARY, best_threshold_of, changed_crops, forest, study_markdown, summary
from scripts.study_variants import (
    BEST,
    DEFAULT,
    FITS,
    PAPER,
    SEGMENTOR,
    SWITCHES,
    TABLE_1,
    UNFITTED,
    Parts,
    SeedBlind,
    all_variants,
    chosen_variants,
    same_effect,
)

VARIANTS = all_variants(overlapping=True, other_network=True)


class Segmentor(nn.Conv2d):
    """What is brighter than its surroundings is positive: few objects, as from a real one."""

    def __init__(self, gain: float = 40.0) -> None:
        super().__init__(1, 1, 9, padding=4, padding_mode="replicate")
        with torch.no_grad():
            self.weight.fill_(-gain / 81)
            self.weight[..., 3:6, 3:6] += gain / 9
            self.bias.fill_(-5.0)  # type: ignore[union-attr]


class Velocity(nn.Module):
    """Brightens seeds and darkens the rest, more so where seeds are complete."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return condition[:, :1] - self.weight * state - 0.1 * condition[:, 1:]


def networks(window_px: int = 64) -> Networks:
    return Networks(WindowedInferer(window_px), TTGPRInferer(Velocity(), window_px=window_px), Segmentor())


def parts(window_px: int = 64) -> Parts:
    return Parts(networks(window_px), UNFITTED, Segmentor(60.0))


def logits_of(name: str, image: torch.Tensor, *, of: Parts | None = None) -> torch.Tensor:
    made = parts() if of is None else of
    return VARIANTS[name].make(made)(image, made.networks.network)


def image() -> torch.Tensor:
    return torch.from_numpy(stub_view(64)["image"])[None, None]


# Crops.


def test_crops_are_of_tuning_breasts_that_no_benchmark_has_and_none_is_in_both_parts() -> None:
    views = study_views("study", 60) + study_views("fit", 24)
    seeds = [view.parameters.seed for view in views]
    first, stop = SEED_RANGES["tuning"]
    assert len(set(seeds)) == len(seeds)
    assert all(first + sum(SPLITS["tuning"]) <= seed < stop for seed in seeds)
    assert {view.split for view in views} == {"tuning"}
    assert len({view.patient for view in views}) == len(views)


def test_every_third_breast_is_clean_and_fewer_crops_are_the_first_of_more() -> None:
    views = study_views("study", 9)
    assert [view.calcified for view in views] == [True, True, False] * 3
    assert study_views("study", 4) == views[:4]


@pytest.mark.parametrize("crop_px", [255, 513])
def test_crops_have_the_size_of_a_window_to_that_of_a_view(crop_px: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"256 to 512 px, got {crop_px}"):
        study_cases("study", 1, crop_px=crop_px, directory=tmp_path)


def test_a_crop_holds_the_calcification_it_was_drawn_for_well_inside() -> None:
    label, breast = np.zeros((200, 160), np.uint8), np.ones((200, 160), bool)
    label[100:103, 80:83] = MICROCALCIFICATION
    for seed in range(20):
        rows, columns = crop_place(label, breast, crop_px=64, rng=np.random.default_rng(seed))
        assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)
        assert rows.start + 15 <= 101 <= rows.stop - 15
        assert columns.start + 15 <= 81 <= columns.stop - 15


def test_places_differ_by_their_random_numbers_alone() -> None:
    label, breast = np.zeros((200, 160), np.uint8), np.ones((200, 160), bool)
    label[100:103, 80:83] = MICROCALCIFICATION
    places = [crop_place(label, breast, crop_px=64, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert places[0] == places[1]
    assert places[0] != places[2]


def test_a_clean_crop_has_breast_in_half_of_it_or_as_much_as_there_is() -> None:
    breast = np.zeros((200, 160), bool)
    breast[:, :70] = True
    clean = np.zeros(breast.shape, np.uint8)
    shares = []
    for seed in range(20):
        shares.append(breast[crop_place(clean, breast, crop_px=64, rng=np.random.default_rng(seed))].mean())
    assert min(shares) >= 0.5
    assert len(set(shares)) > 1
    little = breast & (np.arange(160) < 8)
    assert little[crop_place(clean, little, crop_px=64, rng=np.random.default_rng(0))].mean() == 8 / 64


def test_calcifications_that_the_border_cuts_are_ignored_and_others_stay() -> None:
    label = np.zeros((40, 40), np.uint8)
    label[8:12, 20] = MICROCALCIFICATION
    label[25, 25] = MICROCALCIFICATION
    view = {"image": np.zeros(label.shape, np.float32), "label": label, "breast": label == 0, "spacing_mm": (0.1, 0.1)}
    crop = cut(view, (slice(10, 40), slice(10, 40)))
    assert set(np.unique(crop["label"][:2, 10])) == {IGNORE}
    assert crop["label"][15, 15] == MICROCALCIFICATION
    assert label[10, 20] == MICROCALCIFICATION


def test_a_case_names_what_its_crop_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(crop_px: int = 256) -> str:
        return study_cases("study", 1, crop_px=crop_px, directory=tmp_path)[0].settings

    before = settings()
    assert settings() == before
    assert settings(300) != before
    monkeypatch.setattr(study_crops, "STUDY_VERSION", 0)
    assert settings() != before
    assert list(tmp_path.iterdir()) == []


# Rows.


def test_every_switch_overrides_what_exists_and_changes_something() -> None:
    for _, name, _, overrides in SWITCHES:
        settings = preset("default", **overrides)
        assert (name in VARIANTS) != same_effect(settings, preset("default")), name


def test_every_open_choice_of_the_settings_is_switched_somewhere() -> None:
    """Sizes in pixels and step sizes are tuning, not readings of the paper."""
    tuned = {"k_max", "eta", "seed_nms_px", "seed_cluster_radius_px", "edge_erode_px", "edge_sigma_px"}
    tuned |= {"mixing_sigma_px"}
    switched = {name for _, _, _, overrides in SWITCHES for name in overrides}
    assert set(RefinementSettings.__dataclass_fields__) - tuned == switched


@pytest.mark.parametrize("steps", [None, 1])
def test_one_step_said_in_two_ways_is_one_switch(steps: int | None) -> None:
    # At t from 0.5 on, K = ceil(2 (1 - t)) is 1.
    assert same_effect(preset("default", t_start=0.5, k_max=2, steps=steps), preset("default", t_start=0.5, k_max=1))
    assert not same_effect(preset("default"), preset("default", steps=2))


def test_bases_exist_and_the_segmentor_comes_first() -> None:
    assert next(iter(VARIANTS)) == SEGMENTOR
    assert {variant.base for variant in VARIANTS.values()} <= set(VARIANTS)
    assert VARIANTS[PAPER].crops == 20


def test_rows_that_need_more_appear_only_with_it() -> None:
    few = all_variants()
    assert set(VARIANTS) - set(few) == {"overlap-0", "false-negatives"}


def test_chosen_rows_come_with_what_they_are_compared_with() -> None:
    names = [variant.name for variant in chosen_variants(VARIANTS, ["table-1-no-edge"])]
    assert sorted(names) == sorted([SEGMENTOR, TABLE_1, "table-1-no-edge"])
    assert len(chosen_variants(VARIANTS, None)) == len(VARIANTS)
    with pytest.raises(ValueError, match="got 'nonsense'"):
        chosen_variants(VARIANTS, ["nonsense"])


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != PAPER])
def test_every_row_gives_finite_logits(name: str) -> None:
    assert torch.isfinite(logits_of(name, image())).all()


def test_a_blind_generator_answers_as_without_seeds() -> None:
    state, t = torch.rand(1, 1, 8, 8), torch.tensor([0.5])
    seen, empty = torch.rand(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    assert torch.equal(SeedBlind(Velocity())(state, t, seen), Velocity()(state, t, empty))
    assert not torch.equal(Velocity()(state, t, seen), Velocity()(state, t, empty))


def test_without_a_generator_none_is_asked() -> None:
    made = parts()
    with counted_passes(made.networks) as passes:
        logits_of("no-generator", image(), of=made)
    assert passes[GENERATOR] == 0
    with counted_passes(made.networks) as passes:
        logits_of(DEFAULT, image(), of=made)
    assert passes[GENERATOR] > 0


def test_the_other_segmentor_is_the_other_network() -> None:
    made = parts()
    assert made.other_network is not None
    for name, network in (("false-negatives", made.other_network), (SEGMENTOR, made.networks.network)):
        assert torch.equal(logits_of(name, image(), of=made), network(image()).detach())


# Costs.


def test_passes_are_those_that_the_settings_say() -> None:
    stub = stub_parts(parts())
    case = study_run.Case("c", "c", "d", "", lambda: stub_view(64))
    for name in (DEFAULT, PAPER, "draws-4", "heun"):
        (line,) = study_run.lines_of([VARIANTS[name]], stub)
        passes = study_run.scored(line, case, stub_view(64), stub)["passes"]
        settings = line.inferer.settings
        if name == PAPER:
            assert settings == preset("paper")
        assert sum(passes.values()) == 1 + refinement_passes(settings)


def test_operations_and_seconds_add_up() -> None:
    costs = {"segmentor": PassCost(2.0, 5.0), "generator": PassCost(4.0, 7.0)}
    assert minutes_of({"segmentor": 30, "generator": 15}, costs) == pytest.approx(2.0)
    assert gflop_of({"segmentor": 2, "generator": 3}, costs) == pytest.approx(31.0)


def test_operations_of_a_pass_are_counted() -> None:
    cost = pass_costs(networks(32))["segmentor"]
    # A convolution of one channel with 9 x 9 weights: a multiplication and an addition each per pixel.
    assert cost.gflop == pytest.approx(2 * 81 * 32 * 32 / 1e9)
    assert cost.seconds > 0


def test_the_price_counts_what_is_to_do_and_what_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {"segmentor": PassCost(60.0, 1.0), "generator": PassCost(120.0, 1.0)}
    monkeypatch.setattr(study_price, "pass_costs", lambda networks: costs)
    rows = [VARIANTS[name] for name in (SEGMENTOR, DEFAULT, "evidence")]
    text, minutes = price(rows, parts(), {SEGMENTOR: 2, DEFAULT: 1, "evidence": 0}, 5, crop_px=64)
    # One pass of a minute twice; 4 of the segmentor and 3 of the generator; on each of five fitting crops 1 and 3: dots
    # this near make two groups, and one pass is without seeds.
    assert minutes == pytest.approx(2 + 4 + 3 * 2 + 5 * (1 + 3 * 2), abs=0.5)
    assert "3 records to make" in text
    assert "Weights of the evidence, on 5 crops: 35.0 minutes" in text


# Tables.


def _record(system: str, patient: str, found: int, false: int) -> dict[str, Any]:
    """A view of 1 cm2 with two objects, or none; `found` of them are marked at 0.9, and `false` others at 0.6."""
    label = np.zeros((100, 100), np.uint8)
    probs = np.zeros((100, 100))
    if not patient.startswith("clean"):
        label[20:23, 20:23] = label[60:63, 60:63] = 1
        for place in (20, 60)[:found]:
            probs[place : place + 3, place : place + 3] = 0.9
    for number in range(false):
        probs[90:92, 10 * number : 10 * number + 2] = 0.6
    record = score_case(
        probs,
        label,
        **{"case": patient, "patient": patient, "system": system, "dataset": "refinement study"},
        spacing_mm=(0.1, 0.1),
        region_name="breast",
        region=np.ones(label.shape, bool),
        threshold=0.5,
        froc_thresholds=[0.25, 0.5, 0.75],
    )
    return {**record, "passes": {"segmentor": 1, "generator": 0}}


def _records(system: str, found: int, false: int) -> list[dict[str, Any]]:
    return [_record(system, name, found, false) for name in ("a", "b", "c", "clean1", "clean2")]


def test_the_best_threshold_is_that_of_most_f2_and_the_middle_of_equals() -> None:
    assert best_threshold_of(_records(SEGMENTOR, 2, 3)) == 0.75
    assert best_threshold_of(_records(SEGMENTOR, 2, 0)) == 0.5


def test_tables_hold_differences_to_the_segmentor_and_to_the_base() -> None:
    rows = [VARIANTS[name] for name in (SEGMENTOR, DEFAULT, "no-edge")]
    records = _records(SEGMENTOR, 1, 1) + _records(DEFAULT, 2, 1) + _records("no-edge", 2, 0)
    tables = summary(records, rows)
    assert list(tables) == [SEGMENTOR, DEFAULT]
    found = {row["system"]: row for row in tables[SEGMENTOR]}
    assert found[DEFAULT]["differences"]["object_recall"]["value"] == pytest.approx(0.5)
    # At 0.75 nothing is false: 5 / (1 + 4 x 2) of one object in two, and 1 of two.
    assert found[SEGMENTOR]["figures"]["best_object_f2"]["value"] == pytest.approx(5 / 9)
    assert found[DEFAULT]["differences"]["best_object_f2"]["value"] == pytest.approx(4 / 9)
    alone = {row["system"]: row for row in tables[DEFAULT]}["no-edge"]["differences"]
    assert alone["object_recall"]["value"] == 0
    assert alone["fp_per_cm2"]["value"] == pytest.approx(-1.0)
    text = study_markdown(tables, records, rows, dict.fromkeys([SEGMENTOR, DEFAULT, "no-edge"], 6.0))
    last = text.splitlines()[-1]
    assert last.startswith("| no-edge | w_E = 0 | default | 5 of 5 |")
    assert "**-1.000 [-1.000, -1.000]**" in last


def test_a_switch_that_changes_no_count_is_told_to_change_no_crop() -> None:
    records = _records(DEFAULT, 1, 1) + _records("no-edge", 1, 1)[:3] + _records("no-tversky", 2, 1)
    assert changed_crops(records, "no-edge", DEFAULT) == (0, 3)
    assert changed_crops(records, "no-tversky", DEFAULT) == (3, 5)


def test_a_forest_has_a_line_per_row_and_a_heading_per_group() -> None:
    rows = [VARIANTS[name] for name in (SEGMENTOR, DEFAULT, "no-edge")]
    records = _records(SEGMENTOR, 1, 1) + _records(DEFAULT, 2, 1) + _records("no-edge", 2, 0)
    compared = [row for row in summary(records, rows)[SEGMENTOR] if row["differences"]]
    figure = forest(compared, rows, title="t", names=PRIMARY)
    assert len(figure.axes) == 3
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["TT-GPR".upper(), DEFAULT, "ENERGY", "no-edge"]


def test_a_far_difference_is_a_number_at_the_edge_and_presses_no_others_together() -> None:
    near, far = VARIANTS["no-edge"], VARIANTS[DEFAULT]
    rows = [
        {
            "system": one.name,
            "differences": {name: {"value": value, "low": value - 0.01, "high": value + 0.01} for name in PRIMARY},
        }
        for one, value in ((near, 0.02), (far, -0.93))
    ]
    axes = forest(rows, [far, near], title="t", names=PRIMARY).axes[0]
    assert axes.get_xlim()[0] > -0.1
    assert [text.get_text() for text in axes.texts] == ["← -0.93"]


# The command.

Command = Callable[..., str]


@pytest.fixture(scope="module")
def views_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("views")


@pytest.fixture
def study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, views_dir: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command with toy networks and few thresholds, on rendered views that all tests here share."""
    monkeypatch.setattr(study_run, "LEVELS", study_run.LEVELS[::8])
    monkeypatch.setattr(refinement_study, "load_networks", lambda models_dir, refine: networks(256))
    (tmp_path / "views").symlink_to(views_dir, target_is_directory=True)

    def command(*words: str) -> str:
        refinement_study.main([*words, "--output-dir", str(tmp_path), "--crops", "3", "--fit-crops", "2"])
        return capsys.readouterr().out

    return command


NAMES = ("no-edge", "p+high-pass", "evidence", "augmentation")


def test_from_crops_to_table_and_again_without_work(
    study: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = study("--variants", *NAMES)
    assert "| no-edge |" in printed
    rows = {row["system"] for row in json.loads((tmp_path / "table.json").read_text())}
    assert rows == {SEGMENTOR, DEFAULT, BEST, "p", *NAMES}
    with (tmp_path / "table.csv").open() as file:
        assert {line["reference"] for line in csv.DictReader(file)} == {"", SEGMENTOR, DEFAULT, "p"}
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in ("forest", "forest_switches"))
    first = (tmp_path / "table.md").read_text()
    monkeypatch.setattr(study_run, "score_case", None)
    monkeypatch.setattr(study_fit, "candidate_truth", None)
    monkeypatch.setattr(refinement_study, "price", lambda *args, **options: ("", 0.0))
    study("--variants", *NAMES)
    assert (tmp_path / "table.md").read_text() == first


def test_other_weights_are_scored_anew(study: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study("--variants", DEFAULT)
    other = networks(256)
    with torch.no_grad():
        for weight in other.network.parameters():
            weight.mul_(2.0)
    monkeypatch.setattr(refinement_study, "load_networks", lambda models_dir, refine: other)
    assert "6 records to make" in study("--variants", DEFAULT, "--price-only")


def test_the_price_alone_renders_and_scores_nothing(
    study: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_crops, "write_cases", None)
    assert "6 records to make" in study("--variants", DEFAULT, "--price-only")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["views"]


def test_records_say_their_passes_and_their_crops_are_shared(study: Command, tmp_path: Path) -> None:
    study("--variants", "augmentation")
    records = [json.loads(path.read_text())["record"] for path in (tmp_path / "records").rglob("*.json")]
    assert {record["passes"]["segmentor"] for record in records if record["system"] == "augmentation"} == {8}
    truth = {(record["case"], record["area_cm2"], len(record["objects"])) for record in records}
    assert sorted(case for case, _, _ in truth) == ["study-000", "study-001", "study-002"]


def test_crops_are_read_as_whole_views_are_windowed(study: Command, views_dir: Path) -> None:
    """A crop of the view, not a view of its own: air is -1, tissue is not stretched to the window's ends."""
    (case, *_) = study_cases("study", 1, crop_px=256, directory=views_dir)
    view = case.load()
    assert view["image"].shape == view["label"].shape == view["breast"].shape == (256, 256)
    assert (view["image"][~view["breast"]] == -1).all()
    assert np.isin([MICROCALCIFICATION], view["label"]).all()
    assert ndimage.label(view["breast"])[1] >= 1
    assert view["image"].max() < 1


def test_an_unknown_row_ends_in_one_line(study: Command) -> None:
    with pytest.raises(SystemExit, match="error: Expected variants among segmentor, default"):
        study("--variants", "nonsense")


def test_views_of_the_two_parts_never_meet() -> None:
    assert abs(FIRST_VIEW["study"] - FIRST_VIEW["fit"]) >= 1000
    assert set(FITS) == {variant.fit for variant in VARIANTS.values() if variant.fit}
