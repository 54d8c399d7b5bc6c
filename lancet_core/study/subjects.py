"""What the acts of a study are asked of."""

from lancet_core.acts.subject import Subject
from lancet_core.store.studies import StudyRecord


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
    )
