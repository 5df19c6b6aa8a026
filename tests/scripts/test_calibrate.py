"""Calibration for a site, and the study of it, with toy networks."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

from bundle.data import MammogramError, choose_threshold, company_settings
from bundle.data.shift_benchmark import CONDITIONS, SPLITS, shift_cases, site_negatives
from bundle.data.site_crops import SiteCrops
from bundle.engines.benchmark import Case, KeptMaps, MapSystem
from bundle.inferers import TTGPRInferer, WindowedInferer
from scripts import calibrate as command
from scripts import calibration_study as study
from scripts.benchmark_systems import Networks
from scripts.calibrate import DEFAULT, Measured, main, measure, site_table
from scripts.calibration_study import Condition, compared, markdown, picture, place_of_rate
from scripts.measure_operating_points import THRESHOLDS
from scripts.shipped import ROOT
from scripts.site_fit import site_cases

WINDOW_PX = 64
SPACING_MM = 0.1


class Velocity(nn.Module):
    """A generator of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.weight * state


class Spots(nn.Module):
    """Logits by how far a pixel stands above its surroundings."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(25.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * (image - nn.functional.avg_pool2d(image, 9, 1, 4)) - 3


def networks(models_dir: Path | None = None, *, refine: bool) -> Networks:
    refined = TTGPRInferer(Velocity(), window_px=WINDOW_PX) if refine else None
    return Networks(WindowedInferer(WINDOW_PX), refined, Spots())


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (command, study):
        monkeypatch.setattr(module, "load_networks", networks)


@pytest.fixture(scope="module")
def negatives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two breast-like ellipses with texture, 8 bit, 0.1 mm."""
    folder = tmp_path_factory.mktemp("negatives")
    rows, columns = np.mgrid[:360, :300]
    inside = ((rows - 180) / 170) ** 2 + (columns / 260) ** 2 < 1
    for seed, name in enumerate(("a", "b")):
        rng = np.random.default_rng(seed)
        texture = 25 * ndimage.gaussian_filter(rng.normal(0, 30, inside.shape), 6) + rng.normal(120, 4, inside.shape)
        Image.fromarray(np.where(inside, np.clip(texture, 40, 220), 0).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def words(negatives: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--spacing-mm", str(SPACING_MM), "--crop-mm", "14", "--crops", "1", "--injections", "1"]
    return [str(negatives), "--output-dir", str(out), *fixed, *more]


def test_a_site_s_table_is_one_that_segment_reads_and_a_second_run_repeats_it(
    toy: None, negatives: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ["--systems", "segmentor", "ttgpr"]
    main(words(negatives, tmp_path, *both))
    assert capsys.readouterr().out.startswith("2 negatives, 4 cases. Price: segmentor on 4 views, about ")
    path = tmp_path / "operating_points.json"
    table = json.loads(path.read_text())
    assert set(table) == {"segmentor", "ttgpr", "made_by"}
    assert str(negatives) not in path.read_text()
    for method in ("segmentor", "ttgpr"):
        row = table[method]
        assert choose_threshold(path, method=method) == row["best_threshold"]
        wanted = float(np.median([rate for rate in row["fp_per_cm2"] if rate > 0]))
        assert 0 < choose_threshold(path, method=method, fp_per_cm2=wanted) < 1
    assert table["segmentor"]["best_f2"] > 0
    # Nothing is counted a second time.
    monkeypatch.setattr(command, "counts_at", None)
    main(words(negatives, tmp_path, *both))
    assert json.loads(path.read_text()) == table


def test_company_gets_weights_of_the_site_that_segment_reads(toy: None, negatives: Path, tmp_path: Path) -> None:
    main(words(negatives, tmp_path, "--systems", "augmentation", "company"))
    path = tmp_path / "operating_points.json"
    settings = company_settings(path)
    assert settings != company_settings(ROOT / "models" / "operating_points.json")
    assert (settings.threshold, settings.weight_score) == (0.005, 0)
    row = json.loads(path.read_text())["company"]
    assert choose_threshold(path, method="company") == row["best_threshold"]
    # The counts are those of these weights.
    assert row["fp_per_cm2"] != json.loads(path.read_text())["augmentation"]["fp_per_cm2"]


@pytest.mark.train
def test_settings_are_chosen_on_the_site_s_own_cases(toy: None, negatives: Path, tmp_path: Path) -> None:
    main(words(negatives, tmp_path, "--refine", "--trials", "2", "--min-precision", "0"))
    best = json.loads((tmp_path / "best.json").read_text())
    table = json.loads((tmp_path / "operating_points.json").read_text())
    assert best["trials"] == 2
    assert set(table) == {"segmentor", "augmentation", "company", "evidence", "ttgpr", "made_by"}


def test_the_price_alone_writes_no_table(
    toy: None, negatives: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    main(words(negatives, tmp_path, "--price-only"))
    price = capsys.readouterr().out.split("cases. ")[1]
    assert re.match(
        r"Price: segmentor on 4 views, about \d+\.\d minutes; augmentation on 4 views, about \d+\.\d minutes\n", price
    )
    assert not (tmp_path / "operating_points.json").exists()


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--crop-mm", "-1"], "Expected crops of a side > 0 mm"),
        (["--crop-mm", "500"], "crops with breast, found 0"),
        (["--injections", "0"], "at least one crop and one injection"),
        (["--spacing-mm", "-1"], "spacing"),
    ],
)
def test_wrong_options_are_one_line(toy: None, negatives: Path, tmp_path: Path, more: list[str], line: str) -> None:
    with pytest.raises(SystemExit, match=line) as status:
        main(words(negatives, tmp_path / "out", *more))
    assert len(str(status.value.code).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_wrong_files_are_one_line(toy: None, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Expected an existing file or folder"):
        main(words(tmp_path / "nowhere", tmp_path / "out"))
    (tmp_path / "text.dcm").write_text("no view")
    with pytest.raises(SystemExit, match=r"text\.dcm") as status:
        main(words(tmp_path, tmp_path / "out"))
    assert len(str(status.value.code).splitlines()) == 1


# Cases.


def site(negatives: Path, **options: Any) -> tuple[SiteCrops, list[str]]:
    def read(item: dict[str, str]) -> dict[str, Any]:
        image = np.asarray(Image.open(item["image"]), np.float32) / 127.5 - 1
        tensor = torch.from_numpy(image)[None]
        tensor.meta = {"spacing_mm": (SPACING_MM, SPACING_MM)}  # type: ignore[attr-defined]
        return {"image": tensor, "breast": tensor > -1}

    return SiteCrops(read, **options), [str(path) for path in sorted(negatives.glob("*.png"))]


def test_a_clean_crop_and_its_injection_differ_by_calcifications_alone(negatives: Path) -> None:
    crops, paths = site(negatives, crop_mm=14.0)
    clean, injected = (crops.load(crop) for crop in crops.crops(paths[:1], crops_per_view=1, injections=1))
    assert not (clean["label"] == 1).any()
    assert (injected["label"] == 1).any()
    assert np.array_equal(clean["breast"], injected["breast"])
    assert (injected["image"] >= clean["image"]).all()
    assert injected["image"][injected["label"] == 1].mean() > clean["image"][injected["label"] == 1].mean()


def test_a_view_gives_as_many_crops_as_it_has_and_a_whole_view_one(negatives: Path) -> None:
    crops, paths = site(negatives, crop_mm=14.0)
    found = crops.crops(paths, crops_per_view=50, injections=0)
    assert 2 < len(found) < 20
    assert {crop.injection for crop in found} == {None}
    whole, paths = site(negatives, crop_mm=None)
    one, *others = whole.crops(paths, crops_per_view=5, injections=0)
    assert len(others) == 1
    assert whole.load(one)["image"].shape == (360, 300)


def test_spots_that_may_be_calcifications_are_ignored(negatives: Path, tmp_path: Path) -> None:
    image = np.asarray(Image.open(negatives / "a.png")).copy()
    image[180:183, 100:103] = 255
    Image.fromarray(image).save(tmp_path / "spot.png")
    crops, paths = site(tmp_path, crop_mm=None)
    (clean,) = crops.crops(paths, crops_per_view=1, injections=0)
    label = crops.load(clean)["label"]
    assert label[181, 101] == 2
    assert not (label == 1).any()


def test_injections_depend_on_the_name_of_the_file_and_the_seed_alone(negatives: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes((negatives / "a.png").read_bytes())
    images = []
    for folder, seed in ((negatives, 0), (tmp_path, 0), (tmp_path, 1)):
        crops, paths = site(folder, crop_mm=14.0, seed=seed)
        images.append(crops.load(crops.crops(paths[:1], crops_per_view=1, injections=1)[1])["image"])
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_what_is_kept_changes_with_the_seed_and_the_reading(negatives: Path) -> None:
    settings = []
    for seed, reading in ((0, None), (1, None), (0, {"voi": 1})):
        crops, paths = site(negatives, crop_mm=14.0, seed=seed)
        settings.append(site_cases(paths[:1], crops, crops_per_view=1, injections=1, reading=reading)[1].settings)
    assert len(set(settings)) == 3


def test_pixels_that_are_not_square_are_refused(negatives: Path) -> None:
    crops, paths = site(negatives)
    plain = crops.read

    def read(item: Any) -> Any:
        data = plain(item)
        data["image"].meta["spacing_mm"] = (0.1, 0.2)
        return data

    crops.read = read
    with pytest.raises(MammogramError, match="square pixels"):
        crops.crops(paths, crops_per_view=1, injections=1)


# Figures.


def test_counts_are_kept_and_clean_views_are_those_without_calcifications(tmp_path: Path) -> None:
    label = np.zeros((40, 40), np.uint8)
    label[10:12, 10:12] = 1
    views = [
        {"label": one, "breast": np.ones(label.shape, bool), "spacing_mm": (0.5, 0.5)} for one in (label, 2 * label)
    ]
    cases = [Case(str(n), str(n), "set", str(n), lambda view=view: view) for n, view in enumerate(views)]  # type: ignore[misc]
    logits = np.full(label.shape, -20.0)
    logits[10:12, 10:12], logits[30, 30] = 2.0, 0.1
    system = MapSystem("toy", lambda view: logits, "1")
    measured = measure(system, cases, KeptMaps(tmp_path / "maps"), tmp_path / "counts")
    assert measured.clean.tolist() == [False, True]
    assert measured.area_cm2.tolist() == [4.0, 4.0]
    assert measured.counts[:, DEFAULT].tolist() == [[1, 1, 0], [0, 1, 0]]
    assert measured.fp_per_cm2[DEFAULT] == 0.25
    # Between the false object's probability and the true one's nothing is wrong.
    assert 0.525 < THRESHOLDS[measured.best] < 0.881
    table = site_table({"toy": measured}, made_by="a test")
    assert (table["toy"]["best_threshold"], table["toy"]["best_f2"]) == (THRESHOLDS[measured.best], 1.0)
    again = measure(MapSystem("toy", lambda view: 1 / 0, "1"), cases, KeptMaps(tmp_path), tmp_path / "counts")
    np.testing.assert_array_equal(again.counts, measured.counts)


def made_up(seed: int, views: int = 6, *, best: int) -> Measured:
    """Counts whose F2 is best at one place, and false objects that fall towards high thresholds."""
    rng, places = np.random.default_rng(seed), np.arange(len(THRESHOLDS))
    counts = np.zeros((views, len(THRESHOLDS), 3))
    for view in range(views):
        calcified = view < views - 2
        found = np.clip(10 - np.maximum(places - best, 0), 0, 10) * calcified
        counts[view, :, 0], counts[view, :, 2] = found, 10 * calcified - found
        counts[view, :, 1] = np.maximum(best - places, 0) + int(rng.integers(1, 3))
    return Measured(counts, np.full(views, 10.0))


def test_the_share_closed_is_one_where_the_site_s_threshold_is_the_best_and_none_at_the_default() -> None:
    patients = tuple("abcdef")
    right = Condition("dose", "segmentor", made_up(0, best=50), made_up(1, best=50), patients)
    row = compared(right, made_up(2, best=40))
    assert row["share"]["value"] == 1.0
    assert row["gain"]["value"] == pytest.approx(row["f2"]["oracle"]["value"] - row["f2"]["default"]["value"])
    assert row["gain"]["value"] > 0
    idle = compared(Condition("dose", "segmentor", made_up(0, best=DEFAULT), made_up(1, best=50), patients), None)
    assert idle["share"]["value"] == idle["gain"]["value"] == 0
    assert "reference" not in idle["got"]


def test_a_rate_that_is_asked_for_is_kept_where_it_was_measured() -> None:
    measured = made_up(0, best=50)
    rate = float(measured.fp_per_cm2[30])
    place = place_of_rate(measured, rate)
    assert place is not None
    assert measured.fp_per_cm2[place] <= rate
    assert place_of_rate(measured, 1e6) is None


def test_tables_and_picture_show_every_row() -> None:
    patients = tuple("abcdef")
    rows = [
        compared(Condition(name, system, made_up(0, best=50), made_up(1, best=best), patients), made_up(2, best=40))
        for system in ("segmentor", "ttgpr")
        for name, best in (("dose", 50), ("pixel", DEFAULT))
    ]
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 * (2 + len(rows)) + 1
    assert all(line.count("|") == 8 for line in lines if line)
    # Where the default is the best there is no gap to close.
    assert lines[3].endswith("| - |")
    assert picture(rows).startswith(b"\x89PNG")


@pytest.mark.parametrize("split", sorted(SPLITS))
def test_a_site_s_negatives_are_clean_and_in_no_split(split: str) -> None:
    taken = {case.parameters.seed for name in SPLITS for case in shift_cases(name, CONDITIONS[0])}
    for condition in CONDITIONS:
        cases = site_negatives(condition, count=5, split=split)
        assert not any(case.calcified or case.parameters.distribution for case in cases)
        assert {case.condition for case in cases} == {condition}
        seeds = {case.parameters.seed for case in cases}
        assert len(seeds) == 5
        assert not seeds & taken


def test_unknown_conditions_and_splits_are_named() -> None:
    with pytest.raises(ValueError, match="condition among"):
        site_negatives("noise", count=1)
    with pytest.raises(ValueError, match="split among"):
        site_negatives("dose", count=1, split="training")


@pytest.mark.slow
def test_the_study_runs_from_rendering_to_table_and_again(
    toy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundle.data.shift_benchmark.SPLITS", {"tuning": (1, 1), "test": (2, 1)})
    arguments = ["--output-dir", str(tmp_path), "--conditions", "dose", "--negatives", "1", "--injections", "1"]
    arguments += ["--systems", "segmentor", "company"]
    study.main(arguments)
    text = (tmp_path / "calibration.md").read_text()
    assert "| dose | segmentor |" in text
    assert "| dose | company |" in text
    monkeypatch.setattr(command, "counts_at", None)
    study.main(arguments)
    assert (tmp_path / "calibration.md").read_text() == text
