"""Which trainings the ablation starts, which views it scores, and what its table says; nothing is trained here."""

import ast
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from PIL import Image
from torch import nn

from bundle.data.shift_benchmark import SEED_RANGES, ShiftCase, nifti_of
from bundle.functional.case_record import score_case
from bundle.functional.confusion import IGNORE, MICROCALCIFICATION
from bundle.networks import Restormer
from bundle.transforms import RandInjectMicrocalcificationsd
from scripts import ablate
from scripts.ablate_table import SHOWN
from scripts.ablate_variants import FULL, Variant, all_variants, chosen_variants

# A network so small that a forward pass is nothing.
TINY = {"network_def::dim": 8, "network_def::num_blocks": [1, 1, 1, 1], "network_def::num_decoder_blocks": [1, 1, 1]}


def config() -> ConfigParser:
    return ConfigParser(ConfigParser.load_config_file(str(ablate.CONFIG)))


VARIANTS = all_variants(config())
NORMALS_ONLY = {name for name, variant in VARIANTS.items() if variant.needs_normals}


def typed(variant: Variant) -> ConfigParser:
    """The config as it is after the overrides came through a command line."""
    parser = config()
    for name, value in variant.overrides.items():
        parser[name] = DefaultParseValue(str(value))
    return parser


def steps(variant: Variant) -> dict[str, Any]:
    """The random transforms of a variant by type."""
    return {type(step).__name__: step for step in typed(variant).get_parsed_content("train::preprocessing").transforms}


# Variants.


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_overrides_survive_the_command_line(variant: Variant) -> None:
    for value in variant.overrides.values():
        assert DefaultParseValue(str(value)) == value


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_only_the_full_recipe_and_that_without_real_views_change_nothing(variant: Variant) -> None:
    assert (typed(variant).get() == config().get()) == (variant.name in (FULL, "no-real"))


def _state(step: Any) -> dict[str, str]:
    # Not its random state, which every one starts with its own of.
    return {name: repr(value) for name, value in vars(step).items() if name != "R"}


@pytest.mark.parametrize(
    ("name", "step", "attribute", "expected"),
    [
        ("no-hard-negatives", "RandInjectMicrocalcificationsd", "hard_negatives", {}),
        ("no-detector", "RandDetectord", "prob", 0.0),
        ("no-noise", "RandQuantumNoised", "prob", 0.0),
        ("no-density", "RandInjectMicrocalcificationsd", "density_aware", False),
        ("no-floor", "RandInjectMicrocalcificationsd", "ignore_faint", False),
        ("no-pixel-size", "RandBreastCropd", "scale", [1.0, 1.0]),
    ],
)
def test_a_variant_switches_one_setting_and_no_other(name: str, step: str, attribute: str, expected: Any) -> None:
    full, off = steps(VARIANTS[FULL]), steps(VARIANTS[name])
    assert getattr(off[step], attribute) == expected
    changed = {
        (kind, key) for kind in full for key, value in _state(full[kind]).items() if _state(off[kind])[key] != value
    }
    assert changed == {(step, attribute)}


@pytest.mark.parametrize(
    ("name", "attribute", "expected"),
    [
        ("thickness-only", "by_thickness_share", 1.0),
        ("thickness-never", "by_thickness_share", 0.0),
        ("grouped-only", "distributions", {"grouped": 1.0}),
        ("ovals-only", "shape_shares", (1.0, 0.0, 0.0, 0.0)),
        ("no-empty", "empty_share", 0.0),
    ],
)
def test_a_variant_switches_one_range_and_no_other(name: str, attribute: str, expected: Any) -> None:
    full, off = (steps(VARIANTS[which])["RandInjectMicrocalcificationsd"].ranges for which in (FULL, name))
    assert getattr(off, attribute) == expected
    assert {key for key, value in vars(full).items() if vars(off)[key] != value} == {attribute}


def test_every_hard_negative_of_the_recipe_has_a_variant_without_it_alone() -> None:
    drawn = config()["hard_negatives"]
    for kind in drawn:
        assert typed(VARIANTS[f"no-{kind}"])["hard_negatives"] == {**drawn, kind: 0.0}


