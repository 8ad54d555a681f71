"""Imports flow one way, nothing goes round in a circle, and no file or function holds a second idea.

The table below is the design; the tests read the source with ``ast`` and hold every import against it, those inside
functions included. A new top-level module of ``diswm`` needs a line in ``MAY_IMPORT``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

PARTS = {"contract", "envs", "data", "model", "objectives", "agents", "metrics", "trainers"}
MAY_IMPORT: dict[str, set[str]] = {
    "contract": set(),
    "native": set(),
    "cores": set(),
    "imports": set(),
    "envs": {"contract", "native", "imports"},
    "data": {"contract"},
    "model": {"contract", "native"},
    "objectives": {"contract", "model"},
    "agents": {"contract", "model", "objectives"},
    "metrics": set(),
    "trainers": PARTS - {"trainers"},
    "report": {"contract", "metrics"},
    "doctor": {"contract", "cores", "envs", "imports"},
    "runtime": {"contract", "cores"},
    "config": PARTS,
    "methods": PARTS | {"config"},
    "ablations": PARTS | {"config", "methods"},
    "presets": PARTS | {"config"},
    "hub": {"contract"},
    "build": PARTS | {"config", "methods", "hub"},
    "portable": PARTS | {"config", "build", "hub", "report"},
    "released": {"contract", "data", "model"},
    "exchange": PARTS | {"config", "methods", "build", "checks", "released"},
    "explorer": PARTS | {"config", "build", "checks", "factorsets", "portable", "report"},
    "factorsets": PARTS | {"config", "runtime"},
    "scoring": PARTS | {"config", "build", "explorer", "factorsets", "runtime"},
    "closeups": PARTS | {"config", "build", "factorsets", "hub"},
    "evaluations": PARTS | {"config"},
    "matrix": PARTS | {"config", "evaluations"},
    "pictures": PARTS | {"matrix", "report"},
    "datasets": {"contract", "data", "trainers"},
    "checks": PARTS | {"config"},
    "collecting": PARTS | {"config", "build", "checks", "runtime"},
    "api": PARTS
    | {
        *("config", "methods", "ablations", "build", "checks", "closeups", "collecting", "datasets", "exchange", "evaluations"),
        *("factorsets", "hub", "matrix", "runtime"),
    },
    "demo": PARTS | {"config", "methods", "presets", "api", "report"},
    "arguments": set(),
    "verbs": PARTS
    | {
        *("config", "methods", "ablations", "presets", "api", "cores", "datasets", "demo", "report", "doctor", "arguments", "parsing"),
        *("portable", "explorer", "settings", "bench", "runtime", "pictures", "factorsets", "scoring", "imports"),
    },
    "cli": {"contract", "data", "verbs"},
    "parsing": {"contract"},
    "settings": PARTS | {"config", "ablations", "presets", "parsing"},
    "limit": set(),
    "bench": PARTS | {"config", "limit"},
    "__main__": {"cli"},
}
ONLY_LAZILY = {"doctor": {"envs"}}
WHY = {
    "contract": "the shared nouns know none of the parts",
    "envs": "any agent can use an env, in a worker process, without a GPU",
    "data": "a data set is readable where no simulator installs",
    "model": "a network knows sizes, not where batches come from nor how it is scored",
    "objectives": "terms hold no parameters and receive the teacher's tensors",
    "agents": "an agent knows neither where frames come from nor the other agents",
    "metrics": "metrics are plain functions of arrays",
    "trainers": "they receive built objects",
    "report": "a report is made from run folders alone",
    "doctor": "it must work where the rest does not",
}

SIMULATORS = {"mujoco", "dm_control", "mujoco_warp", "warp", "OpenGL", "metaworld"}
SERVICES = {"tensorboard", "wandb", "matplotlib", "tyro", "argparse"}
FORBIDDEN_OUTSIDE: dict[str, set[str]] = {
    "contract": SIMULATORS | SERVICES,
    "envs": {"torch"} | SERVICES,
    "data": SIMULATORS | SERVICES,
    "model": SIMULATORS | SERVICES | {"gymnasium"},
    "objectives": SIMULATORS | SERVICES | {"gymnasium"},
    "agents": SIMULATORS | SERVICES | {"gymnasium"},
    "trainers": SIMULATORS | {"tyro", "argparse"},
    "report": SIMULATORS | {"torch", "gymnasium"},
    "config": SIMULATORS,
    "methods": SIMULATORS,
    "verbs": SIMULATORS,
    "cli": SIMULATORS,
}
ALLOWED_OUTSIDE = {"metrics": {"numpy", "scipy", "sklearn", "threadpoolctl"}}


class Import(NamedTuple):
    source: str  # module that imports
    target: str  # module that is imported, as precisely as the names tell
    name: str  # the imported name where target is a package attribute, else ""
    line: int
    lazy: bool  # inside a function

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}{'.' + self.name if self.name else ''}"


def read_sources(root: Path = SRC) -> dict[str, str]:
    """Module name -> source; a package is named ``a.b.__init__``."""
    files = sorted((root / "diswm").rglob("*.py"))
    return {".".join(file.relative_to(root).with_suffix("").parts): file.read_text() for file in files}


def short(module: str) -> str:
    return module.removesuffix(".__init__")


def layer(module: str) -> str:
    parts = short(module).split(".")
    return parts[1] if len(parts) > 1 else ""


def imports_of(module: str, source: str, known: set[str]) -> Iterator[Import]:
    tree = ast.parse(source, filename=module)
    lazy = {id(node) for block in [*functions(tree), *type_checking(tree)] for node in ast.walk(block)}
    package = short(module) if module.endswith(".__init__") else module.rpartition(".")[0]
    for node in ast.walk(tree):
        here = {"source": module, "line": getattr(node, "lineno", 0), "lazy": id(node) in lazy}
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(target=alias.name, name="", **here)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(target=full, name="", **here) if full in known else Import(target=base, name=alias.name, **here)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield Import(target=str(argument.value), name="", **here)


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def type_checking(tree: ast.AST) -> list[ast.If]:
    """Blocks that only a type checker reads: they never run."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"]


