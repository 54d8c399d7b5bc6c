"""Contaminate: sets with and without the causes, a model trained on each, and the study that is made of them."""

from lancet_core.workspace import open_workspace
from pages.contaminate.mixing import show_mixing
from pages.contaminate.training import show_training
from pages.contaminate.way_on import show_way_on
from pages.shared import frame

frame.open_screen("contaminate")
workspace = open_workspace()
mixed = show_mixing(workspace)
if mixed is not None:
    models = show_training(workspace, mixed.result)
    if models:
        show_way_on(workspace, mixed.result, models)
