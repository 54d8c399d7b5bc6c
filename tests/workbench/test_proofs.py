from lancet_core.operations.answering import prompt_table
from lancet_core.workbench import proofs
from lancet_core.workbench.studies import install_demo
from lancet_core.workspace import open_workspace


def test_queries_are_proved_with_the_category_they_were_stored_with(tmp_path, monkeypatch):
    ordered = []
    monkeypatch.setattr(proofs, "reuse_or_start", lambda *arguments, **_named: ordered.append(arguments))
    workspace = open_workspace(tmp_path)
    proofs.start_evaluation(workspace, install_demo(workspace))
    config = ordered[0][-1]
    asked = prompt_table(config.prompts, config.queries)
    queries = asked[asked["split"] == "queries"]
    assert len(queries) == len(config.queries)
    assert (queries["category"] != "").all()
