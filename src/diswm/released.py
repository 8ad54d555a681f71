"""The weights as the authors' release saves them: one ``.pt`` file a part, plain state dicts under names of its own.

==================== ========================================= ===========================
file                 what                                      ours
==================== ========================================= ===========================
encoder.pt           beta-VAE encoder                          world.encoder
decoder.pt           decoder with a bottleneck                 world.decoder
rssm.pt              recurrent state-space model               world.rssm
teacher_encoder.pt   encoder of the frozen video model         kept aside
reward.pt            reward head                               world.heads.reward
actor.pt, value.pt   policy and critic                         actor, critic
==================== ========================================= ===========================

The first three are needed. Shapes decide all sizes. This is the one module that touches pickles, as the release's files are such.
They are read as hostile: tensors only, bounded, finite float32.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from diswm.contract import DiswmError, some
from diswm.data.disk import size
from diswm.model.encoder import GaussianEncoder
from diswm.model.heads import Actor, ScalarHead
from diswm.model.world import ModelConfig, WorldModel

StateDict = dict[str, Tensor]
NEEDED = ("encoder", "decoder", "rssm")
PARTS = (*NEEDED, "teacher_encoder", "reward", "actor", "value")
MAX_BYTES = 1 << 30  # of one file; those of the release have 2 MB
MAX_SIZE = 1 << 16  # rows or columns; the largest of the release has 600
ACTIONS = "_inp_layers.0.weight"  # (hidden, stoch + actions)
_STATE = "Expected a plain state dict: names and tensors."
_CONVS = (0, 2, 4, 6, 8)
_ENCODER = {**{f"encoder.{i}": f"convs.{i}" for i in _CONVS}, "dis_encoder.0": "stats"}
_DECODER = {"feat_to_decoder.0": "stem.0", "decoder.0": "stem.2", **{f"decoder.{3 + i}": f"convs.{i}" for i in _CONVS}}
_RSSM = {
    "_inp_layers.0": "inp",
    "_cell._layer": "cell.linear",
    "_cell._norm": "cell.norm",
    "_img_out_layers.0": "prior_hidden",
    "_obs_out_layers.0": "post_hidden",
    "_ims_stat_layer": "prior_stats",
    "_obs_stat_layer": "post_stats",
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the shapes of a folder's tensors say."""

    model: ModelConfig
    act_dim: int
    actor_layers: int = 4
    critic_layers: int = 3
    units: int = 400

    def __str__(self) -> str:
        m = self.model
        sizes = {"code size": m.z_dim, "actions": self.act_dim, "stoch": m.stoch, "deter": m.deter, "hidden": m.hidden, "depth": m.depth}
        return ", ".join(f"{name} {value}" for name, value in sizes.items())


# ---------------------------------------------------------------- names


def _names(part: str, layers: int) -> dict[str, str]:
    """Released layer -> our layer; ``layers`` hidden ones where their count varies."""
    if part in ("reward", "value"):
        return {f"_mean_layers.{2 * i}": f"net.{2 * i}" for i in range(layers + 1)}
    if part == "actor":
        return {**{f"_pre_layers.{2 * i}": f"net.{2 * i}" for i in range(layers)}, "_dist_layer": f"net.{2 * layers}"}
    return {"encoder": _ENCODER, "teacher_encoder": _ENCODER, "decoder": _DECODER, "rssm": _RSSM}[part]


def _rename(state: Mapping[str, Tensor], names: Mapping[str, str]) -> StateDict:
    return {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value for name, value in state.items()}


def to_ours(part: str, state: Mapping[str, Tensor]) -> StateDict:
    """A released state dict under our names."""
    return _rename(state, _names(part, _hidden_layers(part, state)))


