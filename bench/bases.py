"""Where base models come from: the shipped zoo, a local folder, or the hub pinned to a commit."""

import os
import re
from pathlib import Path

from bench.architecture import check_model_folder, describe, model_files
from bench.data import ZOO
from bench.errors import BadInput, Unavailable, quoted
from bench.identity import files_digest
from bench.recipe import Base
from bench.settings import what_is_at

HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")


def resolve_base(name: str, model: str, licence: str | None = None) -> Base:
    """Find the model's files and what identifies them.

    Raises BadInput for a folder that is missing or unsafe to load, and for a hub id that cannot be reached.
    """
    if model.startswith(ZOO):
        from bench import zoo

        folder, identity = zoo.model_folder(model.removeprefix(ZOO)), None
    elif what_is_at(model) == "folder":
        folder, identity = Path(model).resolve(), None
    elif HUB_ID.match(model) and not model.startswith((".", "/")):
        folder = _download(model)
        identity = f"hub:{folder.name}"
    else:
        raise BadInput(
            f"The base {name!r} asks for the model {quoted(model)}, which is neither a folder here nor a hub id: "
            f"give a folder with config.json, ORG/NAME@REVISION, or {ZOO}NAME."
        )
    check_model_folder(folder, model)
    identity = identity or f"files:{files_digest(folder, model_files(folder))}"
    return Base(name, model, str(folder), identity, describe(folder), licence)


def _download(model: str) -> Path:
    """The folder of a hub snapshot, named by its commit. Raises BadInput where the hub cannot be reached."""
    # The hub client warns and retries for minutes without network; a request that cannot be met is said at once.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download

    repository, _, revision = model.partition("@")
    try:
        found = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "README.md"],
        )
    except Exception as error:
        reason = type(error).__name__
        raise Unavailable(
            f"The model {model!r} cannot be had from the hub ({reason}): check the id, the revision and the network, "
            "or give a local folder."
        ) from error
    return Path(found)
