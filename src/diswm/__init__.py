"""DisWM: world models that learn what can vary from distracting videos (arXiv 2503.08751).

Importing this package loads no simulator, no GL and no logger. The verbs of the command line are here as functions::

    agent = diswm.load("runs/x")
    agent.reset()
    action = agent.act(image)  # uint8 (64, 64, 3) -> float32 (A,) in [-1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "collect", "data_convert", "data_info", "data_preview", "diagnose", "draw_factors", "evaluate", "explore", "export",
    "export_checkpoint", "gallery", "import_checkpoint", "load", "pretrain", "push", "run_bench", "run_demo", "score", "train", "traverse",
    "write_report",
]  # fmt: skip

# Verbs that are not in api, most of them as their own names are modules.
_ELSEWHERE = {
    "diagnose": ("doctor", "diagnose"),
    "draw_factors": ("factorsets", "draw_factors"),
    "explore": ("explorer", "explore"),
    "export": ("portable", "export"),
    "gallery": ("pictures", "gallery"),
    "push": ("portable", "push"),
    "run_bench": ("bench", "bench"),
    "run_demo": ("demo", "demo"),
    "score": ("scoring", "score"),
    "write_report": ("report", "write_report"),
    **{name: ("datasets", name) for name in ("data_convert", "data_info", "data_preview")},
}

if TYPE_CHECKING:
    from diswm.api import collect, evaluate, export_checkpoint, import_checkpoint, load, pretrain, train, traverse
    from diswm.bench import bench as run_bench
    from diswm.datasets import data_convert, data_info, data_preview
    from diswm.demo import demo as run_demo
    from diswm.doctor import diagnose
    from diswm.explorer import explore
    from diswm.factorsets import draw_factors
    from diswm.pictures import gallery
    from diswm.portable import export, push
    from diswm.report import write_report
    from diswm.scoring import score


def __getattr__(name: str) -> Any:
    """Load the verbs when they are first asked for."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'diswm' has no attribute '{name}'")
    module, function = _ELSEWHERE.get(name, ("api", name))
    return getattr(import_module(f"diswm.{module}"), function)
