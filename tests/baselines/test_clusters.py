import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import homogeneity_score

from bundle.baselines.clusters import fit_kinds, fit_part, homogeneity_test, optics_clusters
from bundle.functional.clusters import cluster_findings


def blobs(*centres_mm: tuple[float, float], count: int = 12, sd_mm: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(centre, sd_mm, (count, 2)) for centre in centres_mm])


def own(images: list[str]) -> dict[str, str]:
    return {image: image for image in images}


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_far_groups_are_apart_and_strays_are_in_none() -> None:
    positions = np.concatenate([blobs((0, 0), (60, 0)), [[120.0, 120.0], [30.0, 90.0]]])
    # So steep a fall of density is found at a group's border alone, not inside it.
    numbers = optics_clusters(positions, steepness=0.9)
    assert cluster_findings(positions).tolist() == numbers.tolist() == [0] * 12 + [1] * 12 + [-1, -1]


def test_a_dense_group_inside_a_sparse_one_is_split_off() -> None:
    """A radius of 1 cm sees one group; OPTICS finds the dense one, which is why the paper took it."""
    positions = np.concatenate([blobs((0, 0), sd_mm=0.3), np.stack(np.mgrid[-12:13:6, 6:40:6], axis=-1).reshape(-1, 2)])
    assert set(cluster_findings(positions)) == {0}
    numbers = optics_clusters(positions)
    dense, sparse = Counter(numbers[:12].tolist()), Counter(numbers[12:].tolist())
    ((number, count),) = dense.most_common(1)
    assert number >= 0
    assert count >= 10
    assert sparse[number] <= 2


def test_nothing_is_dense_enough() -> None:
    assert optics_clusters(np.zeros((0, 2))).shape == (0,)
    assert optics_clusters(np.zeros((3, 2))).tolist() == [-1] * 3
    assert optics_clusters(np.arange(8)[:, None] * [50.0, 0.0]).tolist() == [-1] * 8


def test_a_dense_place_that_is_reached_last_is_no_cluster() -> None:
    """Four findings 9 mm around a fifth, and 12.7 mm apart: OPTICS reaches none of them from the fifth any more."""
    around = 9.0 * np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])
    assert optics_clusters([*around, [0.0, 0.0]]).tolist() == [-1] * 5


def test_coincident_findings_are_one_cluster() -> None:
    assert len(set(optics_clusters(np.full((8, 2), 2.0)).tolist())) == 1


def test_kinds_find_groups_whatever_the_units() -> None:
    truth = np.repeat(np.arange(5), 8)
    table = np.column_stack([10.0 * truth, -3.0 * (truth == 2), np.ones(40)])
    table[:, :2] += np.random.default_rng(1).normal(0, 0.1, (40, 2))
    said = fit_kinds(table, rng=rng()).predict(table)
    assert homogeneity_score(truth, said) == homogeneity_score(said, truth) == 1
    scaled = table * [1e-4, 1e5, 3.0]
    assert fit_kinds(scaled, rng=rng()).predict(scaled).tolist() == said.tolist()


def test_other_clusters_get_the_kind_and_the_z_score_of_the_fit() -> None:
    table = np.repeat([[0.0], [10.0]], 4, axis=0)
    kinds = fit_kinds(table, rng=rng(), kinds=2)
    assert kinds[0].mean_ == pytest.approx([5.0])
    low, high = kinds.predict([[1.0], [9.0]])
    assert kinds.predict([[4.0], [-90.0], [6.0]]).tolist() == [low, low, high]


def test_parts_never_share_a_patient() -> None:
    patients = {f"{patient}-{view}": f"{patient}" for patient in range(11) for view in range(1 + patient % 4)}
    for seed in range(20):
        fit = fit_part(patients, rng=np.random.default_rng(seed), share=0.3)
        inside = {patients[image] for image in fit}
        assert len(inside) == 3
        assert not inside & {patients[image] for image in set(patients) - fit}
    assert fit_part(patients, rng=rng()) == fit_part(dict(reversed(patients.items())), rng=rng())


def test_homogeneity_worked_by_hand() -> None:
    """Kinds 1: a, a, b; 2: b. H(label) = ln 2; H(label | kind) = 3/4 H(1/3)."""
    images = ["w", "x", "y", "z"]
    labels = {"w": ["a"], "x": ["a"], "y": ["b"], "z": ["b"]}
    made = homogeneity_test([1, 1, 1, 2], images, labels, patients=own(images), rng=rng(), permutations=5)
    within = 0.75 * -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert made.value == pytest.approx(1 - within / math.log(2))
    assert (made.clusters, made.images) == (4, 4)