def to_theirs(part: str, state: Mapping[str, Tensor]) -> StateDict:
    """Our state dict of a part under the released names: tensors of their own memory, contiguous, in the release's order."""
    layers = len([name for name in state if name.endswith(".weight")]) - 1
    names = _names(part, layers)
    renamed = _rename(state, {ours: theirs for theirs, ours in names.items()})
    order = [f"{layer}.{kind}" for layer in names for kind in ("weight", "bias")]
    return {name: renamed[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in order if name in renamed}


def _hidden_layers(part: str, state: Mapping[str, Tensor]) -> int:
    head = {"reward": "_mean_layers.", "value": "_mean_layers.", "actor": "_pre_layers."}.get(part, "")
    count = sum(1 for name in state if head and name.startswith(head) and name.endswith(".weight"))
    return count if part == "actor" else max(count - 1, 0)


# ---------------------------------------------------------------- sizes


def sizes_of(folder: Path, parts: Mapping[str, StateDict]) -> Sizes:
    """The sizes of the model that ``parts`` are of. DiswmError, with what was expected and found, where they do not fit."""
    for part, state in parts.items():
        _check_names(folder / f"{part}.pt", part, state)
    sizes = _read_sizes(folder, parts)
    if "actor" in parts and not sizes.act_dim:
        raise DiswmError(f"{folder / 'rssm.pt'}: takes no actions, but there is an actor.pt. Expected both of one agent, or no actor.pt.")
    for part, expected in _expected(sizes, parts).items():
        for name, tensor in parts[part].items():
            if tuple(tensor.shape) != expected[name]:
                raise DiswmError(
                    f"{folder / f'{part}.pt'}: '{name}' has shape {tuple(tensor.shape)}, expected {expected[name]} for {sizes}"
                    f"{_units(part, sizes)}. Take all files from the same run of the release."
                )
    return sizes


def _units(part: str, sizes: Sizes) -> str:
    units = {"reward": sizes.model.units, "actor": sizes.units, "value": sizes.units}
    return f", {units[part]} units" if part in units else ""


def _check_names(path: Path, part: str, state: StateDict) -> None:
    layers = _hidden_layers(part, state)
    expected = {f"{layer}.{kind}" for layer in _names(part, layers) for kind in ("weight", "bias")}
    if part == "rssm" and not any(name.startswith("_cell._norm.") for name in state):
        expected -= {"_cell._norm.weight", "_cell._norm.bias"}
    for problem, names in (("lacks", expected - state.keys()), ("has the unknown", state.keys() - expected)):
        if names:
            raise DiswmError(
                f"{path}: {problem} {_some(names)}. Expected {part.replace('_', ' ')} weights of the release: {_some(expected)}; "
                f"found {_some(state)}."
            )


def _some(names: Any, count: int = 3) -> str:
    return some([name[:60] for name in sorted(names)], count)


def _read_sizes(folder: Path, parts: Mapping[str, StateDict]) -> Sizes:
    def axis(part: str, name: str, index: int, share: int = 1) -> int:
        shape = tuple(parts[part][name].shape)
        if len(shape) < 2 or shape[index] % share or not 0 < shape[index] <= MAX_SIZE:
            what = f"a multiple of {share} rows" if share > 1 else "a matrix"
            raise DiswmError(
                f"{folder / f'{part}.pt'}: '{name}' has shape {shape}, expected {what}, no side above {MAX_SIZE:,}. Fetch the file again."
            )
        return shape[index] // share

    stoch = axis("rssm", "_ims_stat_layer.weight", 0, 2)
    act_dim = axis("rssm", ACTIONS, 1) - stoch
    if act_dim < 0:
        raise DiswmError(f"{folder / 'rssm.pt'}: '{ACTIONS}' has {act_dim + stoch} columns, expected {stoch} (stoch) and one per action.")
    heads = {part: _hidden_layers(part, parts[part]) for part in ("reward", "actor", "value") if part in parts}
    units = {part: axis(part, f"{'_pre' if part == 'actor' else '_mean'}_layers.0.weight", 0) for part, layers in heads.items() if layers}
    model = ModelConfig(
        z_dim=axis("encoder", "dis_encoder.0.weight", 0, 2),
        stoch=stoch,
        deter=axis("rssm", "_cell._layer.weight", 0, 3),
        hidden=axis("rssm", ACTIONS, 0),
        depth=axis("encoder", "encoder.0.weight", 0),
        layer_norm="_cell._norm.weight" in parts["rssm"],
        reward_layers=heads.get("reward", ModelConfig.reward_layers),
        units=units.get("reward", ModelConfig.units),
    )
    policy_units = units.get("actor", units.get("value", Sizes.units))
    return Sizes(model, act_dim, heads.get("actor", Sizes.actor_layers), heads.get("value", Sizes.critic_layers), policy_units)


def depth_of(encoder: Mapping[str, Tensor]) -> int:
    """Channels of the first convolution of an encoder under the released names; a teacher has as many as it likes."""
    shape = encoder["encoder.0.weight"].shape
    return min(max(shape[0], 1), MAX_SIZE) if shape else 1


def _expected(sizes: Sizes, parts: Mapping[str, StateDict]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes of a model of these sizes under the released names, part by part; nothing is allocated."""
    taught = parts.get("teacher_encoder", parts["encoder"])
    with torch.device("meta"):
        world = WorldModel(sizes.model, sizes.act_dim)
        feature = world.feature_size
        nets = {
            "encoder": world.encoder,
            "decoder": world.decoder,
            "rssm": world.rssm,
            "teacher_encoder": GaussianEncoder(sizes.model.z_dim, depth_of(taught)),
            "reward": ScalarHead(feature, sizes.model.reward_layers, sizes.model.units),
            "actor": Actor(feature, max(sizes.act_dim, 1), sizes.actor_layers, sizes.units),
            "value": ScalarHead(feature, sizes.critic_layers, sizes.units),
        }
    found = {}
    for part in parts:
        names = {ours: theirs for theirs, ours in _names(part, _hidden_layers(part, parts[part])).items()}
        found[part] = {name: tuple(value.shape) for name, value in _rename(nets[part].state_dict(), names).items()}
    return found


# ---------------------------------------------------------------- files


def read_parts(folder: Path) -> dict[str, StateDict]:
    """The files of a folder by part. DiswmError where one is missing, damaged, or holds anything but finite float32 tensors."""
    if not folder.is_dir():
        raise DiswmError(f"{folder}: is not a folder. Expected one with {', '.join(f'{part}.pt' for part in NEEDED)}.")
    there = [part for part in PARTS if os.path.lexists(folder / f"{part}.pt")]  # a broken link is no missing file
    if missing := [f"{part}.pt" for part in NEEDED if part not in there]:
        files = ", ".join(f"{part}.pt" for part in there) or "no weights"
        raise DiswmError(f"{folder}: has no {' and no '.join(missing)}, found {files}. Name the folder that the release saved in.")
    return {part: read_state(folder / f"{part}.pt") for part in there}


def read_state(path: Path) -> StateDict:
    """One plain state dict, float32 on the CPU. DiswmError for all else; no code of the file is run."""
    _check_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles: what comes out is judged below
            found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # its own words advise to load the file unsafely
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"asks for {asked[1]}" if asked else "is damaged or holds other objects"
        raise DiswmError(f"{path}: {what}, and was not loaded. {_STATE} Fetch it from a source you trust.") from error
    except Exception as error:  # whatever torch raises on damaged bytes: RuntimeError, EOFError, KeyError, ...
        raise DiswmError(f"{path}: cannot be read ({type(error).__name__}). Expected a whole file of torch.save: fetch it.") from error
    if not isinstance(found, Mapping) or not found:
        raise DiswmError(f"{path}: holds {_kind(found)}. {_STATE}")
    for name, value in found.items():
        _check_tensor(path, name, value)
    return {name: value.detach().resolve_neg() for name, value in found.items()}


def _kind(value: object) -> str:
    return "nothing" if isinstance(value, Mapping) and not value else f"an object of type {type(value).__name__}"


def _check_bytes(path: Path) -> None:
    try:
        if not path.is_file():
            raise DiswmError(f"{path}: is not a file. Expected a state dict of `torch.save`.")
        count = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                count = max(count, sum(info.file_size for info in archive.infolist()))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). Expected a whole file of torch.save: fetch it.") from error
    if count > MAX_BYTES:
        raise DiswmError(f"{path}: takes {size(count)}, more than the limit of {size(MAX_BYTES)}. Expected weights of the release (2 MB).")


def _check_tensor(path: Path, name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, Tensor):
        raise DiswmError(f"{path}: '{str(name)[:60]}' is {_kind(value)}. {_STATE}")
    if value.layout != torch.strided or value.is_nested or value.device.type != "cpu" or value.dtype != torch.float32:
        found = f"{value.dtype}, {'nested' if value.is_nested else value.layout} on {value.device}".replace("torch.", "")
        raise DiswmError(f"{path}: '{name[:60]}' is {found}. Expected float32, strided on cpu; save it with `.float().cpu()`.")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():  # a view that repeats a few numbers without end
        raise DiswmError(f"{path}: '{name[:60]}' declares shape {tuple(value.shape)}, more than the file holds. Fetch it again.")
    if not torch.isfinite(value).all():
        raise DiswmError(f"{path}: '{name[:60]}' has numbers that are not finite. Take weights from before the training diverged.")


def write_state(path: Path, state: StateDict) -> None:
    """Write one plain state dict. OSError where the disk is full."""
    buffer = io.BytesIO()
    torch.save(state, buffer)  # straight into the file, a full disk would be a RuntimeError without a number
    path.write_bytes(buffer.getvalue())  # not its view: early Pythons 3.12 crash on collecting one that an exception held
