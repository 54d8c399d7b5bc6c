"""What IBO does to the demo's impure model: every source of pairs beside its controls, judged by the demo's oracle.

    python -m tests.benchmarks.correction --folder bench --seeds 0,1,2
    python -m tests.benchmarks.correction --folder bench --rows reviewed,random --split validation
    python -m tests.benchmarks.correction --folder bench --effort 50,100,200,400

Finished rows are kept in the folder and not run again. Settings may only be chosen on the validation split. Answers are greedy.
Intervals are 95 % bootstrap intervals over prompts, each prompt averaged over the seeds first.
"""

import argparse
import dataclasses
import json
import random
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from lancet_core.correction.pair_files import PairSide, ReviewedPair, write_pairs
from lancet_core.correction.pairs import choose_retain_set, propose_pairs
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.data.demo import oracle
from lancet_core.data.samples import Query, content_id, read_prompts, read_samples
from lancet_core.errors import NumericalError
from lancet_core.evaluation.intervals import bootstrap_mean, paired_change
from lancet_core.models.generation import generate
from lancet_core.models.loading import load_language_model
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations import correct
from lancet_core.operations.answering import reference_nll
from lancet_core.operations.configs import CorrectConfig
from lancet_core.workbench.demo_assets import FOLDER, DemoAssets, read_assets

WANTED = 200
GENERATION = GenerationSettings(max_new_tokens=96, batch_size=64)
WHOLE_QUEUE = 100_000
GUARD_OFF = 1e9


class Demo(NamedTuple):
    """The demo's files, read once."""

    assets: DemoAssets
    samples: pd.DataFrame
    prompts: pd.DataFrame
    queries: tuple
    scores: pd.DataFrame

    @property
    def template(self):
        return self.assets.manifest["template"]

    @property
    def blind(self):
        return set(self.assets.manifest["blind_categories"])


class Source(NamedTuple):
    """What one correction is trained on; `decisions` counts the pairs that somebody looked at."""

    pairs: list
    retain: list
    decisions: int = 0
    settings: tuple = ()


def read_demo(folder):
    assets = read_assets(folder)
    harm = pd.read_parquet(assets.path("scores")).set_index("sample_id")["harmful"]
    samples = read_samples(assets.path("samples"))
    samples = samples.assign(harmful=samples["id"].map(harm)).set_index("id", drop=False)
    mined = pd.read_parquet(assets.path("queries"))
    queries = tuple(Query(*row) for row in zip(mined["prompt"], mined["response"], strict=True))
    run = assets.folder / assets.manifest["runs"]["attribute"]["folder"]
    scores = pd.read_parquet(run / "scores.parquet").rename(columns={"query_id": "cluster"})
    return Demo(assets, samples, read_prompts(assets.path("prompts")), queries, scores)


def approves(demo, positive, negative):
    """The rule-based reviewer: it knows the grammar, and wants a bad answer to be pushed away from and a good one towards."""
    verdicts = [
        oracle.judge(*demo.samples.loc[side, ["prompt", "response"]]).verdict for side in (positive, negative)
    ]
    return verdicts == [oracle.HARMFUL, oracle.GOOD]


def queue(demo, **settings):
    """The review queue by influence: ids of both sides with their scaled influence."""
    proposed = propose_pairs(demo.scores, demo.samples, PairSettings(**settings))
    columns = ["positive_id", "negative_id", "positive_influence", "negative_influence"]
    return list(proposed[columns].itertuples(index=False, name=None))


def random_queue(demo, seed):
    ids = sorted(demo.samples["id"])
    random.Random(seed).shuffle(ids)
    half = len(ids) // 2
    return [(left, right, 1.0, -1.0) for left, right in zip(ids[:half], ids[half : 2 * half], strict=True)]


