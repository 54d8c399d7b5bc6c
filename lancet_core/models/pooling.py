"""Texts as vectors: mean hidden states of a language model."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.likelihood import TOKENS_AT_ONCE, head_at
from lancet_core.models.loading import LanguageModel
from lancet_core.progress import Progress, silent


def mean_hidden_states(
    lm: LanguageModel,
    encoded: Sequence[Encoded],
    progress: Progress = silent,
    stage: str = "Reading the queries",
) -> NDArray[np.float64]:
    """Averages the last hidden state over each text's tokens, prompt and response.

    Args:
        lm: The model.
        encoded: Texts.
        progress: Told at every batch.
        stage: Name of the stage for `progress`.

    Returns:
        Shape (texts, hidden size), in the order given; not finite where the model's hidden states are not.
    """
    rows: list[NDArray[np.float64]] = [np.empty(0)] * len(encoded)
    done = 0
    # Logits are not asked for: of a wide vocabulary they would take more memory than all hidden states.
    nowhere = torch.zeros(1, dtype=torch.long, device=lm.device)
    with torch.no_grad(), head_at(lm.model.get_output_embeddings(), nowhere):
        for batch in pack(encoded, TOKENS_AT_ONCE):
            progress(stage, done, len(encoded))
            moved = batch.to(lm.device)
            output = lm.model(
                input_ids=moved.input_ids,
                attention_mask=moved.attention_mask.long(),
                output_hidden_states=True,
                use_cache=False,
            )
            real = moved.attention_mask[:, :, None]
            hidden = output.hidden_states[-1].double().where(real, 0.0)
            means = (hidden.sum(dim=1) / real.sum(dim=1)).cpu().numpy()
            for index, mean in zip(batch.indices, means, strict=True):
                rows[index] = mean
            done += len(batch.indices)
    return np.stack(rows)
