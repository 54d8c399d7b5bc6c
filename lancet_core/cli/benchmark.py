"""`lancet benchmark`: measures attribution against retrained models, exact influence and known labels. Tables are Markdown."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from lancet_core.cli.dashboard import CHECKOUT
from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption
from lancet_core.cli.output import print_json, print_line, print_note
from lancet_core.data.samples import read_samples
from lancet_core.errors import DataError
from lancet_core.experiments.variants import chosen_settings
from lancet_core.influence.methods import CURVATURES, EKFAC, LINFAC_HEAD, METHODS, TFIDF
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.store.run_status import RUNNING, Status
from lancet_core.workbench import demo_assets

if TYPE_CHECKING:  # both bring torch
    from lancet_core.experiments.corpora import MeasuredCorpus
    from lancet_core.experiments.scoring import Bench

TRUTH = CHECKOUT / "assets" / "truth"
DEMO: Final = "demo"
ALL_METHODS, GRADIENT_METHODS = ",".join(METHODS), ",".join(CURVATURES)
SECONDS_BETWEEN_NOTES = 60.0
commands = typer.Typer(
    help="Measure attribution on the demo corpora; what is computed is kept, so that a stopped command goes on."
)

CorpusOption = Annotated[
    Literal["demo", "other-seed", "own-words", "tiny"],
    typer.Option(
        "--corpus",
        help="The shipped demo; a smaller one of another seed; one whose bad answers have words of their own; or a tiny one, on which "
        "everything takes minutes.",
    ),
]
WorkOption = Annotated[
    Path, typer.Option("--work", help="Folder where retrained models' answers, factors and scores are kept.")
]
ProcessesOption = Annotated[
    int, typer.Option("--processes", min=1, help="Models trained at once, one thread each.")
]
VariantsOption = Annotated[
    bool,
    typer.Option("--variants/--no-variants", help="Measure the variants of these methods' settings as well."),
]
NamedOption = Annotated[
    str, typer.Option("--named", help="Measure only those variants whose name holds this text.")
]
MethodsOption = Annotated[
    str, typer.Option("--methods", help=f"Methods, separated by commas: {', '.join(METHODS)}.")
]


@commands.command("bank")
def bank(
    corpus: CorpusOption = DEMO,
    subsets: Annotated[
        int, typer.Option("--subsets", min=3, help="Models, each trained on a random half of the samples.")
    ] = 60,
    repeats: Annotated[
        int,
        typer.Option(
            "--repeats",
            min=0,
            help="Halves on which a second model is trained with another seed: the noise of the truth.",
        ),
    ] = 20,
    processes: ProcessesOption = 2,
    work: WorkOption = Path("build/truth"),
    as_json: JsonOption = False,
) -> None:
    """Retrains models on random halves of a corpus and keeps how likely each finds the queries: truth for the other commands."""
    from lancet_core.experiments import retraining

    drawn, path = _corpus(corpus), TRUTH / f"{corpus}.safetensors"
    known = None
    if path.is_file():
        try:
            known = retraining.read_bank(path, drawn)
        except DataError as error:
            print_note(f"it is made anew: {error}")
    with RunBar() as bar:
        made = retraining.measure_bank(
            drawn,
            retraining.BankSettings(subsets, repeats),
            known=known,
            folder=work / corpus,
            processes=processes,
            progress=_Follower(bar),
        )
    retraining.write_bank(path, drawn, made)
    if as_json:
        facts = {"subsets": subsets, "repeats": len(made.again), "queries": len(drawn.queries), "bank": path}
        print_json({"corpus": corpus, **facts})
        return
    print_line(
        f"bank of {subsets} models and {len(made.again)} of another seed on {len(drawn.samples):,} samples, {len(drawn.queries)} queries: {path}"
    )


@commands.command("attribution")
def attribution(
    corpus: CorpusOption = DEMO,
    methods: MethodsOption = ALL_METHODS,
    variants: VariantsOption = False,
    named: NamedOption = "",
    work: WorkOption = Path("build/truth"),
    as_json: JsonOption = False,
) -> None:
    """Prints how well each method ranks unsafe samples (average precision) and foretells retrained models (LDS), with intervals."""
    from lancet_core.experiments import attribution as experiment
    from lancet_core.experiments.retraining import read_bank

    rows = _rows(methods, variants=variants, named=named)
    path = TRUTH / f"{corpus}.safetensors"
    with RunBar() as bar:
        follower = _Follower(bar)
        bench = _bench(corpus, work, follower)
        bank = read_bank(path, bench.corpus) if path.is_file() else None
        if bank is None:
            print_note(f"no LDS: there is no {path}; make it with: lancet benchmark bank --corpus {corpus}")
        yardstick = experiment.Yardstick(bench, bank)
        measured = experiment.measure_all(yardstick, rows, follower)
    if as_json:
        print_json({name: asdict(row) for name, row in measured.items()})
        return
    print_line(
        f"{corpus}: {len(bench.corpus.samples):,} samples, {len(bench.singles)} queries, {len(bench.batches)} query batches, "
        f"{0 if bank is None else len(bank.masks)} retrained models\n"
    )
    print_line(experiment.attribution_table(yardstick, measured))


@commands.command("removal")
def removal(
    corpus: CorpusOption = DEMO,
    methods: MethodsOption = f"{LINFAC_HEAD},{EKFAC},{TFIDF}",
    batches: Annotated[
        int, typer.Option("--batches", min=1, max=5, help="Query batches whose top samples are removed.")
    ] = 3,
    processes: ProcessesOption = 2,
    work: WorkOption = Path("build/truth"),
    as_json: JsonOption = False,
) -> None:
    """Retrains without the top 1 % and 5 % of each method, and prints how log p of the queries changes beside random removal.

    What each model gave is kept beside the banks, so that a model is trained again only where other samples are removed.
    """
    from lancet_core.experiments import removal as experiment

    rows = _rows(methods)
    with RunBar() as bar:
        follower = _Follower(bar)
        bench = _bench(corpus, work, follower)
        found = experiment.measure_removal(
            bench,
            rows,
            batches=batches,
            kept=TRUTH / f"removal-{corpus}",
            processes=processes,
            progress=follower,
        )
    if as_json:
        print_json([asdict(row) for row in found])
        return
    print_line(f"{corpus}: change of log p of a query in nats, {found[0].change.n} queries\n")
    print_line(experiment.removal_table(found))


@commands.command("index")
def index_quality(
    corpus: CorpusOption = DEMO,
    methods: Annotated[
        str,
        typer.Option(
            "--methods", help=f"Methods, separated by commas: {LINFAC_HEAD}, linfac, linfac-expand, {EKFAC}."
        ),
    ] = LINFAC_HEAD,
    work: WorkOption = Path("build/truth"),
    as_json: JsonOption = False,
) -> None:
    """Prints how much of the exact top 50 gradient indexes of several sizes find, before and after re-scoring."""
    from lancet_core.experiments import index_quality as experiment

    rows = _rows(methods)
    found = {}
    with RunBar() as bar:
        follower = _Follower(bar)
        bench = _bench(corpus, work, follower)
        for name, settings in rows.items():
            found[name] = experiment.measure_index(bench, settings, progress=follower)
    if as_json:
        print_json({name: [asdict(row) for row in own] for name, own in found.items()})
        return
    for name, own in found.items():
        print_line(f"{corpus}, {name}: {len(bench.corpus.samples):,} samples, {len(bench.singles)} queries\n")
        print_line(experiment.index_table(own))


@commands.command("exact")
def exact(
    methods: MethodsOption = GRADIENT_METHODS,
    variants: VariantsOption = False,
    samples: Annotated[
        int, typer.Option("--samples", min=20, help="Samples of the demo that the small model is trained on.")
    ] = 200,
    work: WorkOption = Path("build/truth"),
    as_json: JsonOption = False,
) -> None:
    """Prints how each gradient method's scores agree with exact damped Gauss-Newton influence on a model of width 16."""
    from lancet_core.experiments import exact as experiment

    rows = _rows(methods, variants=variants)
    small = experiment.small_corpus(_corpus(DEMO), samples)
    with RunBar() as bar:
        found = experiment.measure_exact(small, rows, work / "exact", _Follower(bar))
    if as_json:
        print_json(found)
        return
    print_line(f"{small.name}: Spearman correlation with exact influence, {len(small.queries)} queries\n")
    print_line(experiment.exact_table(found))


