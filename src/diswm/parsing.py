"""Reading flags: those that come before the settings, several values of one, and the nearest name for one that there is not."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import typing
from typing import Any

from diswm.contract import DiswmError, did_you_mean, unknown


def take(args: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag, and the arguments without it."""
    for index, arg in enumerate(args):
        if arg.startswith(flag + "="):
            return arg.split("=", 1)[1], args[:index] + args[index + 1 :]
        if arg == flag:
            if index + 1 == len(args) or args[index + 1].startswith("--"):
                raise DiswmError(f"{flag} needs a value.")
            return args[index + 1], args[:index] + args[index + 2 :]
    return None, args


def take_all(args: list[str], flag: str) -> tuple[list[str], list[str]]:
    """The values of a flag that takes several and may be repeated, and the arguments without it."""
    values: list[str] = []
    while flag in [arg.split("=")[0] for arg in args]:
        start = [arg.split("=")[0] for arg in args].index(flag)
        value, args = take(args, flag)
        end = start
        while end < len(args) and not args[end].startswith("--"):
            end += 1
        values += [str(value), *args[start:end]]
        args = args[:start] + args[end:]
    return values, args


def listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def check_flags(args: list[str], known: list[str]) -> None:
    """A DiswmError with the nearest names for a flag that there is not."""
    flags = [f"--{name.replace('_', '-')}" for name in known]
    for arg in args:
        name = arg.split("=")[0].replace("_", "-")
        if name.startswith("--") and name not in (*flags, "--help") and name.replace(".no-", ".").replace("--no-", "--") not in flags:
            short = ("--task", "--preset", "--config", "--distract", "--phases")  # of the verbs that have settings
            raise unknown("setting", name, [*flags, *(flag for flag in short if flag != name)])


def call_tyro(kind: type[Any], verb: str, args: list[str], **more: Any) -> Any:
    """Tyro's parser, its complaint in one line. DiswmError for a value that does not fit."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=args, prog=f"diswm {verb}", **more)
    except SystemExit as end:
        if not end.code:
            raise
        words = _complaint(said.getvalue())
        raise DiswmError(f"{words.rstrip('.')}.{_nearest(words)} `diswm {verb} --help` shows every option.") from None


def _complaint(said: str) -> str:
    """What tyro says above the first rule in its box; where the output cannot show boxes, below its title and a rule of dashes."""
    boxed = [line.strip("│ ") for line in said.splitlines() if line.startswith("│")]
    lines = boxed or [line.strip() for line in said.splitlines()][2:]
    words = " ".join(itertools.takewhile(lambda line: not line.startswith(("─", "---")), lines)) or " ".join(said.split())
    words = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no whole number", words)
    return re.sub(r"could not convert string to float: (.*)", r"\1 is no number", words)


def _nearest(words: str) -> str:
    """The choices that are nearest to the one that tyro complains of, where it does."""
    found = re.search(r"invalid choice '([^']*)' for argument .* Expected one of (\(.*\))", words)
    return did_you_mean(found[1], re.findall(r"'([^']*)'", found[2])) if found else ""


_EXAMPLES = {
    "task": ("a task", "walker_walk"),
    "run": ("the folder of a run", "runs/demo/agent"),
    "runs": ("folders of runs first", "runs/walker runs/walker_dv2 --out both.html"),
    "folder": ("the folder of released weights", "checkpoints/1000000"),
    "path": ("a file or folder of videos", "films/"),
    "sources": ("files or folders of videos first", "films/ more.hdf5 --out videos/films"),
}
"""By the name of what a small verb is about: what it is, and an example."""


def parse(kind: type[Any], verb: str, args: list[str]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    positional = [name for name, hint in hints.items() if "positional" in typing.get_args(hint)]
    flags = [name for name in hints if name not in positional[:1]]  # a second one may be named, as --help says
    args = args[1:] if positional and args and args[0] == f"--{positional[0]}" else args  # both `diswm report X` and `--run X`
    check_flags(args, flags)
    if positional and not any(arg in ("-h", "--help") for arg in args) and (not args or args[0].startswith("-")):
        example = _EXAMPLES[positional[0]]
        raise DiswmError(f"`diswm {verb}` needs {example[0]}: diswm {verb} {example[1]}")
    named: list[str] = []
    while len(named) < 2 * len(positional) and args and not args[0].startswith("-"):
        named += [f"--{positional[len(named) // 2].replace('_', '-')}", args[0]]
        args = args[1:]
    return call_tyro(kind, verb, [*named, *args])