def test_a_hard_negative_that_is_off_by_default_is_no_variant() -> None:
    parser = config()
    parser["hard_negatives::dust"] = 0.0
    assert "no-dust" not in all_variants(parser)


def test_without_clipping_no_handler_clips() -> None:
    def kinds(variant: Variant) -> list[str]:
        handlers = typed(variant)["train::handlers"][:2]
        parser = ConfigParser({"network": nn.Linear(1, 1), "handlers": handlers, "max_grad_norm": 1.0})
        return [type(handler).__name__ for handler in parser.get_parsed_content("handlers")]

    assert kinds(VARIANTS[FULL]) == ["StopOnNonFiniteLoss", "ClipGradients"]
    assert kinds(VARIANTS["no-clipping"]) == ["StopOnNonFiniteLoss"]


def test_without_screening_views_are_read_all_the_same() -> None:
    def loading(variant: Variant) -> list[Any]:
        return typed(variant)["train::dataset::load::transforms"]

    first, *others, last = loading(VARIANTS[FULL])
    assert (first, last) == ("@preprocessing", "@screening")
    assert loading(VARIANTS["no-screening"]) == [first, *others]
    # The views that other trainings have kept on disk are screened.
    assert typed(VARIANTS["no-screening"])["train::dataset::cache_settings"] not in (
        typed(variant)["train::dataset::cache_settings"]
        for variant in VARIANTS.values()
        if variant.name != "no-screening"
    )


def test_without_the_floor_faint_puncta_are_labelled_and_the_image_is_the_same() -> None:
    def pair(ignore_faint: bool) -> tuple[np.ndarray, np.ndarray]:
        ranges = {"empty_share": 0.0, "cnr": (1.0, 4.0), "clusters": (2, 2)}
        transform = RandInjectMicrocalcificationsd(ranges=ranges, ignore_faint=ignore_faint)
        transform.set_random_state(3)
        noise = np.random.default_rng(0).normal(0, 0.05, (1, 128, 128)).astype(np.float32)
        out = transform({"image": torch.from_numpy(noise), "spacing_mm": 0.1})
        return out["image"].numpy(), out["label"].numpy()

    (image, label), (same, all_of_them) = pair(True), pair(False)
    assert (label == IGNORE).any()
    np.testing.assert_array_equal(image, same)
    np.testing.assert_array_equal(all_of_them, np.where(label == IGNORE, MICROCALCIFICATION, label))


def test_variants_that_need_normals_are_left_out_without_and_refused_by_name() -> None:
    every = {variant.name for variant in chosen_variants(VARIANTS, None, normals=True)}
    without = {variant.name for variant in chosen_variants(VARIANTS, None, normals=False)}
    assert every - without == NORMALS_ONLY == {"no-screening", "no-phantoms", "no-real"}
    with pytest.raises(ValueError, match="Expected --normals with the variant no-real"):
        chosen_variants(VARIANTS, ["no-real"], normals=False)
    with pytest.raises(ValueError, match="'no-luck'"):
        chosen_variants(VARIANTS, ["no-luck"], normals=True)


def test_variants_of_the_start_are_left_out_at_the_other_start_and_refused_by_name() -> None:
    scratch, trained = (
        {variant.name for variant in chosen_variants(VARIANTS, None, normals=True, weights=weights)}
        for weights in (False, True)
    )
    assert scratch | trained == set(VARIANTS)
    assert scratch - trained == {"no-high-pass"}
    assert trained - scratch == {"no-object-loss", "object-loss-only"}
    with pytest.raises(ValueError, match="no-object-loss; pass --initial-weights"):
        chosen_variants(VARIANTS, ["no-object-loss"], normals=True)
    with pytest.raises(ValueError, match="no-high-pass; leave --initial-weights out"):
        chosen_variants(VARIANTS, ["no-high-pass"], normals=True, weights=True)


