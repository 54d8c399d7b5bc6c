"""Truth by retraining: models trained on parts of a corpus, and how likely each finds the queries.

Every model is written down as soon as it is measured, so that a killed bank goes on; several processes train side by side, one
thread each, which on small models is faster than one process with all threads.
"""

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancet_core.config import fingerprint
from lancet_core.data.conversations import exchanges
from lancet_core.errors import Cancelled, DataError, JobError
from lancet_core.lab.corpora import MeasuredCorpus
from lancet_core.lab.factory.training import train_language_model
from lancet_core.lab.keeper import Keeper, Kept
from lancet_core.models.encoding import encode_all, usable
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.progress import Progress, silent

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
VALUES = "log_likelihoods"
STAGE = "Training models on parts of the corpus"


@dataclass(frozen=True)
class Bank:
    """Models retrained on random parts.

    Attributes:
        masks: Which samples each model was trained on, shape (subsets, samples).
        log_likelihoods: Log p of each query under each model in nats, shape (subsets, queries).
        again: The same under second models of the first parts, trained with another seed, shape (repeats, queries).
    """

    masks: Mask
    log_likelihoods: Floats
    again: Floats


@dataclass(frozen=True)
class BankSettings:
    """Sizes of a bank.

    Attributes:
        subsets: Models, each trained on a random half.
        repeats: First halves that a second model is trained on, with another seed.
    """

    subsets: int = 60
    repeats: int = 20


def draw_masks(samples: int, subsets: int, *, seed: int, share: float = 0.5) -> Mask:
    """Draws random parts of a corpus of equal size, shape (subsets, samples); the first ones stay when more are drawn."""
    size = round(samples * share)
    masks = np.zeros((subsets, samples), dtype=bool)
    for number in range(subsets):
        masks[number, np.random.default_rng([seed, number]).permutation(samples)[:size]] = True
    return masks


def retrain(
    corpus: MeasuredCorpus,
    masks: Mapping[str, Mask],
    *,
    keeper: Keeper,
    processes: int = 2,
    progress: Progress = silent,
) -> dict[str, Floats]:
    """Trains one model on each part and measures the queries.

    Args:
        corpus: Samples, queries and training.
        masks: Name of each part to the samples it keeps, shape (samples,).
        keeper: Where results are kept; parts measured before are not trained again.
        processes: Models trained at once.
        progress: Told after every model.

    Returns:
        Name of each part to log p of each query in nats, shape (queries,).

    Raises:
        JobError: A training process was killed.
    """
    keys = {name: fingerprint([corpus.key, np.packbits(mask).tolist()]) for name, mask in masks.items()}
    results = {name: result for name, key in keys.items() if (result := keeper.read(key)) is not None}
    missing = [name for name in masks if name not in results]
    progress(STAGE, len(results), len(masks))
    with _workers(processes) as pool:
        started = {
            pool.submit(_measure_part, corpus, masks[name], keeper, keys[name]): name for name in missing
        }
        for finished in as_completed(started):
            results[started[finished]] = finished.result()
            progress(STAGE, len(results), len(masks))
    return {name: results[name].arrays[VALUES] for name in masks}


def measure_bank(
    corpus: MeasuredCorpus,
    settings: BankSettings,
    *,
    known: Bank | None,
    keeper: Keeper,
    processes: int = 2,
    progress: Progress = silent,
) -> Bank:
    """Trains a model on each random half, and second ones on the first halves; those of an earlier bank are taken from it.

    Args:
        corpus: Samples, queries and training.
        settings: How many.
        known: An earlier bank of the same corpus.
        keeper: Where results are kept.
        processes: Models trained at once.
        progress: Told after every model.
    """
    masks = draw_masks(len(corpus.samples), settings.subsets, seed=0)
    known = known or Bank(masks[:0], *(np.empty((0, len(corpus.queries))),) * 2)

    def measure(trained: MeasuredCorpus, parts: Mask, before: Floats) -> Floats:
        rows = dict(zip(map(bytes, known.masks), before, strict=False))
        missing = {str(number): mask for number, mask in enumerate(parts) if bytes(mask) not in rows}
        if missing:
            values = retrain(trained, missing, keeper=keeper, processes=processes, progress=progress)
            rows |= {bytes(missing[number]): row for number, row in values.items()}
        return np.array([rows[bytes(mask)] for mask in parts]).reshape(len(parts), len(corpus.queries))

    first = measure(corpus, masks, known.log_likelihoods)
    second = measure(corpus.reseeded(), masks[: settings.repeats], known.again)
    return Bank(masks, first, second)


def train_on(
    corpus: MeasuredCorpus, mask: Mask, progress: Progress = silent, stage: str = STAGE
) -> LanguageModel:
    """Trains a model on the samples that a mask keeps."""
    pairs = [pair for pair, kept in zip(corpus.pairs, mask, strict=True) if kept]
    return train_language_model(pairs, corpus.tokenizer, corpus.training, progress, step_name=stage)


def query_log_likelihoods(lm: LanguageModel, corpus: MeasuredCorpus) -> Floats:
    """Log p of each query in nats, shape (queries,)."""
    texts = usable(
        encode_all(
            lm, exchanges((query.prompt, query.response) for query in corpus.queries), DEFAULT_TEMPLATE
        )
    )
    return np.array(response_log_likelihoods(lm, [text for text in texts if text is not None]))


def write_bank(truth: Keeper, corpus: MeasuredCorpus, bank: Bank) -> None:
    """Writes the bank of a corpus under its name, masks as bits."""
    arrays: dict[str, NDArray[Any]] = {
        "masks": np.packbits(bank.masks, axis=1),
        VALUES: bank.log_likelihoods.astype(np.float32),
        "again": bank.again.astype(np.float32),
    }
    truth.write(corpus.name, Kept(arrays, {"corpus": corpus.key}))


def read_bank(truth: Keeper, corpus: MeasuredCorpus) -> Bank:
    """Reads the bank of a corpus.

    Raises:
        DataError: There is none, it cannot be read, or it belongs to another corpus.
    """
    path, remedy = truth.path(corpus.name), f"make it with: lancet lab bank --corpus {corpus.name}"
    result = truth.read(corpus.name)
    if result is None:
        raise DataError(f"there is no bank in {path} that can be read; {remedy}")
    written = result.facts.get("corpus")
    if written != corpus.key:
        raise DataError(
            f"the bank {path} belongs to another corpus ({written}, wanted {corpus.key}); {remedy}"
        )
    masks = np.unpackbits(result.arrays["masks"], axis=1, count=len(corpus.samples)).astype(bool)
    return Bank(masks, *(result.arrays[name].astype(np.float64) for name in (VALUES, "again")))


@contextmanager
def _workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that train; whoever stops the bank stops them too, models that are half trained are lost.

    Raises:
        JobError: One was killed.
        KeyboardInterrupt: Ctrl-C.
        Cancelled: A person asked to stop.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_start_worker) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise JobError(
                f"a process that trained a model was killed, by the system if memory is short ({processes} trained at once); "
                "what is measured is kept: run the command again, with fewer --processes"
            ) from error
        except (KeyboardInterrupt, Cancelled):
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _measure_part(corpus: MeasuredCorpus, mask: Mask, keeper: Keeper, key: str) -> Kept:
    """Trains and measures one model in a process of its own."""
    result = Kept({VALUES: query_log_likelihoods(train_on(corpus, mask), corpus)})
    keeper.write(key, result)
    return result


def _start_worker() -> None:
    """Sets one thread, and leaves Ctrl-C to the process that waits."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
