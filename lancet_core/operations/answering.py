"""Answers to prompts, scored and measured: what evaluation, comparison and the choice of a checkpoint share."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from lancet_core.data.conversations import Asked, answered, asked_of
from lancet_core.data.samples import UNDESIRABLE, Prompt, Query, prompts_frame, read_prompts
from lancet_core.errors import DataError
from lancet_core.evaluation.evidence import QUERIES
from lancet_core.evaluation.scorer_cards import HARMFUL, HELPFUL, check_column
from lancet_core.evaluation.scorers import Scorer, load_scorer
from lancet_core.files import write_json
from lancet_core.models.encoding import encode_conversation
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import LanguageModel
from lancet_core.progress import Progress

VALIDATION = "validation"
CARDS = "scorers.json"
COLUMNS = ["prompt_id", "prompt", "history", "split", "kind", "category", "reference"]


@dataclass(frozen=True)
class Scorers:
    """The scorers of a study; None where it has none.

    Attributes:
        harmful: Scores harm.
        helpful: Scores help.
    """

    harmful: Scorer | None
    helpful: Scorer | None

    def score(self, prompts: Sequence[Asked], responses: Sequence[str], progress: Progress) -> pd.DataFrame:
        """Scores answers: columns `harmful` and `helpful`, NaN where there is no scorer."""
        scores = pd.DataFrame({"harmful": float("nan"), "helpful": float("nan")}, index=range(len(prompts)))
        for name, scorer in self._present():
            scores[name] = scorer.score(prompts, responses, progress)[name].to_numpy()
        return scores

    def score_samples(
        self, prompts: Sequence[Asked], responses: Sequence[str], progress: Progress
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """Scores the samples of a study, whose answers are the reference for mappings that need one.

        Returns:
            Columns `harmful` and `helpful`, NaN where there is no scorer, and `harmful_categories` where the scorer has several that
            count; and the text of each scorer's card by the name of its score, complete with statistics.
        """
        scores = pd.DataFrame({"harmful": float("nan"), "helpful": float("nan")}, index=range(len(prompts)))
        cards = {}
        for name, scorer in self._present():
            scored, card = scorer.score_reference(prompts, responses, progress)
            cards[name] = card.text
            for column in scored.columns.difference(["raw", "unit"]):
                scores[column] = scored[column]
        return scores, cards

    def write_cards(self, folder: Path) -> None:
        """Keeps with a run what its scorers' outputs meant, statistics included."""
        write_json(folder / CARDS, {name: asdict(scorer.card) for name, scorer in self._present()})

    def _present(self) -> list[tuple[str, Scorer]]:
        named = ((HARMFUL, self.harmful), (HELPFUL, self.helpful))
        return [(name, scorer) for name, scorer in named if scorer is not None]

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
    """Loads the scorers that a study has, each named by the text of its card, its folder or its hub id; empty for none.

    Raises:
        ModelError: One cannot be loaded.
        ConfigError: One measures the other thing.
    """
    loaded = {}
    for column, named in ((HARMFUL, harmful), (HELPFUL, helpful)):
        loaded[column] = load_scorer(named, device=device) if named else None
        scorer = loaded[column]
        if scorer is not None:
            check_column(scorer.card, column)
    return Scorers(loaded[HARMFUL], loaded[HELPFUL])


def prompt_table(path: Path, queries: Sequence[Query], *, leave_out: str = "") -> pd.DataFrame:
    """Lists what a model is to answer: the prompts of a file and the prompts of the queries.

    Args:
        path: Table of prompts (parquet); it may be missing.
        queries: Queries; the category of one that has none comes from an equal prompt of the table, where there is one.
        leave_out: A split of the table that is not answered.

    Returns:
        Columns `prompt_id`, `prompt`, `history` (messages as JSON where they are more than the prompt), `split`, `kind`, `category`,
        `reference` (None where there is none).

    Raises:
        DataError: There is nothing to answer.
    """
    table = read_prompts(path) if path.is_file() else prompts_frame([])
    if "reference" not in table:
        table = table.assign(reference=None)
    by_prompt = table.drop_duplicates("prompt").set_index("prompt")
    rows = []
    for query in queries:
        row = by_prompt.loc[query.prompt] if query.prompt in by_prompt.index else None
        kind = "wrong" if query.polarity == UNDESIRABLE else "unknown"
        category = query.category or ("" if row is None else str(row["category"]))
        rows.append(Prompt(query.prompt, QUERIES, kind, category, id=query.id, history=query.history))
    query_prompts = prompts_frame(rows)
    others = table[
        (table["split"] != leave_out)
        & ~((table["split"] == QUERIES) & table["prompt"].isin(query_prompts["prompt"]))
    ]
    everything = pd.concat(
        [frame for frame in (query_prompts, others) if len(frame)] or [query_prompts], ignore_index=True
    )
    if everything.empty:
        raise DataError(
            "there is nothing to answer: neither prompts nor queries; give a file of prompts or add queries"
        )
    return everything.rename(columns={"id": "prompt_id"})[COLUMNS]


def asked_in(table: pd.DataFrame) -> list[Asked]:
    """What each row of `prompt_table` asks: a text, or messages."""
    return [asked_of(prompt, history) for prompt, history in table[["prompt", "history"]].values]


def likelihoods(lm: LanguageModel, table: pd.DataFrame, column: str, template: str) -> pd.DataFrame:
    """Measures how likely the responses in a column are to their prompts.

    Args:
        lm: The model.
        table: Columns `prompt` and `history`, and the column of responses.
        column: Its name; a row where it holds no text is not measured.
        template: How prompt and response become one text.

    Returns:
        One row each, in nats: `log_probability`, summed over the response's tokens, and `nll`, its mean negative log-probability of a token;
        NaN where there is no response.
    """
    has_text = [isinstance(text, str) and bool(text.strip()) for text in table[column]]
    texts = table.loc[has_text, ["prompt", "history", column]]
    conversations = [
        answered(asked_of(prompt, history), response) for prompt, history, response in texts.values
    ]
    encoded = [encode_conversation(lm, conversation, template) for conversation in conversations]
    totals = response_log_likelihoods(lm, encoded)
    tokens = [text.count for text in encoded]
    rows = [(total, -total / count) for total, count in zip(totals, tokens, strict=True)]
    measured = pd.DataFrame(rows, columns=["log_probability", "nll"], dtype=float, index=texts.index)
    return measured.reindex(table.index)