def test_other_initial_weights_are_another_training_wherever_they_lie(tmp_path: Path) -> None:
    folders = []
    for number, content in enumerate(("a", "a", "b")):
        path = tmp_path / f"{number}.pt"
        path.write_text(content)
        (job,) = ablate.jobs_of([VARIANTS[FULL]], config(), {"initial_weights": str(path)}, {}, tmp_path)
        folders.append(job.folder)
    assert folders[0] == folders[1] != folders[2]


def test_the_full_recipe_always_comes_first() -> None:
    assert [variant.name for variant in chosen_variants(VARIANTS, ["no-rim"], normals=False)] == [FULL, "no-rim"]


def test_a_recipe_without_an_ingredient_that_is_to_be_switched_is_refused() -> None:
    parser = config()
    del parser["train::preprocessing::transforms"][-1]
    with pytest.raises(ValueError, match="Expected RandDetectord in train::preprocessing::transforms"):
        all_variants(parser)


# Runs, with the trainings and the rendering replaced.


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[ShiftCase]:
    """Views that were asked for; tiny ones are given."""
    asked: list[ShiftCase] = []

    def write(directory: Path, cases: Sequence[ShiftCase]) -> list[dict[str, str]]:
        asked.extend(cases)
        directory.mkdir(parents=True, exist_ok=True)
        items = []
        for number, case in enumerate([cases[0], cases[1], cases[-1]]):
            rng = np.random.default_rng(number)
            rows, columns = np.mgrid[:96, :80]
            breast = ((rows - 48) / 44) ** 2 + (columns / 70) ** 2 < 1
            label = np.zeros(breast.shape, np.uint8)
            if case.calcified:
                label[30:33, 20:23] = label[60:63, 30:33] = 1
            image = np.where(breast, rng.normal(9000, 300, breast.shape) + 4000.0 * label, 0).astype(np.uint16)
            stem = directory / case.name
            nib.save(nifti_of(image, (0.1, 0.1)), f"{stem}.nii")
            Image.fromarray(label).save(f"{stem}.png")
            said = {"case": case.name, "patient": case.patient, "condition": case.condition}
            items.append({"image": f"{stem}.nii", "label": f"{stem}.png", **said})
        return items

    monkeypatch.setattr("scripts.benchmark.write_cases", write)
    return asked


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Options of each training that was started; each leaves a tiny network of its own, which is what is scored."""
    started: list[dict[str, Any]] = []
    shipped = ablate.shipped_inferers

    def run(command: list[str], **_: object) -> None:
        options = {name[2:]: value for name, value in zip(command[5::2], command[6::2], strict=True)}
        started.append(options)
        # Equal but for the input channels, so that equal networks must score the same.
        torch.manual_seed(0)
        parser = config()
        for name, value in TINY.items():
            parser[name] = value
        if "network_def::high_pass_gain" in options:
            parser["network_def::high_pass_gain"] = float(options["network_def::high_pass_gain"])
        network: Restormer = parser.get_parsed_content("network_def")
        Path(options["output_dir"]).mkdir(parents=True)
        torch.save(network.state_dict(), Path(options["output_dir"]) / "model.pt")

    def small(folder: Path, **overrides: Any) -> Any:
        return shipped(folder, device="cpu", window_px=64, **TINY, **overrides)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(ablate, "shipped_inferers", small)
    monkeypatch.setattr(ablate, "seconds_per_step", lambda parser: 0.5)
    return started


@pytest.fixture
def unscored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the variants in the latest table; scores are left out, which takes most of the time."""
    latest: list[str] = []

    def write(records: Any, jobs: Sequence[ablate.Job], output: Path) -> str:
        latest[:] = [job.variant.name for job in jobs]
        return ""

    monkeypatch.setattr(ablate, "score_variant", lambda *_: [])
    monkeypatch.setattr(ablate, "write_tables", write)
    return latest


def ablation(output: Path, *words: str) -> int:
    return ablate.main(["--output-dir", str(output), *words])


