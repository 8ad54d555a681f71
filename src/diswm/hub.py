"""Runs on a model hub, through huggingface_hub: ``hub:user/name`` is read like a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diswm.contract import DiswmError

PREFIX = "hub:"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of an exported run that make it a run again."""


def local(run: Path | str) -> Path:
    """The folder of a run. What ``hub:user/name`` (or ``hub:user/name@revision``) names is fetched first, once."""
    name = str(run)
    return fetch(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else Path(run)


def fetch(name: str) -> Path:
    """The folder with config and weights of ``user/name`` or ``user/name@revision``. DiswmError where the hub does not give them."""
    library = require_hub()
    repo_id, _, revision = name.partition("@")
    check_name(repo_id)
    try:
        return Path(library.snapshot_download(repo_id, revision=revision or None, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # whatever it raises for names, tokens, the network and the hub's answers
        raise _refused(f"{PREFIX}{name}: could not be fetched", error, "Check the name and the network") from error


def upload(folder: Path, repo_id: str, *, private: bool) -> str:
    """Give ``repo_id`` the files of ``folder``; it is made if it is not there yet. Returns its address. DiswmError where that fails."""
    library = require_hub()
    try:
        address = str(library.create_repo(repo_id, private=private, exist_ok=True))
        library.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Weights, ONNX and model card of a diswm run")
    except Exception as error:  # whatever it raises for names, tokens, the network and the hub's answers
        raise _refused(f"{repo_id}: could not be pushed", error, "Expected user/name; log in with `hf auth login`") from error
    return address


def check_name(repo_id: str) -> None:
    """DiswmError for what no hub could have, before anything else is done; the extra ``hub`` is there."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise DiswmError(
            f"{repo_id!r} is no name that a hub could have. Expected user/name, of letters, digits, '-', '_' and '.'."
        ) from error


def require_hub() -> Any:
    """huggingface_hub. DiswmError unless the extra ``hub`` is installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise DiswmError(f"There is no way to a model hub ({error}): pip install 'diswm[hub]'.") from error
    return huggingface_hub


def _refused(what: str, error: Exception, advice: str) -> DiswmError:
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return DiswmError(f"{what} ({said.rstrip('.')}). {advice}.")
