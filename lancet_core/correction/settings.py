"""Settings of pairing and of a correction run; free of torch, so that screens and command line can show them."""

from dataclasses import dataclass

from lancet_core.config import setting
from lancet_core.models.settings import DEVICES

SELECTIONS = ("pairs", "top_k", "pareto")
RETAIN_RULES = ("near-zero", "below-every-median", "rest")
FORMS = ("bounded", "literal")
# Name of an objective to its β where none is given: that of its source, IBO's as measured on the demo. None: it has none.
BETAS = {"ibo": 1.0, "ga": None, "graddiff": None, "npo": 0.1, "simnpo": 4.5, "pbo": None}
OBJECTIVES = tuple(BETAS)
# What each is, and how it is known to fail.
ABOUT = {
    "ibo": "Parts the two samples of each pair and holds the rest where it was: what reviewed pairs are for.",
    "ga": "Gradient ascent: the pushing samples become unlikely, without bound and with nothing that holds the rest. It soon ruins a model.",
    "graddiff": "Gradient ascent beside training on the retain set. Still without bound: short runs and small learning rates.",
    "npo": "Gradient ascent that stops by itself, beside training on the retain set. Slow where the samples were unlikely to begin with.",
    "simnpo": "As NPO without the start model: pulls most at what is likeliest. Asks little of long, unlikely answers.",
    "pbo": "Gradient ascent under a divergence that holds all samples, the forgotten too: what the paper compares with. It moves little.",
}
# The objectives that read both samples of a pair; the others forget the first.
PAIRED = ("ibo",)
# The objectives that stay near the start by the distance of the parameters.
PROXIMAL = ("ibo", "pbo")
WEIGHTINGS = ("uniform", "influence")
LEVELS = ("token", "sequence")
ADAPTERS = ("none", "lora")
TRAINED_TYPES = ("float32", "bfloat16")
POLARITIES = ("undesirable", "desirable")
DEFAULT_PROXIMITY = 1e-3


@dataclass(frozen=True)
class PairSettings:
    """How training samples are paired for review, and which samples the correction must leave as they are."""

    count: int = setting(200, "Pairs to propose.", minimum=1)
    selection: str = setting(
        "pairs",
        "pairs takes the clusters in turn; top_k takes the strongest of all clusters; "
        "pareto keeps each sample with a chance that grows with its influence.",
        choices=SELECTIONS,
    )
    scorer_agreement: bool = setting(
        False,
        "Propose a pair only where the harmful scorer agrees: pushing sample at least .5, other side below .5.",
    )
    equal_prompts: bool = setting(
        True, "Propose first the pairs whose two samples answer the same prompt, as a preference (DPO) needs."
    )
    similar_prompts: int = setting(
        2,
        "Samples with nearly the same prompt that may enter the queue, strongest first; 0 sets no limit, 1 lets no pair of equal "
        "prompts in.",
        minimum=0,
    )
    retain: str = setting(
        "near-zero",
        "Retain set: near-zero takes the half of the samples whose largest influence on any cluster is smallest; "
        "below-every-median those below the median of each cluster, few where there are many clusters; rest all in no pair.",
        choices=RETAIN_RULES,
    )
    polarity: str = setting("undesirable", "What the queries of the clusters show.", choices=POLARITIES)
    pareto_shape: float = setting(9.0, "Shape of the Pareto draw; larger keeps fewer samples.", minimum=0.1)
    seed: int = setting(0, "Seed of the Pareto draw.", minimum=0)


