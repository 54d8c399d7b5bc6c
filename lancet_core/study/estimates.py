"""What an attribution would take, told before it starts: seconds from a rate that was measured here, memory from the model's sizes."""

from dataclasses import dataclass

from lancet_core.influence.methods import BM25, EMBEDDING, IDENTITY, INDEX, TFIDF
from lancet_core.influence.needs import attribution_need
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.models.needs import model_size
from lancet_core.store.studies import StudyRecord
from lancet_core.study.attributions import finished_attributions

# Forward passes that one token costs, measured with linfac-head and graddot on models of .26, 1 and 135 million parameters.
FITTING, SCORING = 2.4, 2.0
EARLIER, SPEED = (
    "as an earlier attribution here took",
    "from the speed that was measured when the study was made",
)
FEWEST = 50


@dataclass(frozen=True)
class Estimate:
    """What an attribution would take.

    Attributes:
        scored: Samples that are scored.
        samples: Samples that there are.
        seconds: How long it would take; None where there is nothing to judge by.
        basis: What the seconds are judged by, in words.
        memory_bytes: Memory of the process at its height; 0 where the model's sizes are not known.
    """

    scored: int
    samples: int
    seconds: float | None
    basis: str = ""
    memory_bytes: int = 0


def estimate_attribution(
    study: StudyRecord, settings: InfluenceSettings | None = None, *, queries: int = 1
) -> Estimate:
    """Judges what an attribution would take; reads no table of samples.

    Args:
        study: The study.
        settings: Method, recall and their like; None takes the default.
        queries: Queries, or groups of them.
    """
    settings = settings or preset()
    samples = study.counts.get("samples") or len(study.samples())
    searched = settings.recall.kind in {TFIDF, BM25, INDEX}
    scored = min(samples, settings.recall.count * queries) if searched else samples
    seconds, basis = _seconds(study, settings, scored=scored, samples=samples)
    size = model_size(study.model) if settings.takes_gradients else None
    memory = 0 if size is None else attribution_need(size, settings, queries=queries).total
    return Estimate(scored, samples, seconds, basis, memory)


def _seconds(
    study: StudyRecord, settings: InfluenceSettings, *, scored: int, samples: int
) -> tuple[float | None, str]:
    rate = study.counts.get("tokens_per_second", 0)
    length = study.counts.get("mean_tokens", 0)
    if not settings.takes_gradients:
        return (scored * length / rate if settings.method == EMBEDDING and rate else None), SPEED
    for _, result in finished_attributions(study):
        if result.takes_gradients and result.candidates >= min(FEWEST, scored):
            return result.seconds / max(1, result.candidates) * scored, EARLIER
    if not rate:
        return None, ""
    curved = settings.curvature.eigenvalues != IDENTITY
    fitted = min(settings.curvature.factor_samples or samples, samples) if curved else 0
    return (FITTING * fitted + SCORING * scored) * length / rate, SPEED
