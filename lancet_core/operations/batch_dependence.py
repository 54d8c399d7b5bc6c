"""Whether scores on this machine depend on the batch that a sample is scored in. They must not: a ranking is no matter of luck.

Rows of a batch never meet in the network, so in exact arithmetic a sample's score is the same alone, beside others and behind
padding. In floating point the kernels choose their order of summation by the shape of the batch, which leaves about 1e-6 of the
largest score in float32; reduced precision (TF32) or a model that looks at padding leaves far more.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lancet_core.errors import NumericalError
from lancet_core.influence import scores
from lancet_core.influence.preconditioner import Identity
from lancet_core.models.encoding import encode
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.models.units import UnitModel, find_sublayers

ONE_BY_ONE = "one by one"
_ROWS_OF_SMALL_BATCHES = 5

Text = tuple[str, str]
"""A prompt and its response."""


def score_in_batches(
    model: str,
    *,
    samples: Sequence[Text],
    query: Text,
    template: str = DEFAULT_TEMPLATE,
    load: Loader = load_language_model,
) -> dict[str, NDArray[np.float64]]:
    """Scores the same samples for one query in different batches, by gradients without curvature.

    Args:
        model: Folder of the language model.
        samples: Training samples; of different lengths, so that most are padded.
        query: The query.
        template: How prompts are formatted.
        load: Loads the model, on a GPU where there is one.

    Returns:
        Names of the ways to scores of shape (samples,) in the order given; one way is `ONE_BY_ONE`.

    Raises:
        ModelError: The model cannot be loaded, or its layout is not understood.
        DataError: A sample or the query has no token or exceeds the context.
    """
    lm = load(model)
    network = UnitModel(lm, tuple(find_sublayers(lm.model)))
    encoded = [encode(lm, *text, template) for text in samples]
    longest = max(len(text.input_ids) for text in encoded)
    encoded_query = encode(lm, *query, template)
    no_curvature = {unit.name: Identity() for unit in network.units}
    gradients = scores.query_gradients(
        network, no_curvature, encoded=[encoded_query], max_tokens=len(encoded_query.input_ids)
    )
    directions = scores.directions_of(gradients, no_curvature)

    def score(order: slice, max_tokens: int) -> NDArray[np.float64]:
        batch_scores = scores.score_samples(
            network, encoded=encoded[order], directions=directions, max_tokens=max_tokens, tell=lambda _: None
        )
        return batch_scores[order, 0]  # a reversal undoes itself

    return {
        ONE_BY_ONE: score(slice(None), 1),
        "in one padded batch": score(slice(None), longest * len(encoded)),
        "in another order": score(slice(None, None, -1), longest * _ROWS_OF_SMALL_BATCHES),
    }


def largest_difference(by_batch: Mapping[str, NDArray[np.float64]]) -> float:
    """Compares scores with those taken one by one: max |difference| / max |I|.

    Args:
        by_batch: What `score_in_batches` returns.

    Returns:
        The largest difference of all ways, in units of the largest score.

    Raises:
        NumericalError: A score is not finite, or all are 0, so that there is nothing to compare with.
    """
    alone = by_batch[ONE_BY_ONE]
    if not all(bool(np.isfinite(values).all()) for values in by_batch.values()):
        raise NumericalError("a score is not finite; take another device or version of PyTorch")
    largest = float(np.abs(alone).max())
    if largest == 0:
        raise NumericalError("all scores are 0; take another device or version of PyTorch")
    return max(float(np.abs(values - alone).max()) for values in by_batch.values()) / largest
