"""Answers to prompts, scored and measured: what evaluation, comparison and the choice of a checkpoint share."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lancet_core.data.samples import UNDESIRABLE, Prompt, Query, prompts_frame, read_prompts
from lancet_core.errors import ConfigError, DataError
from lancet_core.evaluation.scorers import Scorer, load_scorer
from lancet_core.models.encoding import encode
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import LanguageModel
from lancet_core.progress import Progress

QUERIES = "queries"
VALIDATION = "validation"
COLUMNS = ["prompt_id", "prompt", "split", "kind", "category", "reference"]


@dataclass(frozen=True)
class Scorers:
    """The scorers of a study; None where it has none.

    Attributes:
        harmful: Scores harm.
        helpful: Scores help.
    """

    harmful: Scorer | None
    helpful: Scorer | None

    def score(self, prompts: Sequence[str], responses: Sequence[str], progress: Progress) -> pd.DataFrame:
        """Scores answers: columns `harmful` and `helpful`, NaN where there is no scorer."""
        scores = pd.DataFrame({"harmful": float("nan"), "helpful": float("nan")}, index=range(len(prompts)))
        for name, scorer in (("harmful", self.harmful), ("helpful", self.helpful)):
            if scorer is not None:
                scores[name] = scorer.score(prompts, responses, progress)[name].to_numpy()
        return scores

    def judged_apart(self, answers: pd.DataFrame, endings: Sequence[str]) -> pd.DataFrame:
        """Moves harmful scores of categories that the scorer does not know to `harmful_unknown…`: they may mislead.

        Benign prompts stay: their categories are no harms that a scorer could know.

        Args:
            answers: `kind`, `category` and, for each ending, `harmful<ending>`.
            endings: Endings of the columns.
        """
        if self.harmful is None or self.harmful.card.known_categories is None:
            return answers
        known = answers["category"].map(self.harmful.card.knows).astype(bool) | (answers["kind"] == "benign")
        unknown = {f"harmful_unknown{ending}": answers[f"harmful{ending}"].mask(known) for ending in endings}
        judged = {f"harmful{ending}": answers[f"harmful{ending}"].where(known) for ending in endings}
        return answers.assign(**unknown, **judged)


def load_scorers(harmful: str, helpful: str, *, device: str = "cpu") -> Scorers:
    """Loads the scorers that a study has.

    Raises:
        ModelError: One cannot be loaded.
        ConfigError: One measures the other thing.
    """
    loaded = {}
    for column, folder in (("harmful", harmful), ("helpful", helpful)):
        loaded[column] = load_scorer(folder, device=device) if folder else None
        scorer = loaded[column]
        if scorer is not None and scorer.card.column != column:
            raise ConfigError(
                f"{folder} was given as the {column} scorer, but its card says that higher is {scorer.card.higher_is}; "
                "give the other folder or mend scorer.json"
            )
    return Scorers(loaded["harmful"], loaded["helpful"])


def prompt_table(path: str, queries: Sequence[Query], *, leave_out: str = "") -> pd.DataFrame:
    """Lists what a model is to answer: the prompts of a file and the prompts of the queries.

    Args:
        path: Table of prompts (parquet), or empty.
        queries: Queries; their category and kind come from an equal prompt of the table, where there is one.
        leave_out: A split of the table that is not answered.

    Returns:
        Columns `prompt_id`, `prompt`, `split`, `kind`, `category`, `reference` (None where there is none).

    Raises:
        DataError: There is nothing to answer.
    """
    table = read_prompts(path) if path else prompts_frame([])
    if "reference" not in table:
        table = table.assign(reference=None)
    known = table.drop_duplicates("prompt").set_index("prompt")
    rows = []
    for query in queries:
        row = known.loc[query.prompt] if query.prompt in known.index else None
        kind = "wrong" if query.polarity == UNDESIRABLE else "unknown"
        prompt = Prompt(query.prompt, QUERIES, kind, "" if row is None else str(row["category"]), id=query.id)
        rows.append(prompt)
    asked = prompts_frame(rows)
    others = table[
        (table["split"] != leave_out) & ~((table["split"] == QUERIES) & table["prompt"].isin(asked["prompt"]))
    ]
    everything = pd.concat([frame for frame in (asked, others) if len(frame)] or [asked], ignore_index=True)
    if everything.empty:
        raise DataError(
            "there is nothing to answer: neither prompts nor queries; give a file of prompts or add queries"
        )
    return everything.rename(columns={"id": "prompt_id"})[COLUMNS]


def reference_nll(language_model: LanguageModel, table: pd.DataFrame, template: str) -> list[float]:
    """Mean token NLL of each prompt's reference answer in nats; NaN where it has none."""
    has_reference = [
        isinstance(reference, str) and bool(reference.strip()) for reference in table["reference"]
    ]
    rows = table[has_reference]
    encoded = [
        encode(language_model, prompt, reference, template)
        for prompt, reference in zip(rows["prompt"], rows["reference"], strict=True)
    ]
    totals = response_log_likelihoods(language_model, encoded) if encoded else []
    tokens = [len(text.input_ids) - text.response_start for text in encoded]
    values = iter([-total / count for total, count in zip(totals, tokens, strict=True)])
    return [next(values) if known else float("nan") for known in has_reference]


def log_probabilities(language_model: LanguageModel, queries: Sequence[Query], template: str) -> list[float]:
    """Log-probability of each query's response in nats, summed over its tokens."""
    encoded = [encode(language_model, query.prompt, query.response, template) for query in queries]
    return [float(value) for value in response_log_likelihoods(language_model, encoded)] if encoded else []