def called_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def all_imports(sources: dict[str, str]) -> list[Import]:
    known = {short(module) for module in sources}
    return [found for module, source in sources.items() for found in imports_of(module, source, known)]


def broken_arrows(sources: dict[str, str]) -> list[str]:
    problems = [f"{module}: layer {layer(module)!r} has no line in MAY_IMPORT" for module in sources if is_unknown(module)]
    families = {short(module) for module, source in sources.items() if layer(module) == "agents" and defines_an_agent(source)}
    for found in all_imports(sources):
        rule = internal_rule(found, families) if found.target.split(".")[0] == "diswm" else external_rule(found)
        if rule:
            problems.append(f"{found}, but {rule}")
    return problems


def is_unknown(module: str) -> bool:
    return layer(module) not in MAY_IMPORT and short(module) not in {"diswm", "diswm.__main__"}


def defines_an_agent(source: str) -> bool:
    """Whether a class here acts; what agents share (optimisers, the world learner) does not, and may be imported by them."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return any(function.name == "act" for one in classes for function in one.body if isinstance(function, ast.FunctionDef))


def internal_rule(found: Import, families: set[str]) -> str:
    """The rule that an import of our own breaks, or nothing."""
    source, target = layer(found.source), layer(found.target)
    if short(found.source) == "diswm":
        return "" if found.lazy else "diswm/__init__.py imports its own parts inside functions only"
    if short(found.source) == "diswm.__main__":
        return ""
    if not target:
        if source in {"contract", "metrics"} or found.name != "__version__":
            return f"{source} may take nothing from the package itself but __version__"
        return ""
    if target == source:
        return "agents never import each other" if found.target in families and not found.source.endswith(".__init__") else ""
    if target not in MAY_IMPORT.get(source, set()):
        may = ", ".join(sorted(MAY_IMPORT.get(source, set()))) or "nothing of ours"
        return f"{source} may import {may}: {WHY.get(source, 'imports flow downwards')}"
    if target in ONLY_LAZILY.get(source, set()) and not found.lazy:
        return f"{source} imports {target} inside functions only: {WHY[source]}"
    return ""


def external_rule(found: Import) -> str:
    """The rule that an import of somebody else's package breaks, or nothing."""
    source, target = layer(found.source), found.target.split(".")[0]
    if target in sys.stdlib_module_names - {"argparse"}:
        return ""
    if source in ALLOWED_OUTSIDE and target not in ALLOWED_OUTSIDE[source]:
        return f"{source} may import the standard library, {', '.join(sorted(ALLOWED_OUTSIDE[source]))}: {WHY[source]}"
    if target in FORBIDDEN_OUTSIDE.get(source, set()):
        return f"{source} must never import {target}: {WHY.get(source, 'suites are imported by envs')}"
    if source == "doctor" and not found.lazy:
        return f"doctor imports only the standard library at its head: {WHY['doctor']}"
    if not source and not found.lazy:
        return "importing diswm has no side effect: other packages are imported inside functions"
    return ""


