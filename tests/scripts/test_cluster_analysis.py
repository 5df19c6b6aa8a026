"""The analysis of clusters as a command, on drawn findings, and the measure of the words."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.functional.cluster_features import FEATURES, cluster_features
from bundle.functional.cluster_words import HELD_OUT_SEED, drawn_cluster, word_agreement
from bundle.functional.clusters import cluster_findings
from bundle.functional.distributions import sample_offsets_mm
from bundle.functional.findings import find_objects, findings_report
from scripts.cluster_analysis import COLUMNS, main
from scripts.cluster_words import drawn_homogeneity
from scripts.cluster_words import main as words

NAMES = ("grouped", "linear", "regional")
# Views of each patient: two, but one of the last.
PATIENTS = {f"view{index:02d}.dcm": f"p{index // 2}" for index in range(15)}


def write_findings(folder: Path, image: str, positions: np.ndarray, *, seed: int = 0) -> None:
    diameters = np.random.default_rng(seed).uniform(0.1, 0.5, len(positions))
    clusters = cluster_findings(positions)
    findings = [
        {"position_mm": position, "diameter_mm": diameter, "cluster": None if cluster < 0 else cluster + 1}
        for position, diameter, cluster in zip(positions.tolist(), diameters.tolist(), clusters.tolist(), strict=True)
    ]
    path = folder / f"{Path(image).stem}_findings.json"
    path.write_text(json.dumps({"image": image, "findings": findings, "clusters": []}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fifteen views of one drawn cluster and one stray each, with the distribution of its patient; and their labels."""
    rng = np.random.default_rng(4)
    lines = ["image,patient,distribution,density"]
    for index, (image, patient) in enumerate(PATIENTS.items()):
        name = NAMES[int(patient[1:]) % 3]
        members = np.add(sample_offsets_mm(rng, name, count=30), (80.0, 60.0))
        write_findings(tmp_path, image, np.concatenate([members, [[200.0, 10.0]]]), seed=index)
        # With and without the suffix of the image.
        lines.append(f"{image if index % 2 else Path(image).stem},{patient},{name},{'a; b' if index < 8 else 'c'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "clusters.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(folder: Path, *options: str) -> list[dict[str, str]]:
    main([str(folder), "--output-dir", str(folder / "out"), "--permutations", "19", *options])
    return table(folder / "out")


def homogeneity(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "homogeneity.json").read_text())


def test_a_row_holds_place_word_kind_and_features_of_a_cluster(folder: Path) -> None:
    rows = run(folder, "--grouping", "findings")
    assert tuple(rows[0]) == COLUMNS
    first = json.loads((folder / "view00_findings.json").read_text())["findings"]
    members = [finding for finding in first if finding["cluster"] == 1]
    positions = np.array([finding["position_mm"] for finding in members])
    expected = cluster_features(positions, [finding["diameter_mm"] for finding in members])
    assert {name: float(rows[0][name]) for name in FEATURES} == pytest.approx(expected, rel=1e-5)
    assert (rows[0]["image"], rows[0]["cluster"], rows[0]["distribution"]) == ("view00.dcm", "1", "grouped")
    assert float(rows[0]["centroid_row_mm"]) == pytest.approx(positions[:, 0].mean(), rel=1e-5)
    assert {row["part"] for row in rows} == {"fit"}
    assert {row["kind"] for row in rows} == set("12345")
    assert not (folder / "out" / "homogeneity.json").exists()


def test_kinds_are_made_on_other_patients_than_they_are_judged_on(folder: Path) -> None:
    rows = run(folder, "--grouping", "findings", "--labels", str(folder / "labels.csv"), "--kinds", "3")
    parts = {part: {row["patient"] for row in rows if row["part"] == part} for part in ("fit", "held out")}
    assert {row["patient"] for row in rows} == set(PATIENTS.values())
    assert all(parts.values())
    assert not parts["fit"] & parts["held out"]
    results = homogeneity(folder)
    for name, result in results.items():
        part = [row for row in rows if row["part"] == name.split(", ")[1]]
        assert (result["clusters"], result["images"]) == (len(part), len({row["image"] for row in part}))
        assert 0 <= result["value"] <= 1
        assert 0.05 <= result["p"] <= 1


def test_words_of_the_distributions_fit_what_was_drawn(folder: Path) -> None:
    run(folder, "--grouping", "findings", "--labels", str(folder / "labels.csv"), "--kinds", "3")
    said = homogeneity(folder)["words, held out"]
    assert said["value"] > 0.6
    assert said["value"] > said["chance"]


