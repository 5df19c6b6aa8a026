"""The loop over systems and cases, with toy systems and small views."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.engines import Evaluator
from PIL import Image
from torch import nn

from bundle.data import MammogramError
from bundle.data.evaluation_cases import EvaluationCases
from bundle.engines import evaluation as module
from bundle.engines.evaluation import (
    FROC_LOGITS,
    Evaluation,
    EvaluationReport,
    System,
    check_evaluation,
    fingerprint,
    run_evaluation,
    shown_cases,
    table_metrics,
)
from tests.data.inbreast_files import POINT, POLYGON, write_inbreast

SHAPE = (72, 80)
SPACING_MM = (0.1, 0.1)
LESION = (slice(20, 23), slice(30, 33))


def read_view(item: dict[str, str]) -> dict[str, Any]:
    """Reads a grey PNG as a windowed view; the left half is the breast."""
    pixels = np.asarray(Image.open(item["image"]))
    if pixels.max() == 0:
        raise MammogramError(f"{item['image']}: Expected an image, got 0 at every pixel; leave it out")
    image = MetaTensor(torch.from_numpy(pixels / np.float32(127.5) - 1)[None])
    image.meta["spacing_mm"] = np.array(SPACING_MM)
    breast = torch.zeros(1, *SHAPE, dtype=torch.bool)
    breast[..., : SHAPE[1] // 2] = True
    return {"image": image, "breast": breast}


class Brightness:
    """Finds what is bright; counts its calls."""

    def __init__(self, level: float = 0.5) -> None:
        self.level = level

    def __call__(self, image: torch.Tensor, network: Any = None) -> torch.Tensor:
        calls.append(self.level)
        return 10.0 * (image - self.level)


calls: list[float] = []
written: list[dict] = []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two views with a lesion of 9 px, found or missed, and a clean one."""
    calls.clear(), written.clear()
    for name, lesion, grey in (("found", True, 255), ("missed", True, 100), ("clean", False, 100)):
        pixels, mask = np.full(SHAPE, 100, np.uint8), np.zeros(SHAPE, np.uint8)
        pixels[LESION] = grey
        mask[LESION] = 255 * lesion
        for kind, array in (("images", pixels), ("masks", mask)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / kind / f"{name}.png")
    return tmp_path


def _cases(folder: Path, **options: Any) -> EvaluationCases:
    return EvaluationCases(folder / "images", folder / "masks", folder / "out", read_view, **options)