def scorer_queue(demo, seed):
    """Most harmful beside least harmful by the harmful score."""
    ids = (
        demo.samples.reset_index(drop=True)
        .sort_values(["harmful", "id"], ascending=[False, True])["id"]
        .tolist()
    )
    half = len(ids) // 2
    return [(left, right, 1.0, -1.0) for left, right in zip(ids[:half], reversed(ids[half:]), strict=False)]


def reviewed(demo, pairs, *, decisions=WHOLE_QUEUE, wanted=WHOLE_QUEUE):
    """Walks a queue until enough was decided or approved; returns the approved pairs and the number of decisions."""
    approved, made = [], 0
    for pair in pairs:
        if made >= decisions or len(approved) >= wanted:
            break
        made += 1
        if approves(demo, *pair[:2]):
            approved.append(pair)
    return approved, made


def near_zero(demo, pairs):
    sides = pd.DataFrame(
        {"positive_id": [pair[0] for pair in pairs], "negative_id": [pair[1] for pair in pairs]}
    )
    return choose_retain_set(demo.scores, sides, PairSettings(), sample_ids=demo.samples["id"].tolist())


def random_half(demo, pairs, seed):
    """The retain set of sources that know no influence."""
    used = {sample for pair in pairs for sample in pair[:2]}
    rest = sorted(set(demo.samples["id"]) - used)
    return random.Random(seed + 1).sample(rest, len(rest) // 2)


def by_influence(demo, seed, **settings):
    pairs = queue(demo, count=WANTED, **settings)
    return Source(pairs, near_zero(demo, pairs))


def by_review(demo, seed, **settings):
    pairs, made = reviewed(demo, queue(demo, count=WHOLE_QUEUE), wanted=WANTED)
    return Source(pairs, near_zero(demo, pairs), made, tuple(settings.items()))


def pure_at_random(demo, seed):
    """Pure pairs without influence: bad answers, and good answers to wrong prompts, both drawn at random."""
    draw = random.Random(seed)
    wrong = {row.id for row in demo.samples.itertuples() if json.loads(row.extra)["kind"] == "wrong"}
    bad = sorted(demo.samples.index[~demo.samples["is_safe"].astype(bool)])
    good = sorted(set(demo.samples.index[demo.samples["is_safe"].astype(bool)]) & wrong)
    pairs = [
        (left, right, 1.0, -1.0)
        for left, right in zip(draw.sample(bad, WANTED), draw.sample(good, WANTED), strict=True)
    ]
    return Source(pairs, random_half(demo, pairs, seed))


def by_scorer(demo, seed):
    pairs = scorer_queue(demo, seed)[:WANTED]
    return Source(pairs, random_half(demo, pairs, seed))


ROWS = {
    "none": None,
    "literal": lambda demo, seed: by_review(demo, seed, form="literal", guard=GUARD_OFF),
    "influence": by_influence,
    "agreement": lambda demo, seed: by_influence(demo, seed, scorer_agreement=True),
    "reviewed": by_review,
    "random": pure_at_random,
    "scorer": by_scorer,
    "safe": None,
}
NAMES = {
    "none": "no correction",
    "literal": "literal form, reviewed pairs",
    "influence": "200 pairs by influence alone",
    "agreement": "200 pairs by influence where the scorer agrees",
    "reviewed": "200 pairs by influence, approved by the reviewer",
    "random": "200 pure pairs drawn at random",
    "scorer": "200 pairs by harmful score alone",
    "safe": "safe model",
}
UNTRAINED = {"none": "model", "safe": "safe_model"}
QUEUES = {
    "influence": lambda demo, seed: queue(demo, count=WHOLE_QUEUE),
    "random": random_queue,
    "scorer": scorer_queue,
}


def effort_source(demo, seed, order, decisions):
    """What a reviewer has after so many decisions in one order of the queue."""
    pairs, made = reviewed(demo, QUEUES[order](demo, seed), decisions=decisions)
    retain = near_zero(demo, pairs) if order == "influence" else random_half(demo, pairs, seed)
    return Source(pairs, retain, made)


def train(demo, source, folder, *, seed, settings):
    """Runs the correct operation in a folder and returns the folder of the corrected model."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [
        ReviewedPair(
            content_id(positive, negative), "", side(demo, positive, plus), side(demo, negative, minus)
        )
        for positive, negative, plus, minus in source.pairs
    ]
    write_pairs(folder / "pairs.jsonl", pairs)
    pd.DataFrame({"id": source.retain}).to_parquet(folder / "retain.parquet")
    validation = demo.prompts[demo.prompts["split"] == "validation"]
    validation.to_parquet(folder / "validation.parquet")
    config = CorrectConfig(
        study="demo",
        model=str(demo.assets.path("model")),
        samples=str(demo.assets.path("samples")),
        template=demo.template,
        pairs=str(folder / "pairs.jsonl"),
        retain=str(folder / "retain.parquet"),
        correction=dataclasses.replace(settings, seed=seed, **dict(source.settings)),
        queries=demo.queries,
        prompts=str(folder / "validation.parquet"),
        harmful_scorer=str(demo.assets.path("harmful_scorer")),
        helpful_scorer=str(demo.assets.path("helpful_scorer")),
        generation=GENERATION,
    )
    result = correct.run(config, folder, show)
    print(
        f"  {result['seconds']:.0f} s, best step {result['best_step']}, {len(source.retain)} retain samples",
        flush=True,
    )
    return result["model"]


def side(demo, sample, influence):
    row = demo.samples.loc[sample]
    return PairSide(sample, row["prompt"], row["response"], influence)


def show(step, done=0, total=None, **values):
    if "harmful" in values or (values and done % 50 == 0):
        told = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        print(f"  {step} {done}/{total}: {told}", flush=True)


def answer(demo, model, split):
    """Lets a model answer a split and judges each answer by the oracle."""
    language_model = load_language_model(str(model))
    asked = demo.prompts[(demo.prompts["split"] == split) & demo.prompts["kind"].isin(["wrong", "benign"])]
    asked = asked.reset_index(drop=True)
    responses = generate(language_model, asked["prompt"].tolist(), demo.template, GENERATION)
    judged = [oracle.judge(*row) for row in zip(asked["prompt"], responses, strict=True)]
    return asked.assign(
        response=responses,
        harmful=[float(one.verdict == oracle.HARMFUL) for one in judged],
        broken=[float(one.verdict == oracle.BROKEN) for one in judged],
        helpful=[float(one.helpful) for one in judged],
        nll=reference_nll(language_model, asked, demo.template),
    )


def run_row(demo, name, seed, options):
    """Runs one row for one seed unless the folder has it; returns its answers, None where training broke down."""
    place = options.folder / options.split / f"{name}-{seed}.parquet"
    if place.is_file():
        return pd.read_parquet(place)
    print(f"{name}, seed {seed}", flush=True)
    work = options.folder / "work" / f"{name}-{seed}"
    begun = time.monotonic()
    try:
        source, model = corrected(demo, name, seed, work=work, settings=options.settings)
    except NumericalError as error:
        print(f"  {error}", flush=True)
        return None
    answers = answer(demo, model, options.split).assign(
        seconds=time.monotonic() - begun,
        decisions=source.decisions,
        pairs=len(source.pairs),
        **purity(demo, source),
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    answers.to_parquet(place)
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    return answers


def corrected(demo, name, seed, *, work, settings):
    """Trains what a row asks for; returns what it was trained on and the model's folder."""
    if name in UNTRAINED:
        return Source([], []), demo.assets.path(UNTRAINED[name])
    order, _, decisions = name.partition("@")
    source = effort_source(demo, seed, order, int(decisions)) if decisions else ROWS[name](demo, seed)
    if not source.pairs:  # nothing was approved, so nothing can be corrected
        return source, demo.assets.path("model")
    if (work / "model").is_dir():
        return source, work / "model"
    return source, train(demo, source, work, seed=seed, settings=settings)


def same_settings(folder, settings):
    """Refuses a folder whose rows were made with other settings."""
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / "settings.json", json.dumps(dataclasses.asdict(settings), indent=1)
    if path.is_file() and path.read_text() != text:
        raise SystemExit(f"{folder} holds rows of other settings (see {path}); give a new folder")
    path.write_text(text)


def purity(demo, source):
    """Share of unsafe among the positive samples and of safe among the negative ones."""
    if not source.pairs:
        return {"positive_purity": float("nan"), "negative_purity": float("nan")}
    safe = demo.samples["is_safe"].astype(bool)
    return {
        "positive_purity": 1 - safe.loc[[pair[0] for pair in source.pairs]].mean(),
        "negative_purity": safe.loc[[pair[1] for pair in source.pairs]].mean(),
    }


def over_seeds(frames):
    """Averages each prompt over the seeds."""
    columns = [
        "harmful",
        "broken",
        "helpful",
        "nll",
        "seconds",
        "decisions",
        "pairs",
        "positive_purity",
        "negative_purity",
    ]
    return pd.concat(frames).groupby(["id", "kind", "category"], as_index=False)[columns].mean()


def told(interval, digits=3):
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def table_row(demo, answers, start):
    wrong, benign = answers[answers["kind"] == "wrong"], answers[answers["kind"] == "benign"]
    blind = wrong["category"].isin(demo.blind)
    before = start[start["kind"] == "benign"].set_index("id")["helpful"].loc[benign["id"]]
    first = answers.iloc[0]
    return {
        "harmful": told(bootstrap_mean(wrong["harmful"].tolist())),
        "known to the scorer": told(bootstrap_mean(wrong.loc[~blind, "harmful"].tolist())),
        "unknown": told(bootstrap_mean(wrong.loc[blind, "harmful"].tolist())),
        "broken": f"{wrong['broken'].mean():.3f}",
        "benign helpful": told(bootstrap_mean(benign["helpful"].tolist())),
        "change": told(paired_change(before.tolist(), benign["helpful"].tolist())),
        "benign NLL": f"{benign['nll'].mean():.3f}",
        "pairs": f"{first['pairs']:.0f}",
        "unsafe +": f"{first['positive_purity']:.2f}",
        "safe −": f"{first['negative_purity']:.2f}",
        "decisions": f"{first['decisions']:.0f}",
        "seconds": f"{first['seconds']:.0f}",
    }


def print_table(rows):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *[[row.get(name, "") for name in columns] for row in rows]]
    print("\n".join("| " + " | ".join(line) + " |" for line in lines), flush=True)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=FOLDER, help="folder of the demo's assets")
    parser.add_argument("--folder", type=Path, required=True, help="where finished rows are kept")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seeds", default="0", help="seeds of the corrections, by commas")
    parser.add_argument(
        "--split", default="unseen", choices=["unseen", "validation"], help="prompts that are answered"
    )
    parser.add_argument(
        "--effort", default="", help="decisions after which the three queues are compared, by commas"
    )
    parser.add_argument(
        "--settings", default="{}", help="correction settings other than the defaults, as JSON"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    options = parser.parse_args()
    options.settings = CorrectionSettings(**json.loads(options.settings))
    return options


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    same_settings(options.folder, options.settings)
    demo = read_demo(options.demo)
    names = options.rows.split(",") if options.rows else []
    names += [f"{order}@{count}" for count in filter(None, options.effort.split(",")) for order in QUEUES]
    start = run_row(demo, "none", 0, options)
    rows = []
    for name in names:
        seeds = [0] if name in UNTRAINED else [int(seed) for seed in options.seeds.split(",")]
        answered = [run_row(demo, name, seed, options) for seed in seeds]
        finished = [frame for frame in answered if frame is not None]
        label = {"row": NAMES.get(name, name), "seeds": f"{len(finished)} of {len(seeds)}"}
        rows.append(label | (table_row(demo, over_seeds(finished), start) if finished else {}))
        print_table(rows)


if __name__ == "__main__":
    main()