def test_another_column_and_several_labels_of_an_image(folder: Path) -> None:
    rows = run(folder, "--labels", str(folder / "labels.csv"), "--label", "density", "--kinds", "3")
    assert {row["labels"] for row in rows} == {"a;b", "c"}


def test_the_seed_decides_and_nothing_else(folder: Path) -> None:
    options = ("--labels", str(folder / "labels.csv"), "--kinds", "3")
    first, results = run(folder, *options), homogeneity(folder)
    assert (run(folder, *options), homogeneity(folder)) == (first, results)
    parts = {tuple(row["part"] for row in run(folder, *options, "--seed", seed)) for seed in "12"}
    assert len(parts) > 1


def test_options_of_optics_reach_it(folder: Path) -> None:
    rows = run(folder, "--min-count", "12", "--kinds", "2")
    assert min(float(row["count"]) for row in rows) >= 12


def test_findings_of_inference_are_read(tmp_path: Path) -> None:
    """What the bundle writes itself, five views of it, with the word of the findings as the word of the table."""
    given = []
    for index in range(5):
        probs = np.zeros((300, 300))
        for row, column in np.random.default_rng(index).integers(20, 60 + 50 * index, (12, 2)):
            probs[row, column] = 0.9
        report = findings_report(
            find_objects(probs, threshold=0.5, spacing_mm=(0.1, 0.1)), image_name=f"{index}.png", shape=probs.shape,
            spacing_mm=(0.1, 0.1), method="segmentor", threshold=0.5, breast_area_cm2=9.0, created_by="test",
        )  # fmt: skip
        given += [cluster["distribution"] for cluster in report["clusters"]]
        (tmp_path / f"{index}_findings.json").write_text(json.dumps(report))
    assert [row["distribution"] for row in run(tmp_path, "--grouping", "findings")] == given


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kinds", "90"), "for 90 kinds, got"),
        (("--labels", "labels.csv", "--label", "word"), "columns image and word, got"),
        (("--labels", "other.csv"), "view00.dcm is the first"),
        (("--labels", "labels.csv", "--fit-share", "1"), "share between 0 and 1"),
        (("--min-count", "1"), "at least 2 findings per cluster"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, options: tuple[str, ...], message: str) -> None:
    (folder / "other.csv").write_text("image,distribution\nsomething,linear\n")
    options = tuple(str(folder / option) if option.endswith(".csv") else option for option in options)
    with pytest.raises(SystemExit, match=message):
        run(folder, *options)


def test_other_files_and_equal_names_are_refused(folder: Path) -> None:
    with pytest.raises(SystemExit, match=r"images of different names, got \['view00.dcm'\]"):
        main([str(folder), str(folder / "view00_findings.json"), "--output-dir", str(folder / "out")])
    (folder / "x_findings.json").write_text("[1]")
    with pytest.raises(SystemExit, match=r"got x_findings\.json"):
        run(folder)
    (folder / "empty").mkdir()
    with pytest.raises(SystemExit, match="different names, got none"):
        run(folder / "empty")


def test_tables_of_words_hold_every_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words(["--output-dir", str(tmp_path), "--draws", "6"])
    text = (tmp_path / "words.md").read_text()
    assert capsys.readouterr().out == text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    counts = [list(map(int, row[1:])) for row in rows if "unknown" not in row]
    assert len(counts) == 15
    assert all(sum(row) == 6 for row in counts)
    said = word_agreement(drawn_cluster, rng=np.random.default_rng(HELD_OUT_SEED), draws=6, found=False)
    assert counts[1][1] == said["linear"]["linear"]
    agree = sum(said[name][name] for name in said) / 30
    assert f"{agree:.3f} of 30 agree" in text
    assert re.search(r"kinds, held out: homogeneity 0\.\d+, .*\(15 clusters, 15 views\)", text)


def test_kinds_and_words_of_drawn_clusters_fit_them_better_than_chance() -> None:
    results = drawn_homogeneity(seed=HELD_OUT_SEED, draws=20)
    for result in results.values():
        assert (result.clusters, result.images) == (50, 50)
        assert result.value > result.chance + 0.2
        assert result.p <= 0.01


def test_too_few_draws_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="at least two draws"):
        words(["--output-dir", str(tmp_path), "--draws", "1"])
