import json

import numpy as np
import pytest

from bundle.functional.findings import describe_clusters, find_objects, finding_mask, findings_report

SPACING = (0.1, 0.05)


def probability_map() -> np.ndarray:
    """Six findings within 1 cm and one far away, at 0.1 x 0.05 mm."""
    probs = np.full((400, 800), 0.01)
    for index in range(6):
        probs[20 + 10 * index, 40] = 0.6 + 0.05 * index
    probs[300:302, 700:704] = 0.5
    probs[300, 700] = 0.95
    return probs


def report(**options: object) -> dict:
    probs = probability_map()
    arguments: dict = {
        "image_name": "view.dcm",
        "shape": probs.shape,
        "spacing_mm": SPACING,
        "method": "segmentor",
        "threshold": 0.5,
        "breast_area_cm2": 12.34567,
        "created_by": "test 1",
    }
    return findings_report(find_objects(probs, threshold=0.5, spacing_mm=SPACING), **{**arguments, **options})


def test_a_finding_worked_by_hand() -> None:
    finding = find_objects(probability_map(), threshold=0.5, spacing_mm=SPACING)[0]
    assert finding.centroid_px == (300.5, 701.5)
    assert finding.position_mm == pytest.approx((30.05, 35.075))
    assert finding.area_mm2 == pytest.approx(8 * 0.1 * 0.05)
    assert finding.diameter_mm == pytest.approx(2 * np.sqrt(0.04 / np.pi))
    assert finding.peak_probability == 0.95
    assert finding.mean_probability == pytest.approx((7 * 0.5 + 0.95) / 8)
    assert finding.box_px == (300, 700, 302, 704)
    assert finding.cluster is None


def test_most_probable_findings_come_first() -> None:
    peaks = [f.peak_probability for f in find_objects(probability_map(), threshold=0.5, spacing_mm=SPACING)]
    assert peaks == sorted(peaks, reverse=True)
    assert len(peaks) == 7


def test_findings_cover_exactly_the_mask() -> None:
    probs = probability_map()
    total = sum(f.area_mm2 for f in find_objects(probs, threshold=0.5, spacing_mm=SPACING))
    assert total == pytest.approx(np.count_nonzero(finding_mask(probs, threshold=0.5)) * 0.1 * 0.05)


def test_threshold_itself_belongs_to_the_mask() -> None:
    assert finding_mask(np.array([[0.49, 0.5, 0.51]]), threshold=0.5).tolist() == [[False, True, True]]


def test_nothing_is_found_outside_the_breast() -> None:
    probs = probability_map()
    breast = np.zeros(probs.shape, bool)
    breast[:200] = True
    assert len(find_objects(probs, threshold=0.5, spacing_mm=SPACING, breast=breast)) == 6
    assert find_objects(probs, threshold=0.5, spacing_mm=SPACING, breast=np.zeros_like(breast)) == []


def test_a_cluster_worked_by_hand() -> None:
    findings = find_objects(probability_map(), threshold=0.5, spacing_mm=SPACING)
    (cluster,) = describe_clusters(findings, spacing_mm=SPACING)
    assert cluster == {
        "id": 1, "count": 6, "centroid_mm": [4.5, 2.0], "extent_mm": [5.1, 0.05], "box_px": [20, 40, 71, 41],
        "distribution": "linear",
    }  # fmt: skip


def test_fewer_than_five_are_no_cluster() -> None:
    findings = find_objects(probability_map(), threshold=0.73, spacing_mm=SPACING)
    assert len(findings) == 4
    assert describe_clusters(findings, spacing_mm=SPACING) == []


def test_report_survives_json_and_holds_what_a_reader_needs() -> None:
    made = report(view_position="MLO", laterality="R")
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert (made["finding_count"], made["cluster_count"]) == (len(made["findings"]), len(made["clusters"])) == (7, 1)
    assert (made["rows"], made["columns"], made["spacing_mm"]) == (400, 800, [0.1, 0.05])
    assert (made["view_position"], made["laterality"], made["breast_area_cm2"]) == ("MLO", "R", 12.346)
    assert [entry["id"] for entry in made["findings"]] == list(range(1, 8))
    assert sum(entry["cluster"] == 1 for entry in made["findings"]) == made["clusters"][0]["count"]


def test_empty_report_is_valid() -> None:
    empty = find_objects(np.zeros((5, 5)), threshold=0.5, spacing_mm=SPACING)
    made = findings_report(
        empty, image_name="a", shape=(5, 5), spacing_mm=SPACING, method="ttgpr", threshold=0.5, breast_area_cm2=0.0,
        created_by="t",
    )  # fmt: skip
    assert (made["findings"], made["clusters"], made["finding_count"]) == ([], [], 0)


@pytest.mark.parametrize(
    ("probs", "options", "message"),
    [
        (np.full((3, 3), 2.0), {}, "apply the sigmoid"),
        (np.full((3, 3), np.nan), {}, r"probabilities in \[0, 1\]"),
        (np.zeros((3, 3)), {"threshold": 0.0}, r"threshold in \(0, 1\], got 0"),
        (np.zeros((3, 3)), {"breast": np.ones((2, 3))}, "shape of the map"),
        (np.zeros((3, 3)), {"spacing_mm": (0.0, 0.1)}, "pixel spacing > 0 mm"),
    ],
)
def test_wrong_input_is_named(probs: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_objects(probs, **{"threshold": 0.5, "spacing_mm": SPACING, **options})


def test_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="got 'magic'"):
        report(method="magic")
