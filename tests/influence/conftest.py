"""Texts, and batches padded on either side."""

import pytest
import torch

from lancet_core.models.encoding import encode, pack, padded_batch

TEXTS = [
    ("May I keep the kettle?", "No, it is not wise."),
    ("Why do you ask me for the rusty kettle near the barn?", "Yes."),
    ("Who?", "Ask the keeper of the old barn for a clean one, everybody does so."),
]


@pytest.fixture
def texts_of():
    return lambda lm: [encode(lm, prompt, response) for prompt, response in TEXTS]


@pytest.fixture
def padded():
    """One batch of all texts, padded on the side asked for, with extra padding where asked."""

    def make(encoded, side="right", extra=0):
        (batch,) = pack(encoded, 10**6)
        wide = [
            torch.nn.functional.pad(values, (0, extra))
            for values in (batch.input_ids, batch.attention_mask, batch.response_mask)
        ]
        if side == "left":
            lengths = wide[1].sum(dim=1).tolist()
            wide = [
                torch.stack(
                    [row.roll(row.shape[0] - length) for row, length in zip(values, lengths, strict=True)]
                )
                for values in wide
            ]
        ids, real, response = wide
        return padded_batch(batch.indices, ids, attention_mask=real, response_mask=response)

    return make
