"""LANCET: find the training samples behind a bad answer, correct the model, prove that it is corrected.

    import lancet_core as lancet

    study = lancet.install_demo()
    case = study.sample_cases(1).iloc[0]
    trace = study.attribute([case["prompt"], case["response"]]).wait()
    print(trace.result.table.head())
    pairs = study.propose_pairs(trace)

The names below are the public ones; each is loaded when it is first used, so that `import lancet_core` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancet_core.acts.attribute import Attribution
    from lancet_core.acts.cluster import Clustering
    from lancet_core.acts.compare import Comparison
    from lancet_core.acts.contaminate import Contaminated
    from lancet_core.acts.correct import Correction
    from lancet_core.acts.evaluate import Evaluation
    from lancet_core.acts.mine import Mined
    from lancet_core.acts.train import Trained
    from lancet_core.correction.settings import CorrectionSettings, PairSettings, TrainSettings
    from lancet_core.data.contamination import ContaminationSettings
    from lancet_core.data.samples import Query
    from lancet_core.evaluation.settings import MineSettings
    from lancet_core.influence.presets import preset
    from lancet_core.influence.settings import ClusterSettings, IndexSettings, InfluenceSettings
    from lancet_core.models.settings import GenerationSettings
    from lancet_core.runs.run import Run
    from lancet_core.study.contamination import contaminate
    from lancet_core.study.demo import install_demo
    from lancet_core.study.pairs import Pairs
    from lancet_core.study.proofs import ProofSettings, export_model
    from lancet_core.study.study import Study, create_study, list_studies, look_at, open_study
    from lancet_core.study.training import train
    from lancet_core.workspace import open_workspace

_MODULES = {
    "acts.attribute": ("Attribution",),
    "acts.cluster": ("Clustering",),
    "acts.compare": ("Comparison",),
    "acts.contaminate": ("Contaminated",),
    "acts.correct": ("Correction",),
    "acts.evaluate": ("Evaluation",),
    "acts.mine": ("Mined",),
    "acts.train": ("Trained",),
    "correction.settings": ("CorrectionSettings", "PairSettings", "TrainSettings"),
    "data.contamination": ("ContaminationSettings",),
    "data.samples": ("Query",),
    "evaluation.settings": ("MineSettings",),
    "influence.presets": ("preset",),
    "influence.settings": ("ClusterSettings", "IndexSettings", "InfluenceSettings"),
    "models.settings": ("GenerationSettings",),
    "runs.run": ("Run",),
    "study.contamination": ("contaminate",),
    "study.demo": ("install_demo",),
    "study.proofs": ("ProofSettings", "export_model"),
    "study.pairs": ("Pairs",),
    "study.study": ("Study", "create_study", "list_studies", "look_at", "open_study"),
    "study.training": ("train",),
    "workspace": ("open_workspace",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Attribution",
    "ClusterSettings",
    "Clustering",
    "Comparison",
    "Contaminated",
    "ContaminationSettings",
    "Correction",
    "CorrectionSettings",
    "Evaluation",
    "GenerationSettings",
    "IndexSettings",
    "InfluenceSettings",
    "MineSettings",
    "Mined",
    "PairSettings",
    "Pairs",
    "ProofSettings",
    "Query",
    "Run",
    "Study",
    "TrainSettings",
    "Trained",
    "contaminate",
    "create_study",
    "export_model",
    "install_demo",
    "list_studies",
    "look_at",
    "open_study",
    "open_workspace",
    "preset",
    "train",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from the module that defines it.

    Raises:
        AttributeError: The package has no such name.
    """
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