def test_only_tuning_views_are_ever_asked_for(
    tmp_path: Path, runs: list[dict[str, Any]], views: list[ShiftCase]
) -> None:
    assert ablation(tmp_path, "--variants", "no-dust") == 0
    assert views
    first, stop = SEED_RANGES["tuning"]
    for case in views:
        assert (case.split, case.condition) == ("tuning", "reference")
        assert first <= case.parameters.seed < stop
    scored = json.loads((tmp_path / "ablation.json").read_text())
    assert {row["dataset"] for row in scored} == {"shift tuning"}
    cases = [json.loads(path.read_text())["record"]["case"] for path in (tmp_path / "records").rglob("*.json")]
    assert cases
    assert all(case.startswith("tuning-") for case in cases)


def test_variants_differ_from_the_full_recipe_in_their_overrides_alone(
    tmp_path: Path, runs: list[dict[str, Any]], views: list[ShiftCase], unscored: list[str]
) -> None:
    names = ["no-dust", "no-high-pass", "grouped-only"]
    ablation(tmp_path, "--variants", *names, "--epochs", "2", "--seed", "7")
    full = runs[0]
    assert (full["epochs"], full["seed"], "dataset_dir" in full) == ("2", "7", False)
    for options, name in zip(runs[1:], sorted(names, key=list(VARIANTS).index), strict=True):
        assert options["output_dir"] != full["output_dir"]
        same = {key: value for key, value in full.items() if key != "output_dir"}
        told = {key: str(value) for key, value in VARIANTS[name].overrides.items()}
        assert {key: value for key, value in options.items() if key != "output_dir"} == {**same, **told}


