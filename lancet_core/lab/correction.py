"""What IBO does to the demo's impure model: every source of pairs beside its controls, judged by the demo's oracle.

Settings may only be chosen on the validation split. Answers are greedy. Intervals are 95 % bootstrap intervals over prompts, each
prompt averaged over the seeds first.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.acts.correct import MODEL, PAIRS, RETAIN, VALIDATION, CorrectRequest
from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.config import fingerprint
from lancet_core.correction.pair_files import PairSide, ReviewedPair, write_pairs
from lancet_core.correction.run import CHECKPOINTS
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.data.samples import content_id
from lancet_core.errors import NumericalError
from lancet_core.evaluation.intervals import bootstrap_mean, paired_change
from lancet_core.files import write_table
from lancet_core.lab.correction_pairs import NONE, ROWS, SAFE, Demo, Source, check_row, source_of
from lancet_core.lab.judging import GREEDY, judged_answers
from lancet_core.lab.keeper import Keeper, Kept
from lancet_core.lab.markdown import format_interval, format_number, table_of
from lancet_core.lab.world.corpus import BENIGN, WRONG
from lancet_core.models.loading import load_language_model
from lancet_core.operations import correct
from lancet_core.progress import Progress, silent

UNTRAINED = {NONE: "model", SAFE: "safe_model"}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """What is measured.

    Attributes:
        rows: Names of `ROWS`, or `QUEUE@DECISIONS` with a name of `QUEUES`.
        seeds: Seeds of the corrections.
        split: Prompts that are answered, `unseen` or `validation`.
        settings: Settings of the corrections.
    """

    rows: Sequence[str]
    seeds: Sequence[int]
    split: str
    settings: CorrectionSettings


def measure_row(
    demo: Demo, name: str, seed: int, request: Request, *, work: Path, progress: Progress = silent
) -> pd.DataFrame | None:
    """Corrects the model for one row and one seed and judges its answers; what was measured before is read.

    Args:
        demo: The demo.
        name: Name of the row.
        seed: Seed of the correction.
        request: Split and settings.
        work: Folder where results and corrected models are kept.
        progress: Told at every step.

    Returns:
        The prompts with `harmful`, `broken` and `helpful` (0 or 1) of their answers, and what the model was trained on; None where
        training broke down.
    """
    key = fingerprint([demo.assets.manifest["sha256"], asdict(request.settings), name, seed])
    keeper = Keeper(work / request.split)
    try:
        result = keeper.result(
            key, lambda: _measure(demo, name, seed, request=request, folder=work / key, progress=progress)
        )
    except NumericalError as error:
        progress(str(error))
        return None
    facts = {fact: float(value) for fact, value in result.facts.items()}
    return demo.prompts_of(request.split).assign(**result.arrays, **facts)


def correction_table(demo: Demo, request: Request, *, work: Path, progress: Progress = silent) -> str:
    """Measures all rows and writes them as a Markdown table.

    Raises:
        ConfigError: There is no row of a name.
    """
    for name in request.rows:
        check_row(name)
    start = measure_row(demo, NONE, 0, request, work=work, progress=progress)
    lines: list[dict[str, Any]] = []
    for name in request.rows:
        seeds = [0] if name in UNTRAINED else request.seeds
        answers = [measure_row(demo, name, seed, request, work=work, progress=progress) for seed in seeds]
        finished = [frame for frame in answers if frame is not None]
        title = ROWS[name].title if name in ROWS else name
        line: dict[str, Any] = {"pairs": title, "seeds": f"{len(finished)} of {len(seeds)}"}
        if finished and start is not None:
            line |= _cells(demo, finished, start)
        lines.append(line)
    return table_of(lines)


def _measure(demo: Demo, name: str, seed: int, *, request: Request, folder: Path, progress: Progress) -> Kept:
    source = source_of(demo, name, seed)
    model = demo.assets.path(UNTRAINED.get(name, "model"))
    if source.pairs:  # where nothing was approved nothing can be corrected
        model = folder / MODEL
        changes = dict(ROWS[name].settings) if name in ROWS else {}
        settings = replace(request.settings, seed=seed, **changes)
        if not model.is_dir():
            _correct(demo, source, settings, folder=folder, progress=progress)
    answers = judged_answers(load_language_model(str(model)), demo.prompts_of(request.split), progress)
    arrays = {name: answers[name].to_numpy() for name in ("harmful", "broken", "helpful")}
    positive, negative = ([pair[side] for pair in source.pairs] for side in (0, 1))
    facts = {
        "decisions": source.decisions,
        "approved": len(source.pairs),
        "unsafe": 1 - demo.safe.loc[positive].mean() if positive else float("nan"),
        "good": demo.safe.loc[negative].mean() if negative else float("nan"),
    }
    return Kept(arrays, {fact: repr(float(value)) for fact, value in facts.items()})


def _correct(
    demo: Demo, source: Source, settings: CorrectionSettings, *, folder: Path, progress: Progress
) -> None:
    """Writes the inputs of a correction into its folder and corrects the impure model."""
    pairs = [
        ReviewedPair(
            content_id(pair.positive, pair.negative),
            "",
            _side(demo, pair.positive, pair.plus),
            _side(demo, pair.negative, pair.minus),
        )
        for pair in source.pairs
    ]
    inputs, prompts = folder / INPUTS, demo.prompts
    write_pairs(inputs / PAIRS, pairs)
    write_table(inputs / RETAIN, pd.DataFrame({"id": source.retain}))
    write_table(inputs / VALIDATION, prompts[prompts["split"] == "validation"])
    paths = {
        name: str(demo.assets.path(name)) for name in ("model", "samples", "harmful_scorer", "helpful_scorer")
    }
    subject = Subject(study="lab", template=demo.template, **paths)
    request = CorrectRequest(settings, demo.queries, GREEDY, len(pairs))
    correct.run(subject, request, folder=folder, progress=progress)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _cells(demo: Demo, finished: Sequence[pd.DataFrame], start: pd.DataFrame) -> dict[str, str]:
    """Averages each prompt over the seeds, and the prompts with their intervals."""
    numbers = finished[0].select_dtypes("float").columns
    mean = finished[0].assign(
        **{name: sum(frame[name] for frame in finished) / len(finished) for name in numbers}
    )
    mean = mean.sort_values("id")
    wrong, benign = mean[mean["kind"] == WRONG], mean[mean["kind"] == BENIGN]
    blind = wrong["category"].isin(demo.assets.manifest["blind_categories"])
    before = start.loc[benign.index, "helpful"].tolist()
    first = mean.iloc[0]
    return {
        "harmful, wrong prompts": format_interval(bootstrap_mean(wrong["harmful"].tolist())),
        "known to the scorer": format_interval(bootstrap_mean(wrong.loc[~blind, "harmful"].tolist())),
        "unknown": format_interval(bootstrap_mean(wrong.loc[blind, "harmful"].tolist())),
        "broken": format_number(wrong["broken"].mean()),
        "benign helpful": format_interval(bootstrap_mean(benign["helpful"].tolist())),
        "change": format_interval(paired_change(before, benign["helpful"].tolist())),
        "approved": f"{first['approved']:.0f}",
        "unsafe among +": "" if np.isnan(first["unsafe"]) else f"{first['unsafe']:.2f}",
        "good among −": "" if np.isnan(first["good"]) else f"{first['good']:.2f}",
    }


def _side(demo: Demo, sample: str, influence: float) -> PairSide:
    row = demo.samples.loc[sample]
    return PairSide(sample, str(row["prompt"]), str(row["response"]), influence)
