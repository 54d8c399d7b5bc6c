"""LANCET: find the training samples behind a bad answer, correct the model, prove that it is corrected.

The names below are what a script needs; each is loaded when it is first used, so that `import lancet_core` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancet_core.correction.settings import CorrectionSettings, PairSettings
    from lancet_core.data.samples import Query
    from lancet_core.influence.settings import InfluenceSettings
    from lancet_core.workbench.attributions import audit, read_attribution, start_attribution, start_trace
    from lancet_core.workbench.cases import sample_cases
    from lancet_core.workbench.corrections import attribution_source, file_source, start_correction
    from lancet_core.workbench.proofs import compare_models, export_model, read_comparison
    from lancet_core.workbench.studies import StudyRequest, create_study, install_demo, show_study
    from lancet_core.workbench.waiting import finish
    from lancet_core.workspace import open_workspace

_MODULES = {
    "correction.settings": ("CorrectionSettings", "PairSettings"),
    "data.samples": ("Query",),
    "influence.settings": ("InfluenceSettings",),
    "workbench.attributions": ("audit", "read_attribution", "start_attribution", "start_trace"),
    "workbench.cases": ("sample_cases",),
    "workbench.corrections": ("attribution_source", "file_source", "start_correction"),
    "workbench.proofs": ("compare_models", "export_model", "read_comparison"),
    "workbench.studies": ("StudyRequest", "create_study", "install_demo", "show_study"),
    "workbench.waiting": ("finish",),
    "workspace": ("open_workspace",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "CorrectionSettings",
    "InfluenceSettings",
    "PairSettings",
    "Query",
    "StudyRequest",
    "attribution_source",
    "audit",
    "compare_models",
    "create_study",
    "export_model",
    "file_source",
    "finish",
    "install_demo",
    "open_workspace",
    "read_attribution",
    "read_comparison",
    "sample_cases",
    "show_study",
    "start_attribution",
    "start_correction",
    "start_trace",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from the module that defines it.

    Raises:
        AttributeError: The package has no such name.
    """
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
