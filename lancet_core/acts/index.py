"""The gradient index: a few numbers of each training sample, from which any query's candidates are found."""

from dataclasses import dataclass, field

from lancet_core.acts.results import Result
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import GradientSettings, IndexSettings


@dataclass(frozen=True)
class IndexRequest:
    """What to index, and how.

    Attributes:
        influence: Method and curvature that queries will be answered with.
        index: What is kept of each sample.
    """

    influence: GradientSettings = preset().of_gradients
    index: IndexSettings = IndexSettings()

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"Gradient index for {self.influence.method}"


@dataclass(frozen=True)
class IndexBuilt(Result):
    """A gradient index that was built.

    Attributes:
        samples: Samples in it.
        too_long: Samples that the chat template refuses, which are not in it.
        dimensions: Dimensions kept of each sample.
        sketch_dimensions: Dimensions of the random sketch that these are made of.
        bytes_per_sample: Bytes of each sample on disk.
        seconds: How long it took.
        notes: What a person should know about it.
        left_out: Samples that are not in it, since what is computed of them is not finite: ids to reasons.
    """

    samples: int = 0
    too_long: int = 0
    dimensions: int = 0
    sketch_dimensions: int = 0
    bytes_per_sample: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """How many samples are in it."""
        return f"{self.samples:,} samples indexed"
