"""Contaminates safe samples with unsafe ones and writes the sets that a safe and an impure model are trained on."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from lancet_core.acts.contaminate import (
    CANDIDATES,
    FILES,
    IMPURE,
    MEMBERS,
    PROMPTS,
    SAFE,
    SAMPLES,
    UNSEEN_PROMPTS,
    Contaminated,
    ContaminateRequest,
)
from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.data.contamination import (
    HIDDEN,
    OVER_ALL,
    UNSEEN,
    VALIDATION,
    ContaminationSettings,
    cluster_members,
    prompt_key,
    split_prompts,
)
from lancet_core.data.conversations import Asked, asked_of, conversation_of
from lancet_core.data.samples import conversations_of, prompts_frame, read_prompts, read_samples
from lancet_core.errors import DataError
from lancet_core.files import write_json_lines, write_table, write_tensors
from lancet_core.influence.clusters import unit_length
from lancet_core.influence.recall import build_tfidf
from lancet_core.models.encoding import encode_all, usable
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.models.pooling import mean_hidden_states
from lancet_core.progress import Progress, silent

VECTORS = "vectors.safetensors"
DIRECTIONS = 100
Rows = list[dict[str, Any]]


def run(
    subject: Subject,
    request: ContaminateRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Contaminated:
    """Writes `files/`: the impure and the safe set, the prompts of evaluation, and the candidates for influence queries.

    Raises:
        DataError: The samples lack safe or unsafe ones, or hold no word to compare.
        ModelError: The model whose hidden states are compared cannot be loaded.
    """
    started, resumed = time.monotonic(), (folder / VECTORS).is_file()
    settings = request.contamination
    progress("Splitting by prompt")
    samples = _keyed(read_samples(folder / INPUTS / SAMPLES))
    given = _given_prompts(folder / INPUTS / UNSEEN_PROMPTS)
    split = split_prompts(samples, settings)
    left = samples[(split == "") & ~samples["key"].isin(given["key"])]
    safe, unsafe = _safe(left, settings), left[~left["is_safe"]].reset_index(drop=True)
    vectors = _vectors(subject, unsafe, settings, file=folder / VECTORS, progress=progress, load=load)
    progress("Clustering the unsafe samples")
    members = cluster_members([list(names) for names in unsafe["categories"]], vectors, settings)
    chosen = unsafe.loc[sorted(members.loc[members["chosen"], "row"].unique())]
    rest = unsafe.loc[sorted(set(members.loc[~members["dropped"], "row"]) - set(chosen.index))]
    prompts = _held_out_prompts(samples.assign(split=split)[split != ""], given)
    progress("Writing the sets")
    impure = pd.concat([safe, chosen]).sample(frac=1.0, random_state=settings.seed)
    write_table(folder / MEMBERS, _named(members, unsafe))
    for name, rows in {
        IMPURE: _sample_rows(impure),
        SAFE: _sample_rows(safe),
        PROMPTS: prompts,
        CANDIDATES: _candidates(rest),
    }.items():
        write_json_lines(folder / FILES / name, rows)
    counted = Contaminated(
        samples=len(samples),
        prompts=int(samples["key"].nunique()),
        safe=len(safe),
        unsafe=len(chosen),
        candidates=len(rest),
        held_out=len(samples) - len(left),
        preset=request.preset,
        template=request.template,
    )
    found = _with_counts(counted, members, prompts)
    notes = tuple(_notes(found, settings, left_unsafe=len(unsafe), given=len(given)))
    return replace(found, notes=notes, seconds=0.0 if resumed else time.monotonic() - started)


def _keyed(samples: pd.DataFrame) -> pd.DataFrame:
    """Adds the key of each prompt; a text that is labelled both ways is left out of both.

    Raises:
        DataError: There are no safe samples, or no unsafe ones.
    """
    labelled = samples[samples["is_safe"].notna()]
    counts = labelled["is_safe"].astype(bool).value_counts()
    for value, name in ((True, "safe"), (False, "unsafe")):
        if not counts.get(value):
            raise DataError(
                f"none of the {len(samples):,} samples is labelled {name}; contamination needs both: give labels (is_safe), "
                "name their column with --map label=…, or give two files with --safe and --unsafe"
            )
    keys = [
        prompt_key(prompt, messages)
        for prompt, messages in zip(labelled["prompt"], labelled["messages"], strict=True)
    ]
    return labelled.assign(key=keys, is_safe=labelled["is_safe"].astype(bool)).reset_index(drop=True)


def _given_prompts(path: Path) -> pd.DataFrame:
    """The prompts of a file that was given; none where there is none."""
    prompts = read_prompts(path) if path.is_file() else prompts_frame([])
    keys = [prompt_key(*texts) for texts in zip(prompts["prompt"], prompts["history"], strict=True)]
    return prompts.assign(key=keys).drop_duplicates("key")


def _safe(samples: pd.DataFrame, settings: ContaminationSettings) -> pd.DataFrame:
    safe = samples[samples["is_safe"]]
    if not settings.safe_samples or settings.safe_samples >= len(safe):
        return safe
    return safe.sample(settings.safe_samples, random_state=settings.seed).sort_index()


def _vectors(
    subject: Subject,
    samples: pd.DataFrame,
    settings: ContaminationSettings,
    *,
    file: Path,
    progress: Progress,
    load: Loader,
) -> NDArray[np.float64]:
    """Encodes samples, shape (samples, dimensions); a resumed run reads what it computed."""
    if not len(samples):
        return np.empty((0, 1))
    if file.is_file():
        return np.asarray(load_file(file)["vectors"], dtype=np.float64)
    if settings.encoder == HIDDEN:
        progress("Loading the model")
        lm = load(subject.model)
        encoded = encode_all(lm, conversations_of(samples), subject.template)
        if len(usable(encoded)) < len(encoded):
            raise DataError(
                "a sample cannot be written by the model's template; compare words: --encoder tfidf"
            )
        vectors = unit_length(mean_hidden_states(lm, usable(encoded), progress, "Reading the unsafe samples"))
    else:
        progress("Comparing words")
        vectors = _words(samples)
    write_tensors(file, save_file, {"vectors": vectors}, {})
    return vectors


def _words(samples: pd.DataFrame) -> NDArray[np.float64]:
    """TF-IDF, reduced by latent semantic analysis and scaled to length 1."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    matrix = build_tfidf(samples).matrix
    directions = min(DIRECTIONS, min(matrix.shape) - 1)
    if directions < 1:
        return np.asarray(matrix.toarray(), dtype=np.float64)
    reduced = TruncatedSVD(directions, random_state=0).fit_transform(matrix.astype(np.float64))
    return np.asarray(normalize(reduced), dtype=np.float64)


