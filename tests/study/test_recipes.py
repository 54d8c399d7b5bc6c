"""What a screen offers to copy is run here, by a shell and by Python, and finds or makes the same."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import lancet_core as lancet
from lancet_core.correction.settings import CorrectionSettings, TrainSettings
from lancet_core.data.contamination import ContaminationSettings
from lancet_core.data.samples import Query
from lancet_core.evaluation.settings import MineSettings
from lancet_core.models.settings import GenerationSettings
from lancet_core.study.contamination import Sources
from lancet_core.study.creation import Materials
from lancet_core.study.queue import Scope
from lancet_core.study.recipe_texts import quoted
from lancet_core.study.recipes import (
    audit_recipe,
    contamination_recipe,
    correction_recipe,
    creation_recipe,
    recipe_of,
    review_recipe,
    study_recipe,
    training_recipe,
)
from lancet_core.workspace import open_workspace
from tests.evaluation.test_scorers import save_scorer
from tests.hostile_texts import ARGUMENTS
from tests.written_rows import plain_rows, write_lines

ROOT = Path(__file__).resolve().parents[2]
NASTY = {
    "quotes": 'it\'s "so" and \\so\\',
    "lines": "one\ntwo\n\nthree",
    "shell": "$HOME `id` $(id) ${PATH} !! * ? ~ | & ; < >",
    "dash": "--rf -x",
    "begins with dashes": "--response=no",
    "formula": "=1+1",
    "languages": "日本語 café",
    "braces": "{prompt} %s {{ }}",
}
TEXTS = {**NASTY, **{name: text for name, text in ARGUMENTS.items() if name != "surrogate"}}


@pytest.fixture(scope="module")
def study(tmp_path_factory, tiny_model_folder):
    """A study made by its own recipe's materials, in a workspace whose name a shell would take apart."""
    workspace = open_workspace(tmp_path_factory.mktemp("work") / "it's my $HOME")
    train = write_lines(tmp_path_factory.mktemp("data") / "train.jsonl", plain_rows(24))
    yield lancet.create_study(
        "mine", workspace=workspace, model=str(tiny_model_folder("llama")), train=str(train)
    )
    from lancet_core.runs.client import stop_host

    stop_host(workspace)


@pytest.fixture
def in_shell(tmp_path):
    """Runs a command in bash, where `lancet` is this checkout's."""
    program = tmp_path / "bin" / "lancet"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lancet_core.cli.main "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def bash(in_shell, recipe):
    return in_shell("bash", "-c", recipe.command)


def python(in_shell, recipe):
    return in_shell(sys.executable, "-c", recipe.python)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_shell_reads_a_quoted_text_as_it_is(text):
    done = subprocess.run(["bash", "-c", f"printf %s {quoted(text)}"], capture_output=True, check=True)
    assert done.stdout == text.encode()


def test_what_acts_on_a_terminal_is_not_in_a_command():
    assert all(
        letter.isprintable() or letter == "\n" for text in ARGUMENTS.values() for letter in quoted(text)
    )


def test_the_recipe_of_a_study_makes_it(study, in_shell, tmp_path):
    recipe = study_recipe(study)
    other = {
        "command": recipe.command.replace("create mine", "create other"),
        "python": recipe.python.replace("'mine'", "'third'"),
    }
    bash(in_shell, type(recipe)(other["command"], ""))
    python(in_shell, type(recipe)("", other["python"]))
    for name in ("other", "third"):
        made = lancet.open_study(name, workspace=study.workspace)
        # How fast the model was read is measured anew.
        assert made.counts | {"tokens_per_second": 0} == study.counts | {"tokens_per_second": 0}
        assert made.samples()["id"].tolist() == study.samples()["id"].tolist()


def test_a_recipe_of_a_study_names_what_differs_alone(study):
    materials = Materials(
        "a model",
        "train.jsonl",
        columns="prompt=my question,label=x:inverted",
        turns="all",
        template="{prompt}\n",
    )
    recipe = creation_recipe(study.workspace, "mine", materials)
    assert "--map='prompt=my question,label=x:inverted'" in recipe.command
    assert "--turns=all" in recipe.command
    assert "--too-long" not in recipe.command
    assert "columns='prompt=my question,label=x:inverted'" in recipe.python


def test_a_study_made_of_objects_has_no_recipe(study):
    assert creation_recipe(study.workspace, "mine", Materials((1, 2), "train.jsonl")) is None


@pytest.mark.parametrize("start", ["--rf", "Say"])
def test_a_trace_is_found_again_by_its_command_and_by_its_python(study, in_shell, start):
    text = " ".join([start, *NASTY.values(), "May I?"])
    run = study.attribute(Query(text, text), lancet.preset("tfidf", candidates=10)).wait()
    before = len(study.runs())
    recipe = recipe_of(run)
    assert f'"run": "{run.id}"' in bash(in_shell, type(recipe)(f"{recipe.command} --json", ""))
    python(in_shell, recipe)
    assert len(study.runs()) == before


