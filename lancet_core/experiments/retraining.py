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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lancet_core.config import fingerprint
from lancet_core.errors import Cancelled, DataError, JobError
from lancet_core.experiments.corpora import MeasuredCorpus
from lancet_core.files import write_tensors
from lancet_core.models.encoding import encode_all
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.operations.build_models import train_language_model
from lancet_core.progress import Progress, silent

Mask = NDArray[np.bool_]
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
    log_likelihoods: NDArray[np.float64]
    again: NDArray[np.float64]


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
    folder: Path,
    processes: int = 2,
    progress: Progress = silent,
) -> dict[str, NDArray[np.float64]]:
    """Trains one model on each part and measures the queries.

    Args:
        corpus: Samples, queries and training.
        masks: Name of each part to the samples it keeps, shape (samples,).
        folder: Where results are kept; parts measured before are not trained again.
        processes: Models trained at once.
        progress: Told after every model.

    Returns:
        Name of each part to log p of each query in nats, shape (queries,).

    Raises:
        JobError: A training process was killed.
    """
    files = {name: folder / f"{_key(corpus, mask)}.safetensors" for name, mask in masks.items()}
    found = {name: kept for name, file in files.items() if (kept := _read(file)) is not None}
    missing = [name for name in masks if name not in found]
    progress(STAGE, len(found), len(masks))
    with _workers(processes) as pool:
        started = {pool.submit(_measure_part, corpus, masks[name], files[name]): name for name in missing}
        for finished in as_completed(started):
            found[started[finished]] = finished.result()
            progress(STAGE, len(found), len(masks))
    return {name: found[name] for name in masks}


def measure_bank(
    corpus: MeasuredCorpus,
    settings: BankSettings,
    *,
    known: Bank | None,
    folder: Path,
    processes: int = 2,
    progress: Progress = silent,
) -> Bank:
    """Trains a model on each random half, and second ones on the first halves; those of an earlier bank are taken from it.

    Args:
        corpus: Samples, queries and training.
        settings: How many.
        known: An earlier bank of the same corpus.
        folder: Where results are kept.
        processes: Models trained at once.
        progress: Told after every model.
    """

    def measure(trained: MeasuredCorpus, parts: Mask, before: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = {} if known is None else dict(zip(map(bytes, known.masks[: len(before)]), before, strict=True))
        missing = {str(number): mask for number, mask in enumerate(parts) if bytes(mask) not in rows}
        found = (
            retrain(trained, missing, folder=folder, processes=processes, progress=progress)
            if missing
            else {}
        )
        return np.array(
            [
                rows[bytes(mask)] if bytes(mask) in rows else found[str(number)]
                for number, mask in enumerate(parts)
            ]
        ).reshape(len(parts), len(corpus.queries))

    masks = draw_masks(len(corpus.samples), settings.subsets, seed=0)
    nothing = np.empty((0, len(corpus.queries)))
    first = measure(corpus, masks, nothing if known is None else known.log_likelihoods)
    second = measure(corpus.reseeded(), masks[: settings.repeats], nothing if known is None else known.again)
    return Bank(masks, first, second)


def train_on(
    corpus: MeasuredCorpus, mask: Mask, progress: Progress = silent, stage: str = STAGE
) -> LanguageModel:
    """Trains a model on the samples that a mask keeps."""
    pairs = [pair for pair, kept in zip(corpus.pairs, mask, strict=True) if kept]
    return train_language_model(pairs, corpus.tokenizer, corpus.training, progress, step_name=stage)


def query_log_likelihoods(lm: LanguageModel, corpus: MeasuredCorpus) -> NDArray[np.float64]:
    """Log p of each query in nats, shape (queries,)."""
    texts = encode_all(lm, [(query.prompt, query.response) for query in corpus.queries], DEFAULT_TEMPLATE)
    return np.array(response_log_likelihoods(lm, [text for text in texts if text is not None]))


def write_bank(path: Path, corpus: MeasuredCorpus, bank: Bank) -> None:
    """Writes a bank whole or not at all, masks as bits."""
    arrays: dict[str, NDArray[Any]] = {
        "masks": np.packbits(bank.masks, axis=1),
        "log_likelihoods": bank.log_likelihoods.astype(np.float32),
        "again": bank.again.astype(np.float32),
    }
    write_tensors(path, save_file, arrays, {"corpus": corpus.key})


def read_bank(path: Path, corpus: MeasuredCorpus) -> Bank:
    """Reads the bank of a corpus.

    Raises:
        DataError: There is none, it cannot be read, or it belongs to another corpus.
    """
    way_out = f"make it with: lancet benchmark bank --corpus {corpus.name}"
    try:
        with safe_open(path, framework="np") as file:
            written = (file.metadata() or {}).get("corpus")
            packed, values, again = map(file.get_tensor, ("masks", "log_likelihoods", "again"))
    except (SafetensorError, OSError) as error:
        raise DataError(f"the bank {path} cannot be read: {error}; {way_out}") from error
    if written != corpus.key:
        raise DataError(
            f"the bank {path} belongs to another corpus ({written}, wanted {corpus.key}); {way_out}"
        )
    masks = np.unpackbits(packed, axis=1, count=len(corpus.samples)).astype(bool)
    return Bank(masks, values.astype(np.float64), again.astype(np.float64))


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


def _measure_part(corpus: MeasuredCorpus, mask: Mask, file: Path) -> NDArray[np.float64]:
    """Trains and measures one model in a process of its own."""
    values = query_log_likelihoods(train_on(corpus, mask), corpus)
    write_tensors(file, save_file, {"log_likelihoods": values}, {})
    return values


def _start_worker() -> None:
    """Sets one thread, and leaves Ctrl-C to the process that waits."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _key(corpus: MeasuredCorpus, mask: Mask) -> str:
    return fingerprint([corpus.key, np.packbits(mask).tolist()])


def _read(file: Path) -> NDArray[np.float64] | None:
    """Reads what a part gave; None where it was not measured, or its file is broken."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="np") as opened:
            values: NDArray[np.float64] = opened.get_tensor("log_likelihoods")
    except SafetensorError:
        return None
    return values
