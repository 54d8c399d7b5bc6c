"""Fields for what a person brings: a model, and a file of data."""

import streamlit as st

from lancet_core.study.study import list_studies
from lancet_core.study.uploads import keep_upload
from lancet_core.workspace import Workspace

HERE, UPLOAD = "A file on this machine", "Upload"
ENDINGS = ["jsonl", "json", "ndjson", "csv", "tsv", "parquet", "gz"]


def ask_model(workspace: Workspace, *, key: str = "s_model", label: str = "Model") -> str:
    """Draws the field for a model; those that studies use already can be chosen."""
    used = list(dict.fromkeys(study.model for study in list_studies(workspace=workspace)))
    chosen = st.selectbox(
        label,
        used,
        index=None,
        accept_new_options=True,
        key=key,
        placeholder="Folder or hub id",
        help="A causal language model that transformers loads from safetensors: a folder, an adapter's folder, or an id on the "
        "Hub. Those of the other studies are offered.",
    )
    return str(chosen or "").strip()


def ask_data(workspace: Workspace, *, key: str = "s", label: str = "Training data") -> str:
    """Draws the choice between a path and an upload; returns the path, empty where there is none yet.

    Args:
        workspace: Where uploads are kept.
        key: Start of the keys of the fields.
        label: What is asked for.
    """
    way = st.segmented_control(
        label, [HERE, UPLOAD], default=HERE, required=True, key=f"{key}_way", bind="query-params"
    )
    if way == HERE:
        path = st.text_input(
            "Path",
            key=f"{key}_train",
            bind="query-params",
            label_visibility="collapsed",
            placeholder="train.jsonl, a folder of shards, or one saved by datasets",
        )
        return (path or "").strip()
    given = st.file_uploader(
        "File",
        type=ENDINGS,
        key=f"{key}_upload",
        label_visibility="collapsed",
        help="Larger files are given by their path.",
    )
    return "" if given is None else str(keep_upload(workspace, given.name, given.getbuffer()))