def test_equal_networks_differ_by_nothing_and_a_second_run_trains_and_scores_nothing(
    tmp_path: Path, runs: list[dict[str, Any]], views: list[ShiftCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ablation(tmp_path, "--variants", "no-dust", "no-high-pass") == 0
    table = (tmp_path / "ablation.json").read_text()
    full, equal, _ = json.loads(table)
    assert full["system"] == FULL
    assert full["differences"] == {}
    assert equal["system"] == "no-dust"
    assert equal["figures"] == full["figures"]
    assert {value["value"] for value in equal["differences"].values()} <= {0.0, None}
    assert set(equal["differences"]) == set(equal["figures"]) == set(SHOWN)
    markdown = (tmp_path / "ablation.md").read_text()
    assert all(f"| {name} |" in markdown for name in (FULL, "no-dust", "no-high-pass"))
    assert (tmp_path / "ablation.csv").read_text().count("no-dust") == len(SHOWN)
    assert (tmp_path / "ablation_shift_tuning.png").stat().st_size > 1000
    monkeypatch.setattr("bundle.engines.benchmark.score_case", None)
    assert ablation(tmp_path, "--variants", "no-dust", "no-high-pass") == 0
    assert len(runs) == 3
    assert (tmp_path / "ablation.json").read_text() == table


def test_what_is_set_changes_all_trainings_alike_and_the_network_that_is_scored(
    tmp_path: Path, runs: list[dict[str, Any]], views: list[ShiftCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[dict[str, Any]] = []
    small = ablate.shipped_inferers

    def seen(folder: Path, **overrides: Any) -> Any:
        scored.append(overrides)
        return small(folder, refine=overrides["refine"])

    monkeypatch.setattr(ablate, "shipped_inferers", seen)
    changes = ["network_def::dim=16", "window_px=128", "run_name=small", "hard_negatives::rim=0.3"]
    assert ablation(tmp_path, "--variants", "no-rim", "--set", *changes) == 0
    for options in runs:
        assert (options["network_def::dim"], options["window_px"], options["run_name"]) == ("16", "128", "small")
    assert [options["hard_negatives::rim"] for options in runs] == ["0.3", "0.0"]
    assert scored == [{"refine": False, "network_def::dim": 16, "window_px": 128}] * 2


@pytest.mark.parametrize("text", ["windowpx=3", "window_px"])
def test_what_cannot_be_set_is_refused_in_one_line(
    text: str, tmp_path: Path, runs: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablation(tmp_path, "--set", text) == 1
    assert repr(text) in capsys.readouterr().err
    assert runs == []


def test_other_options_are_other_trainings(
    tmp_path: Path, runs: list[dict[str, Any]], views: list[ShiftCase], unscored: list[str]
) -> None:
    for epochs in ("1", "2"):
        ablation(tmp_path, "--variants", FULL, "--epochs", epochs)
    assert [options["epochs"] for options in runs] == ["1", "2"]
    assert runs[0]["output_dir"] != runs[1]["output_dir"]


def _failing(name: str, run: Callable[..., None]) -> Callable[..., None]:
    def fails(command: list[str], **options: object) -> None:
        if f"{name}-" in command[command.index("--output_dir") + 1]:
            raise subprocess.CalledProcessError(3, command)
        run(command, **options)

    return fails


def test_a_variant_whose_training_breaks_is_told_and_the_others_go_on(
    tmp_path: Path,
    runs: list[dict[str, Any]],
    views: list[ShiftCase],
    unscored: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(subprocess, "run", _failing("no-rim", subprocess.run))
    assert ablation(tmp_path, "--variants", "no-rim", "no-dust") == 1
    assert unscored == [FULL, "no-dust"]
    assert "Trainings that failed: no-rim" in capsys.readouterr().out


def test_without_the_full_recipe_there_is_nothing_to_compare_with(
    tmp_path: Path, runs: list[dict[str, Any]], views: list[ShiftCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", _failing(FULL, subprocess.run))
    assert ablation(tmp_path, "--variants", "no-dust") == 1
    assert runs == []


def test_the_price_counts_steps_of_what_is_to_do_and_starts_nothing(
    tmp_path: Path,
    runs: list[dict[str, Any]],
    views: list[ShiftCase],
    unscored: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ablation(tmp_path, "--price-only", "--variants", "no-dust", "grouped-only", "--epochs", "6")
    assert runs == views == []
    assert list(tmp_path.iterdir()) == []
    printed = capsys.readouterr().out
    per_epoch = config()["iterations_per_epoch"]
    steps = 3 * 6 * per_epoch
    assert f"3 of 3 trainings to do: {steps} steps, about {steps * 0.5 / 60:.0f} minutes at 0.50 s a step" in printed
    assert "--injection_ranges::distributions '{'\"'\"'grouped'\"'\"': 1.0}'" in printed
    ablation(tmp_path, "--variants", "no-dust", "--epochs", "6")
    capsys.readouterr()
    ablation(tmp_path, "--price-only", "--variants", "no-dust", "grouped-only", "--epochs", "6")
    assert f"1 of 3 trainings to do: {6 * per_epoch} steps" in capsys.readouterr().out


def test_a_step_takes_time() -> None:
    parser = config()
    # Left to the config, the weight would be read off the views, and two dozen phantoms rendered for it.
    small = {**TINY, "device": "cpu", "batch_size": 1, "window_px": 64, "lambda_objects": 1.0}
    for name, value in small.items():
        parser[name] = value
    assert 0 < ablate.seconds_per_step(parser) < 60


# Real normals.


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    folder = tmp_path / "normals"
    folder.mkdir()
    for name in ("a_L", "a_R", "b", "c", "d", "e"):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / f"{name}.png")
    return folder


def test_no_variant_trains_on_what_is_held_out(
    normals: Path,
    tmp_path: Path,
    runs: list[dict[str, Any]],
    views: list[ShiftCase],
    unscored: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored: dict[str, Any] = {}
    monkeypatch.setattr(ablate, "held_out_cases", lambda exams, spacing_mm: scored.update(exams) or [])
    words = ["--normals", str(normals), "--variants", "no-phantoms", "no-real", "no-screening"]
    assert ablation(tmp_path / "out", *words) == 0
    assert list(scored) == ["a", "e"]
    full, screening, phantoms, real = runs
    for options in (full, screening, phantoms):
        assert options["dataset_dir"] == str(normals)
        assert ast.literal_eval(options["exclude"]) == ["a_L.png", "a_R.png", "e.png"]
    assert "dataset_dir" not in real
    assert (phantoms["phantom_count"], "phantom_count" in full) == ("0", False)


def test_held_out_exams_must_exist_and_leave_some() -> None:
    exams = {name: [f"{name}.png"] for name in "abc"}
    assert ablate.held_out_exams(exams, ["b"]) == {"b": ["b.png"]}
    with pytest.raises(ValueError, match="Expected exams among a, b, c, got x"):
        ablate.held_out_exams(exams, ["x"])
    with pytest.raises(ValueError, match="all 3 are held out"):
        ablate.held_out_exams(exams, list("abc"))


def test_held_out_crops_carry_other_calcifications_than_the_benchmark(normals: Path) -> None:
    cases = ablate.held_out_cases({"a": [str(normals / "a_L.png")]}, 0.07)
    assert [case.case.split("crop ")[1] for case in cases] == [
        "0 clean",
        *(f"0 injection {1000 + n}" for n in range(4)),
    ]
    assert {(case.dataset, case.patient) for case in cases} == {("real held out", "a")}
    assert len({case.settings for case in cases}) == len(cases)


# The table.


def _record(system: str, patient: str, found: int, false: int) -> dict[str, Any]:
    """A view of 1 cm2 with two objects, or none; `found` of them and `false` others are marked."""
    label = np.zeros((100, 100), np.uint8)
    probs = np.zeros((100, 100))
    if not patient.startswith("clean"):
        label[20:23, 20:23] = label[60:63, 60:63] = 1
        for place in (20, 60)[:found]:
            probs[place : place + 3, place : place + 3] = 0.9
    for number in range(false):
        probs[90:92, 10 * number : 10 * number + 2] = 0.9
    return score_case(
        probs,
        label,
        **{"case": patient, "patient": patient, "system": system, "dataset": "shift tuning"},
        spacing_mm=(0.1, 0.1),
        region_name="image",
        region=None,
        threshold=0.5,
        froc_thresholds=[0.5],
    )


def test_differences_are_variant_minus_full_and_bold_where_sure(tmp_path: Path) -> None:
    jobs = [ablate.Job(VARIANTS[name], {}, tmp_path) for name in (FULL, "no-rim")]
    records = [_record(FULL, f"p{n}", 2, 0) for n in range(4)] + [_record(FULL, "clean1", 0, 0)]
    records += [_record("no-rim", f"p{n}", 1, 0) for n in range(4)] + [_record("no-rim", "clean1", 0, 3)]
    text = ablate.write_tables(records, jobs, tmp_path)
    _, row = json.loads((tmp_path / "ablation.json").read_text())
    # One of two found and nothing false: 5 TP / (5 TP + 4 FN) = 5 / 9 in every patient.
    assert row["differences"]["object_f2"]["value"] == pytest.approx(5 / 9 - 1)
    assert row["differences"]["fp_per_cm2"]["value"] == pytest.approx(3.0)
    line = next(line for line in text.splitlines() if line.startswith("| no-rim |"))
    assert "**-0.444 [-0.444, -0.444]**" in line
    assert line.count("|") == 3 + 2 * len(SHOWN)


# As a command.


@pytest.mark.slow
@pytest.mark.train
def test_from_training_to_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of real training with and without an override."""
    monkeypatch.setattr("bundle.data.shift_benchmark.SPLITS", {"tuning": (2, 1), "test": (0, 0)})
    small = {"iterations_per_epoch": 2, "batch_size": 1, "window_px": 64, "num_workers": 0, "phantom_count": 1}
    small |= {"validate::files::count": 1, **TINY}
    monkeypatch.setattr(ablate, "seconds_per_step", lambda parser: 0.5)
    trained, shipped = ablate.train, ablate.shipped_inferers
    monkeypatch.setattr(
        ablate, "train", lambda name, folder, file, options: trained(name, folder, file, options | small)
    )
    monkeypatch.setattr(ablate, "shipped_inferers", lambda *a, **options: shipped(*a, window_px=64, **TINY, **options))
    names = ["ovals-only"]
    assert ablation(tmp_path, "--epochs", "1", "--variants", *names) == 0
    rows = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["system"] for row in rows] == [FULL, *names]
    assert all(row["n_cases"] == 3 for row in rows)
    weights = [torch.load(path, weights_only=True) for path in sorted(tmp_path.glob("runs/*/model.pt"))]
    assert len(weights) == 2
    first = weights[0]["output.weight"]
    assert all(not torch.equal(first, other["output.weight"]) for other in weights[1:])
