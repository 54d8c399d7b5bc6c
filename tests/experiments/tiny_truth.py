"""A bank small enough for a test: 30 models of width 32, each trained on half of 600 samples. Makes it again, in two minutes:

python -m tests.experiments.tiny_truth
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lancet_core.data.demo.corpus import CorpusSettings
from lancet_core.experiments.corpora import Recipe, draw
from lancet_core.experiments.retraining import Bank, draw_masks, retrain, write_bank
from lancet_core.operations.build_models import TrainingSettings

BANK = Path(__file__).with_name("tiny-truth.safetensors")
WORK = Path("build/truth/tiny")
SUBSETS = 30


def tiny_truth_corpus():
    """600 samples of the demo's grammar, and 20 bad answers that stand in none of them."""
    whole = draw("tiny-truth", Recipe(CorpusSettings(samples=600), 3))
    training = TrainingSettings(epochs=6, batch=16, learning_rate=3e-3, width=32, layers=2, seed=0)
    return replace(whole, name="tiny-truth", training=training, queries=whole.queries[::3])


def main():
    corpus = tiny_truth_corpus()
    masks = draw_masks(len(corpus.samples), SUBSETS, seed=0)
    found = retrain(corpus, {str(number): mask for number, mask in enumerate(masks)}, folder=WORK)
    write_bank(BANK, corpus, Bank(masks, np.stack(list(found.values()))))


if __name__ == "__main__":
    main()
