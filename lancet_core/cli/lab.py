"""`lancet lab`: measures on the demo what the documents report. Tables are Markdown."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from lancet_core.cli.dashboard import CHECKOUT
from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption
from lancet_core.cli.output import print_json, print_line, print_note, print_text
from lancet_core.config import from_dict
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.errors import ConfigError, DataError, JobError
from lancet_core.files import parse_json
from lancet_core.influence.methods import EKFAC, GRADIENT_METHODS, LINFAC_HEAD, METHODS, PAPER, TFIDF
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.lab.keeper import Keeper
from lancet_core.lab.performance.names import PARTS, RIVALS
from lancet_core.lab.variants import chosen_settings
from lancet_core.store.run_status import RUNNING, Status
from lancet_core.study.demo import FOLDER, read_assets

TRUTH = CHECKOUT / "assets" / "truth"
WORK = Path("build/truth")
DEMO: Final = "demo"
# `paper` is measured as the variant "linfac, generated Fisher": over the whole corpus they are the same.
MEASURED, MEASURED_BY_GRADIENTS = (
    ",".join(method for method in methods if method != PAPER) for methods in (METHODS, GRADIENT_METHODS)
)
SECONDS_BETWEEN_NOTES = 60.0
CORRECTION_ROWS = "none,literal,influence,agreement,reviewed,random,scorer,safe"
commands = typer.Typer(
    help="Measure attribution, corrections and speed on the demo; what is computed is kept, so that a stopped command goes on."
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
        int, typer.Option(min=3, help="Models, each trained on a random half of the samples.")
    ] = 60,
    repeats: Annotated[
        int,
        typer.Option(
            min=0, help="Halves on which a second model is trained with another seed: the noise of the truth."
        ),
    ] = 20,
    processes: ProcessesOption = 2,
    work: WorkOption = WORK,
    as_json: JsonOption = False,
) -> None:
    """Retrains models on random halves of a corpus and keeps how likely each finds the queries: truth for the other commands."""
    from lancet_core.lab import retraining
    from lancet_core.lab.corpora import draw_named

    data, path = draw_named(corpus), Keeper(TRUTH).path(corpus)
    known, truth = None, Keeper(TRUTH)
    if path.is_file():
        try:
            known = retraining.read_bank(truth, data)
        except DataError as error:
            print_note(f"it is made anew: {error}")
    with RunBar() as bar:
        measured = retraining.measure_bank(
            data,
            retraining.BankSettings(subsets, repeats),
            known=known,
            keeper=Keeper(work / corpus),
            processes=processes,
            progress=_Follower(bar),
        )
    retraining.write_bank(truth, data, measured)
    if as_json:
        facts = {
            "subsets": subsets,
            "repeats": len(measured.again),
            "queries": len(data.queries),
            "bank": path,
        }
        print_json({"corpus": corpus, **facts})
        return
    print_line(
        f"bank of {subsets} models and {len(measured.again)} of another seed on {len(data.samples):,} samples, {len(data.queries)} queries: {path}"
    )


@commands.command("attribution")
def attribution(
    corpus: CorpusOption = DEMO,
    methods: MethodsOption = MEASURED,
    variants: VariantsOption = False,
    named: NamedOption = "",
    work: WorkOption = WORK,
    as_json: JsonOption = False,
) -> None:
    """Prints how well each method ranks unsafe samples (average precision) and predicts retrained models (LDS), with intervals."""
    from lancet_core.lab import attribution as measures
    from lancet_core.lab.retraining import read_bank
    from lancet_core.lab.scoring import open_bench

    rows = _rows(methods, variants=variants, named=named)
    path = Keeper(TRUTH).path(corpus)
    with RunBar() as bar:
        follower = _Follower(bar)
        bench = open_bench(corpus, work, follower)
        bank = read_bank(Keeper(TRUTH), bench.corpus) if path.is_file() else None
        if bank is None:
            print_note(f"no LDS: there is no {path}; make it with: lancet lab bank --corpus {corpus}")
        yardstick = measures.Yardstick(bench, bank)
        measured = measures.measure_all(yardstick, rows, follower)
    heading = (
        f"{corpus}: {len(bench.corpus.samples):,} samples, {len(bench.singles)} queries, {len(bench.batches)} query batches, "
        f"{0 if bank is None else len(bank.masks)} retrained models"
    )
    _print(measured, {heading: measures.attribution_table(yardstick, measured)}, as_json)


@commands.command("removal")
def removal(
    corpus: CorpusOption = DEMO,
    methods: MethodsOption = f"{LINFAC_HEAD},{EKFAC},{TFIDF}",
    batches: Annotated[
        int, typer.Option(min=1, max=5, help="Query batches whose top samples are removed.")
    ] = 3,
    processes: ProcessesOption = 2,
    work: WorkOption = WORK,
    as_json: JsonOption = False,
) -> None:
    """Retrains without the top 1 % and 5 % of each method, and prints how log p of the queries changes beside random removal.

    What each model gave is kept beside the banks, so that a model is trained again only where other samples are removed.
    """
    from lancet_core.lab import removal as measures
    from lancet_core.lab.scoring import open_bench

    rows = _rows(methods)
    with RunBar() as bar:
        follower = _Follower(bar)
        bench = open_bench(corpus, work, follower)
        measured = measures.measure_removal(
            bench,
            rows,
            batches=batches,
            keeper=Keeper(TRUTH / f"removal-{corpus}"),
            processes=processes,
            progress=follower,
        )
    heading = f"{corpus}: change of log p of a query in nats, {measured[0].change.n} queries"
    _print(measured, {heading: measures.removal_table(measured)}, as_json)


@commands.command("index")
def index_quality(
    corpus: CorpusOption = DEMO,
    methods: Annotated[
        str,
        typer.Option(help=f"Methods, separated by commas: {LINFAC_HEAD}, linfac, linfac-expand, {EKFAC}."),
    ] = LINFAC_HEAD,
    work: WorkOption = WORK,
    as_json: JsonOption = False,
) -> None:
    """Prints how much of the exact top 50 gradient indexes of several sizes find, before and after re-scoring."""
    from lancet_core.lab import index_quality as measures
    from lancet_core.lab.scoring import open_bench

    rows = _rows(methods)
    measured = {}
    with RunBar() as bar:
        follower = _Follower(bar)
        bench = open_bench(corpus, work, follower)
        for name, settings in rows.items():
            measured[name] = measures.measure_index(bench, settings, progress=follower)
    counts = f"{len(bench.corpus.samples):,} samples, {len(bench.singles)} queries"
    tables = {f"{corpus}, {name}: {counts}": measures.index_table(sizes) for name, sizes in measured.items()}
    _print(measured, tables, as_json)


@commands.command("exact")
def exact(
    methods: MethodsOption = MEASURED_BY_GRADIENTS,
    variants: VariantsOption = False,
    samples: Annotated[
        int, typer.Option(min=20, help="Samples of the demo that the small model is trained on.")
    ] = 200,
    work: WorkOption = WORK,
    as_json: JsonOption = False,
) -> None:
    """Prints how each gradient method's scores agree with exact damped Gauss-Newton influence on a model of width 16."""
    from lancet_core.lab import exact as measures
    from lancet_core.lab.corpora import draw_named

    rows = _rows(methods, variants=variants)
    small = measures.small_corpus(draw_named(DEMO), samples)
    with RunBar() as bar:
        measured = measures.measure_exact(small, rows, work / "exact", _Follower(bar))
    heading = f"{small.name}: Spearman correlation with exact influence, {len(small.queries)} queries"
    _print(measured, {heading: measures.exact_table(measured)}, as_json)


