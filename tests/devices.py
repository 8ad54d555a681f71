"""Watching that work keeps to its device, and a device that stands for a GPU."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal", "unique", "repeat_interleave", "bincount")
"""Operations that wait for the device, as the host has to know a value or a shape."""
MAKES = ("lift_fresh", "lift")
"""Operations that turn a Python number into a tensor of the host; on a GPU it would have to be sent there."""


class Apart(TorchDispatchMode):
    """Fails where tensors of two devices meet other than in a copy. A GPU takes a single number of the host, which is none the better: in
    a recording it would stay what it was."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        devices = {str(part.device) for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)}
        assert len(devices) < 2 or func.overloadpacket.__name__ == "copy_", f"in {func} meet tensors of {' and '.join(sorted(devices))}"
        return func(*args, **(kwargs or {}))


class DeviceAlone(TorchDispatchMode):
    """Fails at what a GPU could not do without the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        assert name not in READS, f"{func} reads a value on the host"
        assert name not in MAKES, f"{func} makes a tensor out of a Python number"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), f"{func} by a mask has a shape that depends on values"
        result = func(*args, **kwargs)
        devices = {str(part.device) for part in tree_leaves((args, kwargs, result)) if isinstance(part, Tensor)}
        assert len(devices) < 2, f"{func} has to do with {' and '.join(sorted(devices))}"
        return result


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A device that stands for a GPU where there is none: PyTorch's "meta", whose tensors have shapes, types and gradients and no values.

    What it lacks is replaced: a generator of its own, autocast, leave for Adam and the gradients' norm, and a way to the host, on which
    zeros arrive. So what only CUDA has goes unseen: streams, recordings, pinned memory, the lower precision.
    """
    monkeypatch.setattr(torch, "Generator", _Generator)
    monkeypatch.setattr(torch, "autocast", lambda device, **options: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda weight: None)
    monkeypatch.setattr(sys.modules["torch.nn.utils.clip_grad"], "_device_has_foreach_support", lambda device: True)
    monkeypatch.setattr(Tensor, "cpu", lambda self: torch.zeros(self.shape, dtype=self.dtype) if self.is_meta else self)
    return "meta"


class _Generator(torch.Generator):
    """Says that it belongs to another device."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self.place = torch.device(device)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place