def readers_of_argv(sources: dict[str, str]) -> list[str]:
    problems = []
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and node.attr == "argv" and layer(module) != "cli":
                problems.append(f"{module}:{node.lineno} reads sys.argv, but only cli does")
    return problems


def cycles(sources: dict[str, str]) -> list[list[str]]:
    """Groups of modules that reach each other, imports inside functions included.

    The door ``diswm/__init__.py`` is left out: what it offers lazily may take the version from it.
    """
    graph: dict[str, set[str]] = {short(module): set() for module in sources if short(module) != "diswm"}
    for found in all_imports(sources):
        if short(found.source) in graph and found.target in graph:
            graph[short(found.source)].add(found.target)
    reach = {module: reachable(graph, module) for module in graph}
    groups = {frozenset({other for other in reach[module] if module in reach[other]}) for module in graph}
    return sorted(sorted(group) for group in groups if group)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo.extend(graph[module])
    return seen


def too_long(sources: dict[str, str]) -> list[str]:
    problems = []
    for module, source in sources.items():
        lines = len(source.splitlines())
        if lines > MAX_FILE_LINES:
            problems.append(f"{module} has {lines} lines, but a file stays under {MAX_FILE_LINES} (aim at 300): a second idea moved in")
        for function in functions(ast.parse(source)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                where = f"{module}:{function.lineno} {function.name}"
                problems.append(f"{where} has {lines} lines, but a function stays under {MAX_FUNCTION_LINES} (aim at 40)")
    return problems


def listing(problems: list[str]) -> str:
    return "\n  " + "\n  ".join(problems)


# ---- the source as it is


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    found = read_sources()
    assert "diswm.contract" in found, f"no source under {SRC}"
    return found


def test_imports_follow_the_table(sources: dict[str, str]) -> None:
    problems = broken_arrows(sources)
    assert not problems, listing(problems)


def test_no_modules_import_each_other(sources: dict[str, str]) -> None:
    found = cycles(sources)
    assert not found, "modules that import each other:" + listing([" <-> ".join(group) for group in found])


def test_only_cli_reads_the_command_line(sources: dict[str, str]) -> None:
    problems = readers_of_argv(sources)
    assert not problems, listing(problems)


def test_files_and_functions_stay_short(sources: dict[str, str]) -> None:
    problems = too_long(sources)
    assert not problems, listing(problems)


# ---- the checker itself: it must be able to fail

AGENT = "class Dreamer:\n    def act(self, image): ..."


@pytest.mark.parametrize(
    ("module", "source", "words"),
    [
        ("diswm.contract", "from diswm.model.rssm import RSSM", "nothing of ours"),
        ("diswm.envs.dmc", "import torch", "envs must never import torch"),
        ("diswm.envs.dmc", "def f():\n    from diswm.config import Config", "envs may import contract"),
        ("diswm.data.replay", "from ..envs import make", "data may import contract"),
        ("diswm.data.replay", "from mujoco import MjModel", "data must never import mujoco"),
        ("diswm.model.world", "from diswm import objectives", "model may import contract"),
        ("diswm.objectives.distill", "from diswm.agents.dreamer import Dreamer", "objectives may import contract, model"),
        ("diswm.agents.sac", "from diswm.agents.dreamer import Dreamer", "agents never import each other"),
        ("diswm.agents.sac", "from .dreamer import Dreamer", "agents never import each other"),
        ("diswm.metrics.video", "import torch", "metrics may import the standard library, numpy, scipy, sklearn, threadpoolctl"),
        ("diswm.metrics.video", "from diswm.contract import Metrics", "nothing of ours"),
        ("diswm.metrics.video", "from diswm import __version__", "nothing from the package itself"),
        ("diswm.trainers.run", "import importlib\nimportlib.import_module('diswm.methods')", "they receive built objects"),
        ("diswm.trainers.run", "from diswm import load", "but __version__"),
        ("diswm.report.page", "def f():\n    import torch.nn", "report must never import torch"),
        ("diswm.config", "from diswm.methods import METHODS", "imports flow downwards"),
        ("diswm.methods", "import diswm.cli", "imports flow downwards"),
        ("diswm.doctor", "from diswm.envs import render", "inside functions only"),
        ("diswm.doctor", "import numpy", "only the standard library"),
        ("diswm.__init__", "from diswm.cli import main", "inside functions only"),
        ("diswm.__init__", "import numpy", "no side effect"),
        ("diswm.surprise", "", "has no line in MAY_IMPORT"),
    ],
)
def test_the_checker_names_the_file_and_the_rule(module: str, source: str, words: str) -> None:
    names = ["diswm.__init__", "diswm.envs.__init__", "diswm.envs.render", "diswm.objectives.__init__", "diswm.agents.learner"]
    (problem,) = broken_arrows({**dict.fromkeys(names, ""), "diswm.agents.dreamer": AGENT, module: source})
    assert problem.startswith(module)
    assert words in problem


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("diswm.__init__", "def load(folder):\n    from diswm import cli\n    import numpy"),
        ("diswm.trainers.run", "from diswm import __version__\nfrom diswm.data.replay import Replay\nimport torch"),
        ("diswm.envs.dmc", "import mujoco\nfrom .render import probe"),
        ("diswm.verbs", "import tyro\nfrom diswm import methods, report"),
        ("diswm.doctor", "import os\ndef f():\n    import torch\n    from diswm.envs import render"),
        ("diswm.agents.__init__", "from diswm.agents.dreamer import Dreamer"),
        ("diswm.agents.sac", "from diswm.agents.learner import Optimiser"),
    ],
)
def test_the_checker_lets_good_imports_pass(module: str, source: str) -> None:
    names = ["diswm.__init__", "diswm.methods", "diswm.cli", "diswm.envs.render", "diswm.report.__init__", "diswm.agents.learner"]
    assert broken_arrows({**dict.fromkeys(names, ""), "diswm.agents.dreamer": AGENT, module: source}) == []


