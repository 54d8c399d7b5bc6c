"""What the acts of a study are asked of."""

from dataclasses import replace
from typing import TypeVar

from lancet_core.acts.subject import Subject
from lancet_core.influence.settings import ComputeSettings, GradientSettings
from lancet_core.store.studies import StudyRecord

G = TypeVar("G", bound=GradientSettings)


def subject_of(study: StudyRecord) -> Subject:
    """Names model, samples, scorers and the folders of a study."""
    return Subject(
        study=study.name,
        model=study.model,
        samples=str(study.samples_file),
        template=study.template,
        harmful_scorer=study.harmful_scorer,
        helpful_scorer=study.helpful_scorer,
        factors=str(study.factors_folder),
        indexes=str(study.index_folder),
        dtype=study.dtype,
        device=study.device,
    )


def computed_as(study: StudyRecord, settings: G) -> G:
    """Gives settings the number type and device of a study, unless they name others than the usual ones."""
    usual, compute = ComputeSettings(), settings.compute
    if (compute.dtype, compute.device) != (usual.dtype, usual.device):
        return settings
    return replace(settings, compute=replace(compute, dtype=study.dtype, device=study.device))
