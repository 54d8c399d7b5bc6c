"""Measures samples with the tokenizer of a model: how long they are, what is cut, and which cannot be encoded."""

from collections.abc import Sequence

import pandas as pd

from lancet_core.acts.prepare import CUT
from lancet_core.data.samples import conversations_of
from lancet_core.models.encoding import Encoded, Unusable, encode_all
from lancet_core.models.loading import LanguageModel
from lancet_core.progress import Progress

SAMPLES_AT_ONCE = 256
COLUMNS: Sequence[str] = ("tokens", "counted", "cut", "lost", "reason")


def measure(
    lm: LanguageModel, samples: pd.DataFrame, template: str, *, too_long: str, progress: Progress
) -> pd.DataFrame:
    """Encodes samples.

    Args:
        lm: The model, or its tokenizer alone.
        samples: Samples in the columns of `samples_frame`.
        template: How conversations are written.
        too_long: What becomes of a response that exceeds the context: `cut` or `reject`.
        progress: Told how many are done.

    Returns:
        One row for each sample, in their order: `tokens` before anything is cut, how many of them are `counted`, how many are `cut`
        from the left and `lost` from the right, `row` of the file, and the `reason` why it cannot be used, empty where it can.
    """
    conversations = conversations_of(samples)
    rows: list[tuple[int, int, int, int, str]] = []
    for start in range(0, len(conversations), SAMPLES_AT_ONCE):
        encoded = encode_all(lm, conversations[start : start + SAMPLES_AT_ONCE], template)
        rows += [_facts(text) for text in encoded]
        progress("Measuring samples", len(rows), len(conversations))
    facts = pd.DataFrame(rows, columns=list(COLUMNS), index=samples.index)
    if too_long != CUT:
        long = (facts["lost"] > 0) & (facts["reason"] == "")
        facts.loc[long, "reason"] = f"the response exceeds the model's context of {lm.context} tokens"
    return facts.assign(row=samples["source_row"])


def _facts(text: Encoded | Unusable) -> tuple[int, int, int, int, str]:
    if isinstance(text, Unusable):
        return 0, 0, 0, 0, text.reason
    whole = len(text.input_ids) + text.cut_tokens + text.lost_tokens
    return whole, text.count + text.lost_tokens, text.cut_tokens, text.lost_tokens, ""