@dataclass(frozen=True)
class CorrectionSettings:
    """How the corrected model is trained: by influence-driven Bregman optimization (IBO), or by what it is compared with."""

    objective: str = setting(
        "ibo",
        "What is minimised: ibo parts the two samples of each pair; the others forget the first alone: ga (gradient ascent), "
        "graddiff, npo, simnpo, pbo.",
        choices=OBJECTIVES,
    )
    form: str = setting(
        "bounded",
        "Correction term of ibo: bounded saturates as the answers part; "
        "literal is the printed equation, unbounded below, and can destroy the model.",
        choices=FORMS,
    )
    weighting: str = setting(
        "uniform",
        "Weight of each sample in the correction term: 1, or its scaled influence.",
        choices=WEIGHTINGS,
    )
    beta: float | None = setting(
        None,
        "Steepness of ibo, npo and simnpo in 1/nat; empty takes 1, .1 and 4.5. A pair of ibo stops pulling once it is about 3/beta nats "
        "apart: smaller moves the model further, and below .3 it damages words that good and bad answers share.",
        minimum=1e-6,
    )
    steps: int = setting(100, "Optimizer steps.", minimum=1)
    learning_rate: float = setting(1e-4, "Learning rate after warm-up.", minimum=0.0)
    warmup_steps: int = setting(10, "Steps over which the learning rate rises from 0.", minimum=0)
    pair_batch: int = setting(8, "Pairs in each step.", minimum=1)
    retain_batch: int = setting(24, "Retain samples in each step.", minimum=1)
    divergence_weight: float = setting(1.0, "Weight of the divergence term.", minimum=0.0)
    divergence_level: str = setting(
        "token",
        "Divergence of each token (steady), or of whole responses as printed (overflows on long ones).",
        choices=LEVELS,
    )
    log_ratio: str = setting(
        "sum", "Log-ratio of a response: sum over its tokens, or their mean.", choices=("sum", "mean")
    )
    proximity: float | None = setting(
        None,
        "Weight of half the squared distance to the start; empty takes .001 for ibo and pbo, and 0 for others and with an adapter.",
        minimum=0.0,
    )
    polarity: str = setting(
        "auto",
        "Whether the pairs' positive samples push towards bad answers (undesirable) or wanted ones; auto reads the queries.",
        choices=("auto", *POLARITIES),
    )
    adapter: str = setting(
        "none", "Train all parameters, or a low-rank adapter that is merged when saved.", choices=ADAPTERS
    )
    adapter_rank: int = setting(8, "Rank of the adapter.", minimum=1)
    max_gradient_norm: float = setting(1.0, "Gradients are scaled down to this norm.", minimum=0.0)
    guard: float = setting(
        1.5,
        "The run stops when the retain NLL passes this many times its start, and its start by .25 nats.",
        minimum=1.0,
    )
    checkpoint_every: int = setting(50, "Steps between checkpoints.", minimum=1)
    checkpoints_kept: int = setting(2, "Checkpoints kept on disk; the best one always stays.", minimum=1)
    query_every: int = setting(10, "Steps between measurements of the queries' probability.", minimum=1)
    validation_prompts: int = setting(
        48, "Validation prompts of each kind answered at every checkpoint to choose the best one.", minimum=1
    )
    seed: int = setting(0, "Seed of the order in which pairs and retain samples are drawn.", minimum=0)
    device: str = setting("auto", "Where to train.", choices=DEVICES)
    dtype: str = setting("float32", "Number format of the trained parameters.", choices=TRAINED_TYPES)

    @property
    def steepness(self) -> float:
        """β with its default filled in; 1 where the objective has none."""
        return self.beta or BETAS[self.objective] or 1.0

    @property
    def proximity_weight(self) -> float:
        """Weight of the proximity term with its default filled in."""
        if self.proximity is not None:
            return self.proximity
        return DEFAULT_PROXIMITY if self.objective in PROXIMAL and self.adapter == "none" else 0.0


@dataclass(frozen=True)
class TrainSettings:
    """How a model is fine-tuned on samples, by the likelihood of the tokens that count."""

    epochs: float = setting(2.0, "Passes over the samples.", minimum=1e-6)
    batch: int = setting(16, "Samples of each optimizer step.", minimum=1)
    batch_at_once: int = setting(
        4,
        "Samples that go through the model at once; fewer need less memory, the steps stay the same.",
        minimum=1,
    )
    learning_rate: float | None = setting(
        None, "Learning rate after warm-up; empty takes 2e-5, and 2e-4 with an adapter.", minimum=0.0
    )
    warmup_steps: int = setting(10, "Steps over which the learning rate rises from 0.", minimum=0)
    adapter: str = setting("none", "Train all parameters, or a low-rank adapter.", choices=ADAPTERS)
    adapter_rank: int = setting(8, "Rank of the adapter.", minimum=1)
    merge: bool = setting(False, "Save an adapter merged into the model instead of in a folder of its own.")
    max_length: int | None = setting(
        None,
        "Longest text in tokens; empty takes the model's context. The saved tokenizer keeps it, so that attribution cuts alike.",
        minimum=8,
    )
    max_gradient_norm: float = setting(1.0, "Gradients are scaled down to this norm.", minimum=0.0)
    checkpoint_every: int = setting(50, "Steps between checkpoints, from which a run resumes.", minimum=1)
    seed: int = setting(
        0, "Seed of the order of the samples, of an adapter's start and of dropout.", minimum=0
    )
    device: str = setting("auto", "Where to train.", choices=DEVICES)
    dtype: str = setting(
        "float32", "Number format of the trained parameters.", choices=("float32", "bfloat16")
    )

    @property
    def rate(self) -> float:
        """The learning rate with its default filled in."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 2e-4 if self.adapter == "lora" else 2e-5

    @property
    def rows(self) -> int:
        """Samples that go through the model at once: the most that a step can be cut into evenly."""
        most = min(self.batch, self.batch_at_once)
        return next(count for count in range(most, 0, -1) if self.batch % count == 0)


# The paper's own choices (appendix D.2); docs/presets.md says where they depart from what is printed, and from our defaults.
PAPER_PAIRS = PairSettings(
    selection="pareto", pareto_shape=9.0, equal_prompts=False, similar_prompts=0, retain="rest"
)
PAPER_CORRECTION = CorrectionSettings(
    form="bounded",
    weighting="influence",
    steps=4000,
    learning_rate=1e-5,
    warmup_steps=0,
    pair_batch=8,
    retain_batch=24,
    divergence_level="sequence",
    log_ratio="sum",
    proximity=DEFAULT_PROXIMITY,
)
PAIR_PRESETS = {"usual": PairSettings(), "paper": PAPER_PAIRS}
CORRECTION_PRESETS = {"usual": CorrectionSettings(), "paper": PAPER_CORRECTION}
PAPER_TRAIN = TrainSettings(
    epochs=2.0, batch=128, learning_rate=1e-5, warmup_steps=0, max_length=1024, checkpoint_every=50
)
TRAIN_PRESETS = {"usual": TrainSettings(), "paper": PAPER_TRAIN}