@commands.command("correction")
def correction(
    rows: Annotated[
        str, typer.Option(help=f"Rows, separated by commas: {CORRECTION_ROWS}.")
    ] = CORRECTION_ROWS,
    effort: Annotated[
        str,
        typer.Option(
            help="Numbers of decisions, separated by commas, after which three queues of pairs are compared."
        ),
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds of the corrections, separated by commas.")] = "0",
    split: Annotated[
        Literal["unseen", "validation"], typer.Option(help="Prompts that are answered.")
    ] = "unseen",
    settings: Annotated[
        str, typer.Option(help="Correction settings other than the defaults, as JSON.")
    ] = "{}",
    demo: Annotated[
        Path | None, typer.Option(help="Folder of a demo's assets; unset: the shipped one.")
    ] = None,
    work: WorkOption = WORK,
) -> None:
    """Corrects the demo's impure model by every source of pairs and prints how much harm is left on unseen prompts."""
    from lancet_core.lab.correction import Request, correction_table
    from lancet_core.lab.correction_pairs import QUEUES, Demo

    names = _listed(rows) + [f"{queue}@{count}" for count in _listed(effort) for queue in QUEUES]
    request = Request(names, _numbers(seeds), split, _correction_settings(settings))
    with RunBar() as bar:
        read = Demo(read_assets(demo or FOLDER))
        table = correction_table(read, request, work=work / "correction", progress=_Follower(bar))
    print_text(table)


@commands.command("performance")
def performance(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Part to measure, of {', '.join(PARTS)}; can be given more than once; unset: all, which takes hours."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions of a pass.")] = 4,
    rival: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Rival to compare, of {'; '.join(RIVALS)}; can be given more than once; unset: all."
        ),
    ] = None,
    peer_limit: Annotated[float, typer.Option(min=1, help="Seconds after which a rival is stopped.")] = 1800,
    work: WorkOption = WORK,
) -> None:
    """Prints what attribution costs: passes against a floor, precision, batches, scaling, indexes, and rivals."""
    from lancet_core.lab.performance.alone import run_alone

    request = {"work": str((work / "performance").resolve()), "rounds": rounds, "peer_limit": peer_limit}
    rivals = _chosen(rival, RIVALS)
    for part in _chosen(only, PARTS):
        arguments = {"part": part, "rivals": rivals, **request}
        outcome = run_alone("lancet_core.lab.performance.parts:measure_part", arguments)
        if outcome.failed:
            raise JobError(
                f"the part {part} failed, its error stands above; the others can be measured with --only"
            )
        print_text(f"{outcome.result}\n")