def test_the_checker_sees_circles() -> None:
    circle = {
        "diswm.__init__": "def load():\n    from diswm.envs import a",
        "diswm.envs.__init__": "",
        "diswm.envs.a": "from diswm import __version__\nfrom . import b",
        "diswm.envs.b": "import diswm.envs.c",
        "diswm.envs.c": "def later():\n    from diswm.envs.a import thing",
        "diswm.envs.d": "from diswm.envs.c import later",
    }
    assert cycles(circle) == [["diswm.envs.a", "diswm.envs.b", "diswm.envs.c"]]
    assert cycles({**circle, "diswm.envs.c": ""}) == []


def test_the_checker_sees_length_and_argv() -> None:
    long_function = "def f():\n" + "    pass\n" * MAX_FUNCTION_LINES
    assert "f has 71 lines" in too_long({"diswm.data.x": long_function})[0]
    assert "diswm.data.x has 401 lines" in too_long({"diswm.data.x": "pass\n" * (MAX_FILE_LINES + 1)})[0]
    assert too_long({"diswm.data.x": "pass\n" * MAX_FILE_LINES}) == []
    assert readers_of_argv({"diswm.trainers.x": "import sys\nsys.argv"}) == ["diswm.trainers.x:2 reads sys.argv, but only cli does"]
    assert readers_of_argv({"diswm.cli": "import sys\nsys.argv"}) == []