def test_a_cluster_counts_once_for_each_label_of_its_image() -> None:
    labels = {"x": ["a", "b"], "y": ["b"]}
    made = homogeneity_test([1, 2, 2], ["x", "x", "y"], labels, patients=own(["x", "y"]), rng=rng(), permutations=1)
    assert made.value == pytest.approx(homogeneity_score(["a", "b", "a", "b", "b"], [1, 1, 2, 2, 2]))


def test_homogeneity_is_that_of_scikit_learn() -> None:
    for seed in range(10):
        draw = np.random.default_rng(seed)
        images = [str(index) for index in range(30)]
        labels = {image: [str(draw.integers(4))] for image in images}
        kinds = draw.integers(0, 6, 30).tolist()
        made = homogeneity_test(kinds, images, labels, patients=own(images), rng=draw, permutations=1)
        assert made.value == pytest.approx(homogeneity_score([labels[image][0] for image in images], kinds))


def test_p_is_that_of_all_permutations() -> None:
    """Five images of one or two clusters: all 120 orders of their labels, one by one."""
    kinds, images = [1, 1, 2, 1, 3, 2, 3], ["a", "b", "c", "c", "d", "e", "e"]
    labels = {"a": ["s"], "b": ["s"], "c": ["t"], "d": ["t"], "e": ["t"]}
    value = homogeneity_score([labels[image][0] for image in images], kinds)
    every = [
        homogeneity_score([dict(zip("abcde", order, strict=True))[image] for image in images], kinds)
        for order in permutations("ssttt")
    ]
    made = homogeneity_test(kinds, images, labels, patients=own([*"abcde"]), rng=rng(), permutations=2000)
    assert made.value == pytest.approx(value)
    assert made.chance == pytest.approx(np.mean(every), abs=0.01)
    assert made.p == pytest.approx(np.mean(np.array(every) >= value - 1e-12), abs=0.03)


def test_many_clusters_of_two_images_prove_nothing() -> None:
    """Clusters as the unit would give a p near 0; the two images have but two orders, both as good."""
    images = ["x"] * 40 + ["y"] * 40
    made = homogeneity_test(images, images, {"x": ["a"], "y": ["b"]}, patients=own(["x", "y"]), rng=rng())
    assert (made.value, made.p) == (pytest.approx(1), 1)


def test_views_of_a_patient_keep_together() -> None:
    """Three patients of two views each and one of one, who has nobody to exchange with: one label stays."""
    images = [f"{patient}{view}" for patient in "abc" for view in (1, 2)] + ["d1"]
    labels = {image: ["s" if image[0] in "ad" else "t"] for image in images}
    kinds = [labels[image][0] for image in images]
    by_patient = {image: image[0] for image in images}
    made = homogeneity_test(kinds, images, labels, patients=by_patient, rng=rng(), permutations=1500)
    freely = homogeneity_test(kinds, images, labels, patients=own(images), rng=rng(), permutations=1500)
    # The patient that is "s" among the three is drawn in one of three; freely, three of seven views in one of 35.
    assert made.p == pytest.approx(1 / 3, abs=0.03)
    assert freely.p == pytest.approx(1 / 35, abs=0.015)


def test_independent_labels_are_rarely_significant() -> None:
    small = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        images = [str(index) for index in range(20)]
        labels = {image: [str(draw.integers(2))] for image in images} | {"0": ["0"], "1": ["1"]}
        kinds = draw.integers(0, 5, 20).tolist()
        made = homogeneity_test(kinds, images, labels, patients=own(images), rng=draw, permutations=19)
        small += made.p <= 0.2
        assert made.chance > 0.03
    # 12 expected of 60; 22 are more than three standard deviations.
    assert small <= 22


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="at least 2 findings"):
        optics_clusters(np.zeros((9, 2)), min_count=1)
    with pytest.raises(ValueError, match="got 3; lower --kinds"):
        fit_kinds([[0.0], [1.0], [2.0], [2.0], [2.0]], rng=rng())
    with pytest.raises(ValueError, match="two patients or more"):
        fit_part({"a": "p", "b": "p"}, rng=rng())
    with pytest.raises(ValueError, match="between 0 and 1, got 2 and 1"):
        fit_part({"a": "p", "b": "q"}, rng=rng(), share=1.0)
    with pytest.raises(ValueError, match="two different labels"):
        homogeneity_test([1, 2], ["a", "b"], {"a": ["s"], "b": ["s"]}, patients=own(["a", "b"]), rng=rng())
