"""Checkpoints: safetensors and JSON, never pickle; a folder is complete or absent.

``checkpoints/<updates>-<steps>/`` holds ``model.safetensors`` (the networks alone, under names of their own), ``training.safetensors``
(optimisers, generators, what acting remembers) and ``state.json`` (everything else).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file

from diswm.contract import DiswmError
from diswm.data.disk import free_bytes, sync_folder

FORMAT = 1
Tensors = dict[str, torch.Tensor]


def pack(tree: Any, tensors: Tensors, path: str = "") -> Any:
    """Split nested dicts, lists and tensors: the tensors go into ``tensors`` by path, the rest comes back fit for JSON."""
    if isinstance(tree, torch.Tensor):
        tensors[path] = tree.detach().cpu().contiguous().clone()
        return {"$tensor": path}
    if isinstance(tree, dict):
        items = {key: pack(value, tensors, f"{path}/{key}" if path else str(key)) for key, value in tree.items()}
        return items if all(isinstance(key, str) for key in items) else {"$items": [[key, value] for key, value in items.items()]}
    if isinstance(tree, list | tuple):
        return [pack(value, tensors, f"{path}/{index}") for index, value in enumerate(tree)]
    return tree


def unpack(tree: Any, tensors: Tensors) -> Any:
    """The inverse of ``pack``; tuples come back as lists."""
    if isinstance(tree, dict):
        if "$tensor" in tree:
            return tensors[tree["$tensor"]]
        if "$items" in tree:
            return {key: unpack(value, tensors) for key, value in tree["$items"]}
        return {key: unpack(value, tensors) for key, value in tree.items()}
    return [unpack(value, tensors) for value in tree] if isinstance(tree, list) else tree


def save_checkpoint(folder: Path, name: str, state: dict[str, Any]) -> Path:
    """Write ``state`` (with its networks under ``state["agent"]["model"]``) as ``folder/name``; older ones go afterwards.

    Where there is a checkpoint of this name the new one gets a number, as the old one must not go first.
    A process killed in between leaves the older checkpoint and a hidden folder that the next call removes.
    Raises DiswmError where the disk is full; the older checkpoint stays.
    """
    name = _free_name(folder, name)
    temporary, final = folder / f".{name}.tmp", folder / name
    networks: Tensors = {}
    rest: Tensors = {}
    agent = dict(state["agent"])
    model = pack(agent.pop("model"), networks)
    tree = {"format": FORMAT, "state": pack({**state, "agent": agent}, rest), "model": model}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(".*.tmp"):
            shutil.rmtree(old)
        temporary.mkdir()
        save_file(networks, temporary / "model.safetensors", metadata={"format": "pt"})
        save_file(rest, temporary / "training.safetensors", metadata={"format": "pt"})
        (temporary / "state.json").write_text(json.dumps(tree))
        for path in temporary.iterdir():
            _sync(path)
        os.replace(temporary, final)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk as its own kind of error
        shutil.rmtree(temporary, ignore_errors=True)
        raise DiswmError(
            f"{final}: the checkpoint could not be written ({error}); {free_bytes(folder) / 2**20:.0f} MiB are free there. "
            "The checkpoint before it is untouched: free some space and give the same command again."
        ) from error
    sync_folder(folder)
    for old in folder.iterdir():
        if old.is_dir() and old.name != name:
            shutil.rmtree(old, ignore_errors=True)
    return final


def _free_name(folder: Path, name: str) -> str:
    """``name``, or with the first number that sorts behind those there: ``name.0001``."""
    there = [path.name for path in folder.glob(f"{name}*")]
    return name if not there else f"{name}.{max(int(found.removeprefix(name)[1:] or 0) for found in there) + 1:04d}"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, None where there is none."""
    found = sorted(path for path in folder.glob("[0-9]*") if (path / "state.json").is_file()) if folder.is_dir() else []
    return found[-1] if found else None


def load_model(path: Path) -> dict[str, Any]:
    """The networks' state dicts alone: ``{"world": ..., "actor": ..., ...}``. DiswmError for a damaged checkpoint."""
    return _read(path, training=False)["agent"]["model"]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` was given. DiswmError for a damaged checkpoint."""
    return _read(path, training=True)


def save_networks(path: Path, networks: dict[str, Tensors]) -> None:
    """Write networks as one safetensors file with names ``network.parameter``. OSError where the disk is full."""
    flat = {f"{net}.{name}": value.contiguous() for net, tensors in networks.items() for name, value in tensors.items()}
    path.write_bytes(save(flat, metadata={"format": "pt"}))


def load_networks(path: Path) -> dict[str, Tensors]:
    """What ``save_networks`` wrote. DiswmError where it cannot be read."""
    found: dict[str, Tensors] = {}
    try:
        for name, value in load_file(path).items():
            net, _, parameter = name.partition(".")
            found.setdefault(net, {})[parameter] = value
    except (OSError, SafetensorError) as error:
        raise DiswmError(f"{path}: is damaged ({error}). Expected the file that `diswm export` wrote: fetch it again.") from error
    return found


def _read(path: Path, *, training: bool) -> dict[str, Any]:
    try:
        tree = json.loads((path / "state.json").read_text())
        if tree.get("format") != FORMAT:
            raise DiswmError(f"{path}: has format {tree.get('format')}, this version reads {FORMAT}. Use the version that wrote it.")
        model = unpack(tree["model"], load_file(path / "model.safetensors"))
        state = unpack(tree["state"], load_file(path / "training.safetensors")) if training else {"agent": {}}
        state["agent"]["model"] = model
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise DiswmError(
            f"{path}: is damaged ({str(error) or type(error).__name__}). Expected model.safetensors, training.safetensors and state.json "
            "as they were written: take a copy of them, or train again in another folder."
        ) from error
    return state


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
