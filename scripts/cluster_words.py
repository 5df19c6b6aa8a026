"""Measure words and kinds on drawn clusters, whose distribution is known: `python -m scripts.cluster_words`.

Writes OUT/words.md. See docs/clusters.md.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from bundle.baselines.clusters import Homogeneity, fit_kinds, homogeneity_test
from bundle.data.whole_files import write_whole
from bundle.functional.cluster_features import cluster_features
from bundle.functional.cluster_words import (
    HELD_OUT_SEED,
    NO_CLUSTER,
    WORDS,
    distribution_word,
    drawn_benchmark_cluster,
    drawn_cluster,
    word_agreement,
)
from bundle.functional.distributions import DISTRIBUTIONS
from scripts.command import one_line_errors

CASES = (
    ("As training draws them, all members, nipple unknown", drawn_cluster, False, None),
    ("As training draws them, grouped as findings are, nipple unknown", drawn_cluster, True, None),
    ("As the benchmark draws them, grouped as findings are, nipple known", drawn_benchmark_cluster, True, (0.0, 0.0)),
)


def agreement_tables(*, seed: int, draws: int) -> str:
    """Words said of drawn clusters, as Markdown: a row is what was drawn, a column what was said."""
    columns = (*WORDS, NO_CLUSTER)
    parts = []
    for title, draw, found, nipple in CASES:
        said = word_agreement(draw, rng=np.random.default_rng(seed), draws=draws, found=found, nipple_mm=nipple)
        agree = sum(counts[name] for name, counts in said.items()) / (draws * len(said))
        lines = [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {name} | {' | '.join(str(counts[word]) for word in columns)} |" for name, counts in said.items()]
        parts.append("\n".join(lines) + f"\n\n{agree:.3f} of {draws * len(said)} agree.")
    return "\n\n".join(parts) + "\n"


def drawn_homogeneity(*, seed: int, draws: int) -> dict[str, Homogeneity]:
    """Homogeneity of k-means kinds and of the words with what was drawn; the second half of the clusters is held out.

    Members have equal diameters, which so tell nothing; the nipple is unknown.
    """
    rng = np.random.default_rng(seed)
    truth = list(DISTRIBUTIONS) * draws
    clusters = [drawn_cluster(rng, name) for name in truth]
    features = np.array([[*cluster_features(one, np.full(len(one), 0.3)).values()] for one in clusters])
    half = len(DISTRIBUTIONS) * (draws // 2)
    kinds = fit_kinds(features[:half], rng=rng).predict(features).tolist()
    said = [distribution_word(one) for one in clusters]
    names = [str(index) for index in range(len(truth))]
    labels = {name: [word] for name, word in zip(names, truth, strict=True)}

    def tested(values: list[Any], part: slice) -> Homogeneity:
        alone = dict(zip(names, names, strict=True))
        return homogeneity_test(values[part], names[part], labels, patients=alone, rng=rng)

    fit, other = slice(half), slice(half, None)
    return {
        "kinds, fit": tested(kinds, fit),
        "kinds, held out": tested(kinds, other),
        "words, held out": tested(said, other),
    }


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m scripts.cluster_words", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=Path("output"), help="(default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=HELD_OUT_SEED, help="1 and 2 chose the rules (default: %(default)s)"
    )
    parser.add_argument("--draws", type=int, default=400, help="per distribution (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with one_line_errors():
        if arguments.draws < 2:
            raise ValueError(f"Expected at least two draws, got {arguments.draws}; raise --draws")
        text = agreement_tables(seed=arguments.seed, draws=arguments.draws)
        results = drawn_homogeneity(seed=arguments.seed, draws=arguments.draws)
        text += "\n" + "\n".join(result.told(name) for name, result in results.items()) + "\n"
        write_whole(arguments.output_dir / "words.md", lambda path: path.write_text(text))
    print(text, end="")


if __name__ == "__main__":
    main()