def _held_out_prompts(samples: pd.DataFrame, given: pd.DataFrame) -> Rows:
    """One prompt for each key that is held out, with a safe answer as its reference where there is one; and those that were given."""
    rows: Rows = []
    for _key, same in samples.groupby("key", sort=False):
        first = same[~same["is_safe"]].iloc[0]
        good = same[same["is_safe"] & (same["prompt"] == first["prompt"])]
        rows.append(
            {
                "prompt": _asked(first["prompt"], first["messages"]),
                "split": first["split"],
                "kind": "wrong",
                "category": next(iter(first["categories"]), ""),
                "reference": None if good.empty else good["response"].iloc[0],
            }
        )
    given = given[~given["key"].isin(samples["key"])]
    for prompt, history, kind, category in given[["prompt", "history", "kind", "category"]].values:
        rows.append(
            {"prompt": asked_of(prompt, history), "split": UNSEEN, "kind": kind, "category": category}
        )
    return rows


def _asked(prompt: str, messages: str) -> Asked:
    """What a sample asks: its prompt, or the messages before its last answer."""
    if not messages:
        return prompt
    conversation = conversation_of(prompt, "", messages)
    return conversation.messages[: conversation.answers[-1]]


def _sample_rows(samples: pd.DataFrame) -> Rows:
    """Samples as rows that `study create` reads."""
    columns = ("prompt", "response", "messages", "is_safe", "categories")
    rows = []
    for prompt, response, messages, is_safe, categories in samples[list(columns)].itertuples(index=False):
        said = {"messages": json.loads(messages)} if messages else {"prompt": prompt, "response": response}
        rows.append({**said, "is_safe": bool(is_safe), "category": list(categories)})
    return rows


def _candidates(samples: pd.DataFrame) -> Rows:
    """Samples as prompts that queries are mined from; each with its own bad answer is a query that is given, too."""
    columns = ("prompt", "messages", "response", "categories")
    return [
        {
            "prompt": _asked(prompt, messages),
            "response": response,
            "category": next(iter(categories), ""),
            "split": "queries",
            "kind": "wrong",
        }
        for prompt, messages, response, categories in samples[list(columns)].itertuples(index=False)
    ]


def _named(members: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    return members.assign(id=members["row"].map(samples["id"])).drop(columns="row")


def _with_counts(result: Contaminated, members: pd.DataFrame, prompts: Rows) -> Contaminated:
    dropped = members.groupby(["category", "cluster"])["dropped"].first()
    splits = [row["split"] for row in prompts]
    return replace(
        result,
        taken=int(members["chosen"].sum()),
        categories=members["category"].nunique() if members["category"].any() else 0,
        clusters=int((~dropped).sum()),
        dropped=int(dropped.sum()),
        unseen=splits.count(UNSEEN),
        validation=splits.count(VALIDATION),
    )


def _notes(
    found: Contaminated, settings: ContaminationSettings, *, left_unsafe: int, given: int
) -> list[str]:
    """Says what differs from what was asked."""
    notes = []
    if found.dropped:
        notes.append(
            f"{found.dropped} of {found.dropped + found.clusters} clusters have fewer than {settings.nearest} members and were "
            f"dropped: {left_unsafe:,} unsafe samples are too few for the clusters that were asked for"
        )
    if not found.categories and settings.grouping != OVER_ALL:
        notes.append("the unsafe samples have no categories, so all were clustered at once")
    asked, held_out = settings.unseen_prompts + settings.validation_prompts, found.unseen + found.validation
    if not given and held_out < asked:
        notes.append(
            f"{asked:,} prompts were to be held out, but half of those with an unsafe answer are only {held_out:,}; give prompts of "
            "another file with --unseen"
        )
    return notes