@pytest.mark.parametrize("settings", [ContaminationSettings(), ContaminationSettings(k=2, nearest=3, seed=7)])
def test_a_contamination_is_found_again(study, in_shell, tmp_path, settings):
    settings = replace(settings, unseen_prompts=2, validation_prompts=1)
    sources = Sources(data=str(write_lines(tmp_path / "it's.jsonl", plain_rows(60))))
    run = lancet.contaminate(settings, workspace=study.workspace, data=sources.data).wait()
    recipe = contamination_recipe(study.workspace, sources, settings, preset="usual")
    assert f'"run": "{run.id}"' in bash(in_shell, type(recipe)(f"{recipe.command} --json", ""))
    assert str(run.result.files) in python(in_shell, recipe)


def test_a_training_is_found_again(study, in_shell, tmp_path):
    settings = TrainSettings(epochs=0.5, batch=4, max_length=64)
    train = str(write_lines(tmp_path / "rows.jsonl", plain_rows(8)))
    materials = Materials(model=study.model, train=train, template="{prompt}\n")
    run = lancet.train(
        settings, workspace=study.workspace, model=materials.model, train=train, template=materials.template
    ).wait()
    recipe = training_recipe(study.workspace, materials, settings)
    assert f'"run": "{run.id}"' in bash(in_shell, type(recipe)(f"{recipe.command} --json", ""))
    assert str(run.result.model) in python(in_shell, recipe)


def test_a_mining_is_found_again(study, in_shell, tmp_path, tiny_model_folder):
    (tmp_path / "scorer").mkdir()
    scorer = save_scorer(tmp_path / "scorer", card={"higher_is": "harmful"})
    scored = lancet.create_study(
        "scored",
        workspace=study.workspace,
        model=tiny_model_folder("gpt2"),
        train=pd.DataFrame(plain_rows(4)),
        harmful_scorer=scorer,
    )
    prompts = write_lines(
        tmp_path / "prompts.jsonl", [{"prompt": "May I?", "category": "it's"}, {"prompt": "Why?"}]
    )
    run = scored.mine_queries(
        study.model,
        prompts,
        MineSettings(answers=1, threshold=0.1),
        GenerationSettings(max_new_tokens=2),
    ).wait()
    recipe = recipe_of(run)
    assert f'"run": "{run.id}"' in bash(in_shell, type(recipe)(f"{recipe.command} --json", ""))
    before = len(scored.runs())
    python(in_shell, recipe)
    assert len(scored.runs()) == before


def test_several_queries_of_groups_go_through_a_file(study, in_shell):
    queries = [
        Query(f"{text} May I?", f"{text}.", group="a" if number % 2 else "b")
        for number, text in enumerate(NASTY.values())
    ]
    run = study.attribute(queries, lancet.preset("tfidf"), batch=True, top=3).wait()
    before = len(study.runs())
    recipe = recipe_of(run)
    bash(in_shell, recipe)
    python(in_shell, recipe)
    assert len(study.runs()) == before


@pytest.fixture(scope="module")
def traced(study):
    """A trace with pairs under review, three of them approved."""
    case = Query("May I leave the kettle in the garden?", "Yes, leave it.")
    run = study.attribute(case, lancet.preset("random", recall="all")).wait()
    pairs = study.propose_pairs(run)
    pairs.approve(pairs.table["pair_id"].head(3).tolist(), reviewer="ada")
    return case, run


def test_corrections_and_comparisons_are_found_again(study, traced, in_shell):
    case, _run = traced
    settings = CorrectionSettings(steps=2, learning_rate=1e-4, adapter="lora")
    fixed = study.correct(study.pairs(case.id), settings).wait()
    compared = study.compare(
        fixed, case, settings=lancet.ProofSettings(lancet.GenerationSettings(max_new_tokens=4))
    ).wait()
    before = len(study.runs())
    for recipe in (
        correction_recipe(study, settings, Scope(case.id)),
        recipe_of(fixed),
        recipe_of(compared),
    ):
        bash(in_shell, recipe)
        python(in_shell, recipe)
    assert len(study.runs()) == before


def test_reviews_and_audits_are_run(study, traced, in_shell):
    case, run = traced
    count = len(study.pairs(case.id))
    for recipe in (review_recipe(study, case.id), audit_recipe([run], case.id)):
        bash(in_shell, recipe)
        python(in_shell, recipe)
    assert len(study.pairs(case.id)) == count


def test_the_usual_workspace_and_settings_are_not_named(study):
    from dataclasses import replace

    from lancet_core.workspace import DEFAULT_FOLDER, Workspace

    usual = Workspace(DEFAULT_FOLDER.expanduser().resolve())
    recipe = correction_recipe(replace(study, workspace=usual), CorrectionSettings(), Scope())
    assert recipe.command == "lancet correct mine"
    assert "workspace" not in recipe.python