class _Follower:
    """A progress that a bar shows; where stderr is no terminal it writes a line now and then."""

    def __init__(self, bar: RunBar) -> None:
        self._bar, self._step, self._first = bar, "", 0
        self._started = self._told = time.monotonic()

    def __call__(self, step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        """Shows where the work stands."""
        del values
        now = time.monotonic()
        if step != self._step:
            self._step, self._first, self._started = step, done, now
        advanced = done - self._first
        left = (now - self._started) / advanced * (total - done) if total and advanced > 0 else None
        self._bar(Status(RUNNING, step=step, done=done, total=total, eta_seconds=left))
        if not sys.stderr.isatty() and now - self._told >= SECONDS_BETWEEN_NOTES:
            self._told = now
            print_note(f"{step}: {done:,} of {total:,}" if total else step)


def _rows(methods: str, *, variants: bool = False, named: str = "") -> dict[str, InfluenceSettings]:
    names = [name.strip() for name in methods.split(",") if name.strip()]
    return chosen_settings(names, variants=variants, named=named)


def _corpus(name: str) -> "MeasuredCorpus":
    from lancet_core.experiments import corpora

    queries = demo_assets.read_assets().path("queries")
    return corpora.draw(name, corpora.recipes(queries)[name])


def _bench(name: str, work: Path, follower: _Follower) -> "Bench":
    """A corpus and a model trained on all of it: the demo's own, or one that is trained at the first call."""
    from lancet_core.experiments.scoring import Bench, trained_on_all

    corpus, folder = _corpus(name), work / name
    if name == DEMO:
        assets = demo_assets.read_assets()
        if list(read_samples(assets.path("samples"))["id"]) != list(corpus.samples["id"]):
            raise DataError(
                f"the demo in {assets.folder} was made from other samples than the corpus {DEMO!r}; restore the shipped one, or "
                "remake it with its defaults: lancet demo build"
            )
        return Bench(corpus, assets.path("model"), folder)
    return Bench(corpus, trained_on_all(corpus, folder, follower), folder)