@commands.command("speed")
def speed(rounds: Annotated[int, typer.Option(min=1, help="How often each is timed.")] = 3) -> None:
    """Prints how long the workbench makes a person wait, walking through its screens in a browser."""
    from lancet_core.lab.markdown import table_of
    from lancet_core.lab.speed import measure_speed

    print_text(table_of(measure_speed(rounds)))


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


def _print(measured: Any, tables: dict[str, str], as_json: bool) -> None:
    """Prints what was measured as JSON, or headings and tables."""
    if as_json:
        print_json(measured)
        return
    for heading, table in tables.items():
        print_text(f"{heading}\n\n{table}")


def _rows(methods: str, *, variants: bool = False, named: str = "") -> dict[str, InfluenceSettings]:
    return chosen_settings(_listed(methods), variants=variants, named=named)


def _listed(text: str) -> list[str]:
    """Splits a list at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _chosen(names: Sequence[str] | None, accepted: Sequence[str]) -> Sequence[str]:
    """Checks names that were given one by one; all where there are none."""
    unknown = [name for name in names or () if name not in accepted]
    if unknown:
        raise ConfigError(f"there is no {unknown[0]!r} to measure; accepted are {'; '.join(accepted)}")
    return names or accepted


def _correction_settings(text: str) -> CorrectionSettings:
    """Reads correction settings from a JSON object."""
    values = parse_json(text, "--settings")
    if not isinstance(values, dict):
        raise ConfigError(f"--settings is {text!r}; it takes a JSON object such as '{{\"steps\": 150}}'")
    return from_dict(CorrectionSettings, values)


def _numbers(text: str) -> list[int]:
    """Reads whole numbers, separated by commas."""
    names = _listed(text)
    if not names or not all(name.isdecimal() for name in names):
        raise ConfigError(
            f"{text!r} is no list of whole numbers; accepted are numbers from 0 separated by commas"
        )
    return list(map(int, names))
