"""How well influence finds the demo's unsafe samples beside words and chance, and how long it takes. Prints two tables.

    python -m tests.benchmarks.attribution [--folder FOLDER_OF_A_DEMO] [--quick]

Average precision for unsafe samples: within the 100 samples that TF-IDF recalls for each query, over the whole corpus for each
query, and over the whole corpus for query batches (K-Means clusters of the queries, mean gradient). Intervals are 95 % bootstrap
intervals over queries or batches. Times are wall-clock seconds on this machine, with whatever else runs on it.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from lancet_core.data.samples import Query, read_samples
from lancet_core.evaluation.ranking import ranking_report
from lancet_core.influence.settings import METHODS, ClusterSettings, InfluenceSettings
from lancet_core.models.loading import load_language_model
from lancet_core.operations import attribute, cluster
from lancet_core.operations.configs import AttributeConfig, ClusterConfig
from lancet_core.workbench.demo_assets import FOLDER, read_assets

VARIANTS = {
    **{method: InfluenceSettings(method=method) for method in METHODS},
    "linfac, empirical Fisher": InfluenceSettings(fisher="empirical"),
    "linfac, damping .01": InfluenceSettings(damping=0.01),
    "linfac, all samples in the factors": InfluenceSettings(factor_samples=0),
}


class Bench:
    """The demo and everything that is kept warm between runs."""

    def __init__(self, folder, work):
        assets = read_assets(folder)
        self.samples_path, self.model = assets.path("samples"), str(assets.path("model"))
        self.samples = read_samples(self.samples_path)
        self.template = assets.manifest["template"]
        mined = pd.read_parquet(assets.path("queries"))
        self.queries = tuple(Query(*row) for row in zip(mined["prompt"], mined["response"], strict=True))
        self.lm, self.work = load_language_model(self.model), work

    def load(self, _folder):
        return self.lm

    def attribute(self, queries, settings, *, batch=False, detail=0, keep=True):
        """Scores and seconds."""
        config = AttributeConfig(
            "demo", self.model, str(self.samples_path), self.template, queries, settings,
            batch=batch, detail=detail, factors=str(self.work / "factors") if keep else "",
        )  # fmt: skip
        folder = Path(tempfile.mkdtemp(dir=self.work))
        started = time.perf_counter()
        attribute.run(config, folder, load=self.load)
        return pd.read_parquet(folder / "scores.parquet"), time.perf_counter() - started

    def batches(self):
        """The queries, each in the group of its cluster."""
        folder = Path(tempfile.mkdtemp(dir=self.work))
        config = ClusterConfig("demo", self.model, self.template, self.queries, ClusterSettings())
        cluster.run(config, folder, load=self.load)
        labels = pd.read_parquet(folder / "clusters.parquet").set_index("query_id")["cluster"]
        return tuple(replace(query, group=str(labels[query.id])) for query in self.queries)


def told(report):
    interval = report.mean
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def print_precision(bench, variants):
    grouped = bench.batches()
    print(
        f"\n{len(bench.samples)} samples, {len(bench.queries)} queries, {len({q.group for q in grouped})} batches\n"
    )
    print("| method | within 100 recalled | whole corpus, single query | whole corpus, query batch |")
    print("|---|---|---|---|")
    chances = {}
    for name, settings in variants.items():
        row = []
        for place, queries, chosen, batch in (
            ("recalled", bench.queries, settings, False),
            ("single", bench.queries, replace(settings, recall=0), False),
            ("batch", grouped, replace(settings, recall=0), True),
        ):
            scores, _ = bench.attribute(queries, chosen, batch=batch)
            report = ranking_report(scores, bench.samples)
            row.append(told(report))
            chances[place] = report.chance
        print(f"| {name} | {' | '.join(row)} |", flush=True)
    print(f"| chance | {' | '.join(f'{value:.3f}' for value in chances.values())} |")
    return grouped


def print_times(bench, grouped):
    settings = InfluenceSettings()
    rows = {
        "curvature from 2,000 samples + one trace": bench.attribute(
            bench.queries[:1], settings, detail=50, keep=False
        )[1]
    }
    bench.attribute(bench.queries[:1], settings, detail=50)
    warm = [bench.attribute((query,), settings, detail=50)[1] for query in bench.queries[1:6]]
    rows["trace of a new query, 100 recalled, tokens and units of all, warm (median of 5)"] = sorted(warm)[2]
    whole = replace(settings, recall=0)
    rows["all batches over the whole corpus, no spread"] = bench.attribute(grouped, whole, batch=True)[1]
    rows["all batches over the whole corpus, 50 + 50 spread each"] = bench.attribute(
        grouped, whole, batch=True, detail=50
    )[1]
    rows["one query over the whole corpus"] = bench.attribute(bench.queries[:1], whole)[1]
    print(f"\n| what ({torch.get_num_threads()} threads) | seconds |\n|---|---|")
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.2f} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="folder of a demo, as `lancet demo build` writes it"
    )
    parser.add_argument("--quick", action="store_true", help="only linfac, tfidf and random")
    chosen = parser.parse_args()
    variants = {name: VARIANTS[name] for name in ("linfac", "tfidf", "random")} if chosen.quick else VARIANTS
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(chosen.folder, Path(work))
        print_times(bench, print_precision(bench, variants))


if __name__ == "__main__":
    main()
