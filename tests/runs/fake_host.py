"""The real host with an engine that needs no torch: answers count, and tell in a file how far they came."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lancet_core.errors import ModelError
from lancet_core.runs.host import Engine, main
from tests.runs.fake_worker import FAKE_ACTS


@dataclass
class FakeModel:
    folder: str


@dataclass
class FakeScorer:
    folder: str

    def score(self, prompts, responses):
        return pd.DataFrame({"raw": [1.0], "unit": [0.9], "harmful": [len(prompts[0]) / 10]})


def load_model(folder: str) -> FakeModel:
    if "broken" in folder:
        raise ModelError(f"{folder} holds no safetensors; save the model again")
    with Path(f"{folder}.loads").open("a") as file:
        file.write("x")
    return FakeModel(folder)


def stream(model, prompt, template, settings, stop):
    if prompt == "crash":
        raise ZeroDivisionError("division by zero")
    for number in range(settings.max_new_tokens):
        if stop():
            return
        (Path(model.folder).parent / f"said to {prompt}").write_text(str(number))
        yield f"{number} "
        time.sleep(settings.temperature)


if __name__ == "__main__":
    options = sys.argv[1:]
    extra = (
        (Path(options[0]) / "host-options").read_text().split()
        if (Path(options[0]) / "host-options").exists()
        else []
    )
    sys.exit(main([*options, *extra], Engine(load_model, FakeScorer, stream), FAKE_ACTS))
