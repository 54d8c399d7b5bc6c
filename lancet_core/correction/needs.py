"""Memory that a correction takes, reckoned before the model is loaded. Torch-free."""

from lancet_core.correction.settings import CorrectionSettings, TrainSettings
from lancet_core.models.needs import BYTES_OF, ModelSize, Need, loading_need, pass_need

WAYS_OUT = (
    "train an adapter (--adapter lora), take --dtype bfloat16, or smaller --pair-batch and --retain-batch"
)
TRAINING_WAYS_OUT = "train an adapter (--adapter lora), take --dtype bfloat16, a smaller --batch-at-once, or shorter texts (--max-length)"
TOKENS_OF_A_SAMPLE = 64
# Beside the weights: the weights as they were, gradients, and the two moments of AdamW.
_COPIES = {"none": 4, "lora": 0}
# Beside what matrices read and wrote, training keeps as much of norms, rotations and products: measured on 30 blocks of width 576.
_KEPT_BESIDE = 2


def correction_need(
    size: ModelSize, settings: CorrectionSettings, *, tokens: int = TOKENS_OF_A_SAMPLE
) -> Need:
    """What a correction takes at its height: every text of a step is held until the step ends.

    Args:
        size: The model.
        settings: Precision, adapter, and samples of a step.
        tokens: Tokens of a sample.
    """
    rows = 2 * settings.pair_batch + settings.retain_batch
    copies = Need({"training": _COPIES[settings.adapter] * size.parameters * BYTES_OF[settings.dtype]})
    step = pass_need(size, settings.dtype, tokens=_KEPT_BESIDE * rows * tokens, counted=rows * tokens)
    return loading_need(size, settings.dtype) + step + copies


def training_need(size: ModelSize, settings: TrainSettings, *, tokens: int = TOKENS_OF_A_SAMPLE) -> Need:
    """What fine-tuning takes at its height: as a correction, but the weights as they were are not kept.

    Args:
        size: The model.
        settings: Precision, adapter, and samples that go through the model at once.
        tokens: Tokens of a sample.
    """
    copies = max(0, _COPIES[settings.adapter] - 1) * size.parameters * BYTES_OF[settings.dtype]
    at_once = settings.rows * min(tokens, settings.max_length or tokens)
    step = pass_need(size, settings.dtype, tokens=at_once, counted=at_once)
    return loading_need(size, settings.dtype) + step + Need({"training": copies})
