"""DisWM: world models that learn what can vary from distracting videos (arXiv 2503.08751).

Importing this package loads no simulator, no GL and no logger. The verbs of the command line are here as functions::

    agent = diswm.load("runs/x")
    agent.reset()
    action = agent.act(image)  # uint8 (64, 64, 3) -> float32 (A,) in [-1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["collect", "evaluate", "load", "pretrain", "train", "traverse", "write_report"]

if TYPE_CHECKING:
    from diswm.api import collect, evaluate, load, pretrain, train, traverse
    from diswm.report import write_report


def __getattr__(name: str) -> Any:
    """Load the verbs when they are first asked for."""
    if name == "write_report":
        from diswm import report

        return report.write_report
    if name in __all__:
        from diswm import api

        return getattr(api, name)
    raise AttributeError(f"module 'diswm' has no attribute '{name}'")