def _write(folder: Path, records: Sequence[dict], **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    written.append({"records": list(records), **options})
    return folder


def _evaluate(cases: EvaluationCases, *, level: float = 0.5, **options: Any) -> dict[str, dict]:
    """Records by case, of a run of one system."""
    assert cases.check() == []
    systems = {"bright": System(inferer=Brightness(level)), "absent": None}
    evaluation = Evaluation(cases, systems, chosen="bright", **options)
    report = EvaluationReport(
        evaluation,
        Path(cases.records_dir).parent,
        _write,
        dict,
        reference="none",
        options={"images": "a b", "no": None},
    )
    evaluator = Evaluator("cpu", cases, iteration_update=evaluation, val_handlers=[evaluation, report])
    run_evaluation(evaluator, evaluation)
    return {record["case"]: record for record in evaluation.records}


def test_records_hold_the_counts(folder: Path) -> None:
    records = _evaluate(_cases(folder))
    breast = SHAPE[0] * SHAPE[1] // 2
    assert records["found"]["pixels"] == {"tp": 9, "fp": 0, "fn": 0, "tn": breast - 9}
    assert records["missed"]["pixels"] == {"tp": 0, "fp": 0, "fn": 9, "tn": breast - 9}
    assert records["clean"]["objects"] == []
    assert [len(record["objects"]) for record in records.values()] == [0, 1, 1]
    assert {record["region"] for record in records.values()} == {"breast"}


def test_the_report_is_made_of_all_records(folder: Path) -> None:
    records = _evaluate(_cases(folder, name="set"))
    (made,) = written
    assert made["records"] == list(records.values())
    assert made["command"].endswith("configs/evaluate.yaml --images 'a b'")
    assert (made["title"], made["systems"], made["reference"]) == ("Evaluation: set", ["bright"], None)
    assert list(made["cases"]) == ["set"]


def test_a_second_run_takes_every_record_from_the_first(folder: Path) -> None:
    first = _evaluate(_cases(folder))
    assert len(calls) == 3
    assert _evaluate(_cases(folder)) == first
    assert len(calls) == 3


def test_a_run_that_stopped_goes_on_where_it_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = module.score_case

    def interrupted(*args: Any, **kwargs: Any) -> dict:
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(*args, **kwargs)

    monkeypatch.setattr(module, "score_case", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _evaluate(_cases(folder))
    monkeypatch.undo()
    assert len(_evaluate(_cases(folder))) == 3
    assert len(calls) == 2 + 2


@pytest.mark.parametrize("changed", ["level", "threshold", "region", "file", "mask", "patient", "reading"])
def test_what_changed_is_never_mixed_with_old_records(
    folder: Path, changed: str, capsys: pytest.CaptureFixture
) -> None:
    _evaluate(_cases(folder))
    table = folder / "patients.csv"
    table.write_text("image,patient\nfound,P\nmissed,P\nclean,P\n")
    if changed in ("file", "mask"):
        path = folder / ("images" if changed == "file" else "masks") / "found.png"
        pixels = np.array(Image.open(path))
        pixels[60, 10] = 255
        Image.fromarray(pixels).save(path)
    other: dict[str, dict[str, Any]] = {
        "region": {"region": "image"},
        "patient": {"patients": table},
        "reading": {"reading": {"voi": 1}},
    }
    cases = _cases(folder, **other.get(changed, {}))
    options = {"level": {"level": 0.6}, "threshold": {"threshold": 0.4}}.get(changed, {})
    assert "made anew" not in capsys.readouterr().out
    _evaluate(cases, **options)
    again = 1 if changed in ("file", "mask") else 3
    assert len(calls) == 3 + again
    assert f"{again} records were of other settings or files" in capsys.readouterr().out


def test_another_system_leaves_records_as_they_are(folder: Path) -> None:
    _evaluate(_cases(folder))
    cases = _cases(folder)
    assert cases.check() == []
    systems = {"bright": System(inferer=Brightness()), "net": System(inferer=Brightness(), network=nn.Linear(1, 1))}
    evaluation = Evaluation(cases, systems, chosen=["net", "bright"])
    run_evaluation(Evaluator("cpu", cases, iteration_update=evaluation, val_handlers=[evaluation]), evaluation)
    assert len(calls) == 6
    assert len(evaluation.records) == 6


def test_a_file_that_changes_under_way_is_refused_and_the_others_go_on(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    cases = _cases(folder)
    assert cases.check() == []
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(folder / "images" / "found.png")
    evaluation = Evaluation(cases, {"bright": System(inferer=Brightness())}, chosen="bright")
    with pytest.raises(SystemExit) as status:
        run_evaluation(Evaluator("cpu", cases, iteration_update=evaluation, val_handlers=[evaluation]), evaluation)
    assert status.value.code == 1
    assert "found.png: Expected an image" in capsys.readouterr().err
    assert [record["case"] for record in evaluation.records] == ["clean", "missed"]


def test_all_problems_are_named_at_once_and_nothing_is_written(folder: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(folder / "images" / "found.png")
    Image.fromarray(np.zeros(SHAPE[::-1], np.uint8)).save(folder / "masks" / "missed.png")
    (folder / "masks" / "clean.png").rename(folder / "masks" / "cleaner.png")
    with pytest.raises(SystemExit) as status:
        check_evaluation(_cases(folder), systems="bright,unknown", known=["bright"], threshold=1.5)
    lines = str(status.value.code).splitlines()
    assert lines.pop() == "6 problems; nothing was run, nothing was written"
    said = ["--systems", "--threshold", "clean.png", "cleaner.png", "found.png", "missed.png"]
    assert [Path(line.removeprefix("error: ").split(":")[0]).name for line in lines] == said
    assert not (folder / "out").exists()


@pytest.mark.parametrize("region", ["lungs", "roi:", "roi:nowhere"])
def test_an_unknown_region_is_a_problem(folder: Path, region: str) -> None:
    (problem,) = _cases(folder, region=region).check()
    assert "Expected" in problem


def test_a_region_of_interest_is_where_figures_are_counted(folder: Path) -> None:
    (folder / "rois").mkdir()
    roi = np.zeros(SHAPE, np.uint8)
    roi[15:25, 31:41] = 255
    for name in ("found", "missed", "clean"):
        Image.fromarray(roi).save(folder / "rois" / f"{name}.png")
    records = _evaluate(_cases(folder, region=f"roi:{folder / 'rois'}"))
    assert records["found"]["pixels"] == {"tp": 6, "fp": 0, "fn": 0, "tn": 94}
    assert records["found"]["region"] == "roi"
    Image.fromarray(0 * roi).save(folder / "rois" / "found.png")
    (problem,) = _cases(folder, region=f"roi:{folder / 'rois'}").check()
    assert "empty mask" in problem


def _xml(folder: Path, **rois: list) -> None:
    for name, listed in rois.items():
        (folder / "masks" / f"{name}.png").unlink()
        write_inbreast(folder / "masks" / f"{name}.xml", listed)


CENTRE = (31.0, 21.0)
SQUARE = [(29.5, 19.5), (32.5, 19.5), (32.5, 22.5), (29.5, 22.5)]


def test_one_view_with_points_makes_points_of_all(folder: Path) -> None:
    _xml(folder, missed=[("Calcification", POINT, [CENTRE])])
    records = _evaluate(_cases(folder))
    assert {record["annotation"] for record in records.values()} == {"points"}
    assert {record["pixels"] for record in records.values()} == {None}
    assert [item["hit"] for item in records["found"]["objects"]] == [True]
    assert [item["hit"] for item in records["missed"]["objects"]] == [False]
    assert (records["found"]["objects"][0]["row_px"], records["found"]["objects"][0]["column_px"]) == (21.0, 31.0)


def test_points_as_pixels_keep_pixel_figures(folder: Path) -> None:
    _xml(folder, missed=[("Calcification", POINT, [CENTRE])], found=[("Calcification", POLYGON, SQUARE)])
    records = _evaluate(_cases(folder, points_as_pixels=True))
    assert records["missed"]["pixels"]["fn"] == 1
    assert records["found"]["pixels"]["tp"] == 9


def test_outlines_go_into_a_set_of_their_own(folder: Path) -> None:
    _xml(folder, missed=[("Cluster", POLYGON, SQUARE)])
    records = _evaluate(_cases(folder))
    sets = {case: (record["dataset"], record["annotation"]) for case, record in records.items()}
    assert sets["missed"] == ("evaluation/outlines", "outlines")
    assert sets["found"] == sets["clean"] == ("evaluation", "mask")


def test_nothing_but_outlines_and_clean_views_are_one_set(folder: Path) -> None:
    _xml(folder, missed=[("Cluster", POLYGON, SQUARE)], found=[("Cluster", POLYGON, SQUARE)])
    records = _evaluate(_cases(folder, name="inbreast"))
    assert {(record["dataset"], record["annotation"]) for record in records.values()} == {("inbreast", "outlines")}
    assert records["found"]["clusters"] == {"true": 1, "hit": 1, "false": 0}
    assert records["missed"]["clusters"] == {"true": 1, "hit": 0, "false": 0}
    assert records["clean"]["clusters"] == {"true": 0, "hit": 0, "false": 0}


def test_the_summary_says_what_figures_rest_on(folder: Path) -> None:
    cases = _cases(folder)
    cases.check()
    assert cases.summary() == "3 views of 3 patients (each view its own); truth: 1 clean, 2 mask; region: breast"


def test_a_fingerprint_tells_settings_and_weights_apart_and_nothing_else() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    different = [
        *({"a": 1}, {"a": 2}, {"b": 1}, [1, 2], [2, 1], (1, 2), "1", 1, 1.5, True, None),
        *(first, second, Brightness(0.5), Brightness(0.6), np.linspace, System(inferer=abs), System(inferer=max)),
        *(System(inferer=abs, network=first), System(inferer=abs, network=second)),
    ]
    assert len({fingerprint(value) for value in different}) == len(different)
    same = nn.Linear(2, 2)
    same.load_state_dict(first.state_dict())
    assert fingerprint(same) == fingerprint(first)
    same.train(not first.training)
    assert fingerprint(same) == fingerprint(first)
    # The same weights in a network that uses them otherwise.
    same.gain = 2.0  # type: ignore[assignment]
    assert fingerprint(same) != fingerprint(first)
    assert fingerprint(Brightness(0.5)) == fingerprint(Brightness(0.5))
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_froc_logits_rise_through_a_half_to_the_surest_networks() -> None:
    assert np.all(np.diff(FROC_LOGITS) > 0)
    assert 0.0 in FROC_LOGITS
    assert FROC_LOGITS[-1] == 1000


def _record(case: str, hits: list[bool], *, false: int = 0, system: str = "a", annotation: str = "mask") -> dict:
    objects = [{"hit": hit} for hit in hits]
    return {"case": case, "objects": objects, "false_objects": false, "system": system, "annotation": annotation}


def test_shown_cases_go_from_best_to_worst_and_end_with_the_worst_clean_one() -> None:
    records = [_record(f"c{n}", [True] * n + [False] * (8 - n)) for n in range(9)]
    records += [_record("quiet", []), _record("loud", [], false=7), _record("o", [], false=9, annotation="outlines")]
    assert shown_cases(records, count=3) == ["c8", "c4", "c0", "loud"]
    assert shown_cases(records[:2], count=3) == ["c1", "c0"]
    assert shown_cases([_record("clean", [])]) == ["clean"]


def test_a_second_run_shows_the_predictions_of_the_first(folder: Path) -> None:
    _xml(folder, missed=[("Calcification", POINT, [CENTRE])])
    for _ in range(2):
        _evaluate(_cases(folder))
        shown = written[-1]["cases"]["evaluation"]
        assert [view["name"] for view in shown] == ["found", "missed", "clean"]
        assert [int(view["preds"]["bright"].sum()) for view in shown] == [9, 0, 0]
        assert np.argwhere(shown[1]["label"] == 1).tolist() == [[21, 31]]
        assert shown[0]["image"].shape == shown[0]["region"].shape == SHAPE
    assert len(calls) == 3


def test_metrics_are_the_figures_that_exist() -> None:
    figures = {"dice": {"value": 0.5}, "recall": {"value": None}}
    rows = [{"dataset": "d", "system": "s", "figures": figures}]
    assert table_metrics(rows) == {"d/s/dice": 0.5}
