"""The command line: parse, build, call."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import itertools
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diswm.arguments import (
    DemoArgs,
    DoctorArgs,
    EvaluateArgs,
    ExploreArgs,
    ExportArgs,
    ImportArgs,
    OnnxArgs,
    PushArgs,
    ReportArgs,
    TraverseArgs,
)  # fmt: skip
from diswm.contract import DiswmError, did_you_mean, unknown

VERBS = {
    "doctor": "what works on this machine, and the command that mends what does not",
    "collect": "collect distracting videos of a task",
    "pretrain": "pretrain the disentangled video model on videos: the teacher",
    "train": "train an agent online, with what the teacher knows",
    "evaluate": "evaluate a trained agent on seen and unseen colours",
    "traverse": "decode what each dimension of a run's code changes",
    "report": "write a run's page: pictures and numbers",
    "export": "write a run as ONNX, safetensors and a model card",
    "push": "export a run to a model hub",
    "explore": "write and open a page to play with: a slider for each dimension of the code",
    "import-checkpoint": "turn the weights of the authors' release into a run",
    "export-checkpoint": "write a run's weights as the authors' release has them",
    "demo": "the whole job on two CPU cores, in about ten minutes",
}


INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb. Returns the exit code: 0, 1 where `doctor` found something broken, 2 for what the user can mend, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if args[0] in ("-V", "--version"):
        from diswm import __version__

        print(f"diswm {__version__}")
        return 0
    try:
        return _dispatch(args[0], args[1:])
    except DiswmError as error:
        print(f"diswm: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `diswm ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        print(f"diswm: error: {error.filename or 'a file'}: {error.strerror}. Nothing that was there before is lost.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("diswm: broken off; what was saved before is whole, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


def _overview() -> str:
    rows = "\n".join(f"  {verb:<17} {about}" for verb, about in VERBS.items())
    about = "Learn what can vary from distracting videos, and act."
    return f"usage: diswm VERB [options]\n\n{about}\n\n{rows}\n\n`diswm VERB --help` shows every option."


def _dispatch(verb: str, args: list[str]) -> int:
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    handlers: dict[str, Callable[[list[str]], int]] = {
        "doctor": _doctor, "collect": _collect, "pretrain": _pretrain, "train": _train,
        "evaluate": _evaluate, "traverse": _traverse, "report": _report, "demo": _demo,
        "export": _export, "push": _push, "explore": _explore,
        "import-checkpoint": _import_checkpoint, "export-checkpoint": _export_checkpoint,
    }  # fmt: skip
    return handlers[verb](args)


# ---- verbs with a config of many settings


def _collect(args: list[str]) -> int:
    from diswm import api
    from diswm.config import CollectRun

    config, explicit = _configure("collect", CollectRun(), args, None)
    if "out" not in explicit:
        config = dataclasses.replace(config, out=Path(f"videos/{config.env.task}"))
    return _code(api.collect(config))


def _pretrain(args: list[str]) -> int:
    from diswm import api
    from diswm.ablations import slug
    from diswm.config import PretrainRun
    from diswm.methods import for_pretraining

    config, explicit = _configure("pretrain", PretrainRun(), args, for_pretraining)
    if "out" not in explicit:
        config = dataclasses.replace(config, out=Path(f"runs/teacher_{config.method}{slug(config)}_{config.seed}"))
    return _code(api.pretrain(config))


def _train(args: list[str]) -> int:
    from diswm import api
    from diswm.ablations import slug
    from diswm.config import TrainRun
    from diswm.methods import for_training

    config, explicit = _configure("train", TrainRun(), args, for_training)
    if "out" not in explicit:
        config = dataclasses.replace(config, out=Path(f"runs/{config.env.task}_{config.method}{slug(config)}_{config.seed}"))
    return _code(api.train(config))


def _code(done: bool) -> int:
    return 0 if done else INTERRUPTED


def _configure(verb: str, config: Any, args: list[str], apply_method: Callable[[Any, str], Any] | None) -> tuple[Any, set[str]]:
    """Defaults, then the method, the preset, a file, the ablations, then flags: each overrides what came before.

    Also returns the names that the file or flags set.
    """
    from diswm import envs
    from diswm.ablations import ablate
    from diswm.config import flat, merge, read_yaml
    from diswm.presets import DEFAULT, PRESETS, apply_preset

    args = ["--env.task" + arg.removeprefix("--task") if arg.split("=")[0] == "--task" else arg for arg in args]
    chosen, args = _take(args, "--preset")
    file, args = _take(args, "--config")
    settings = read_yaml(Path(file)) if file else {}
    changes: list[str] = []
    if apply_method:
        changes, args = _take_all(args, "--ablate")
        changes = [*_listed(settings.pop("ablate", [])), *changes]
        flag, args = _take(args, "--method")
        name, args = (args[0], args[1:]) if args and not args[0].startswith("-") else (None, args)
        if flag and name and flag != name:
            raise DiswmError(f"Two methods are named: {name} and --method {flag}. Name one.")
        config = apply_method(config, str(name or flag or settings.pop("method", config.method)))
        settings.pop("method", None)
    texts: dict[str, list[str]] = {}
    for name in ("distract", "phases") if hasattr(config, "env") else ():
        flags, args = _take_all(args, f"--{name}")
        from_file = _listed(settings.pop(name, []))
        texts[name] = flags or from_file
    config = merge(apply_preset(config, chosen or DEFAULT, verb), settings)
    if texts.get("distract"):
        config = dataclasses.replace(config, env=envs.with_distractions(config.env, texts["distract"]))
    config = merge(config, {"env.phases": texts["phases"]}) if texts.get("phases") else config
    config = ablate(config, changes) if changes else config
    _check_flags(args, list(flat(config)))
    head = " [METHOD]" if apply_method else ""
    head += " [--ablate NAME[=VALUE]]" if apply_method else ""
    task = " [--task TASK] [--distract KIND:VALUE[,OPTION...]]... [--phases PHASES]" if hasattr(config, "env") else ""
    text = (
        f"{VERBS[verb]}.\n\nusage: diswm {verb}{head} [--preset {'|'.join(PRESETS)}] [--config FILE.yaml]{task} [settings]\n\n"
        f"Shown below are the values of preset {chosen or DEFAULT}."
    )
    parsed = _tyro(type(config), verb, args, default=config, description=text)
    explicit = {arg[2:].split("=")[0].replace("-", "_") for arg in args if arg.startswith("--")} | set(settings)
    return parsed, explicit


def _take(args: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag, and the arguments without it."""
    for index, arg in enumerate(args):
        if arg.startswith(flag + "="):
            return arg.split("=", 1)[1], args[:index] + args[index + 1 :]
        if arg == flag:
            if index + 1 == len(args) or args[index + 1].startswith("--"):
                raise DiswmError(f"{flag} needs a value.")
            return args[index + 1], args[:index] + args[index + 2 :]
    return None, args


def _take_all(args: list[str], flag: str) -> tuple[list[str], list[str]]:
    """The values of a flag that may be repeated, and the arguments without it."""
    values: list[str] = []
    while True:
        value, args = _take(args, flag)
        if value is None:
            return values, args
        values.append(value)


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _check_flags(args: list[str], known: list[str]) -> None:
    """A DiswmError with the nearest names for a flag that there is not."""
    flags = [f"--{name.replace('_', '-')}" for name in known]
    for arg in args:
        name = arg.split("=")[0].replace("_", "-")
        if name.startswith("--") and name not in (*flags, "--help") and name.replace(".no-", ".").replace("--no-", "--") not in flags:
            raise unknown("setting", name, [*flags, "--task", "--preset", "--config", "--distract", "--phases"])


# ---- small verbs


def _tyro(kind: type[Any], verb: str, args: list[str], **more: Any) -> Any:
    """Tyro's parser, its complaint in one line. DiswmError for a value that does not fit."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=args, prog=f"diswm {verb}", **more)
    except SystemExit as end:
        if not end.code:
            raise
        lines = [line.strip("│ ") for line in said.getvalue().splitlines() if line.startswith("│")]
        words = " ".join(itertools.takewhile(lambda line: not line.startswith("─"), lines)) or " ".join(said.getvalue().split())
        raise DiswmError(f"{words.rstrip('.')}.{_nearest(words)} `diswm {verb} --help` shows every option.") from None


def _nearest(words: str) -> str:
    """The choices that are nearest to the one that tyro complains of, where it does."""
    found = re.search(r"invalid choice '([^']*)' for argument .* Expected one of (\(.*\))", words)
    return did_you_mean(found[1], re.findall(r"'([^']*)'", found[2])) if found else ""


def _parse(kind: type[Any], verb: str, args: list[str]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    positional = [name for name, hint in hints.items() if "positional" in typing.get_args(hint)]
    flags = [name for name in hints if name not in positional]
    args = args[1:] if positional and args and args[0] == f"--{positional[0]}" else args  # both `diswm report X` and `--run X`
    _check_flags(args, flags)
    if positional and not any(arg in ("-h", "--help") for arg in args) and (not args or args[0].startswith("-")):
        what, example = ("a run", "runs/demo/agent") if positional[0] == "run" else ("released weights", "checkpoints/1000000")
        raise DiswmError(f"`diswm {verb}` needs the folder of {what}: diswm {verb} {example}")
    named: list[str] = []
    while len(named) < 2 * len(positional) and args and not args[0].startswith("-"):
        named += [f"--{positional[len(named) // 2].replace('_', '-')}", args[0]]
        args = args[1:]
    return _tyro(kind, verb, [*named, *args])


def _evaluate(args: list[str]) -> int:
    parsed = _parse(EvaluateArgs, "evaluate", args)
    from diswm import api

    print(api.evaluate(parsed.run, episodes=parsed.episodes, device=parsed.device, out=parsed.out))
    return 0


def _traverse(args: list[str]) -> int:
    parsed = _parse(TraverseArgs, "traverse", args)
    from diswm import api

    print(api.traverse(parsed.run, videos=parsed.videos, device=parsed.device))
    return 0


def _report(args: list[str]) -> int:
    parsed = _parse(ReportArgs, "report", args)
    from diswm.report import write_report

    print(write_report(parsed.run, out=parsed.out))
    return 0


def _export(args: list[str]) -> int:
    parsed = _parse(OnnxArgs, "export", args)
    from diswm import portable

    print(portable.export(parsed.run, out=parsed.out or parsed.run / "onnx"))
    return 0


def _push(args: list[str]) -> int:
    parsed = _parse(PushArgs, "push", args)
    from diswm import portable

    print(portable.push(parsed.run, parsed.repo_id, private=parsed.private))
    return 0


def _explore(args: list[str]) -> int:
    parsed = _parse(ExploreArgs, "explore", args)
    from diswm import explorer

    print(explorer.explore(parsed.run, parsed.other, out=parsed.out, videos=parsed.videos, show=parsed.show))
    return 0


def _import_checkpoint(args: list[str]) -> int:
    parsed = _parse(ImportArgs, "import-checkpoint", args)
    from diswm import api

    out = parsed.out or Path("runs") / (parsed.folder.resolve().name or "imported")
    print(api.import_checkpoint(parsed.folder, out=out, task=parsed.task))
    return 0


def _export_checkpoint(args: list[str]) -> int:
    parsed = _parse(ExportArgs, "export-checkpoint", args)
    from diswm import api

    print(api.export_checkpoint(parsed.run, out=parsed.out or parsed.run / "export"))
    return 0


def _demo(args: list[str]) -> int:
    parsed = _parse(DemoArgs, "demo", args)
    from diswm.demo import demo

    return _code(demo(parsed.out, seed=parsed.seed, tiny=parsed.tiny))


def _doctor(args: list[str]) -> int:
    parsed = _parse(DoctorArgs, "doctor", args)
    from diswm.config import TrainRun, merge
    from diswm.doctor import diagnose, healthy, render
    from diswm.presets import preset

    config = merge(TrainRun(), preset(parsed.preset, "train"))
    checks = diagnose(replay_rows=config.train.replay_rows, folder=parsed.out)
    print(render(checks))
    return 0 if healthy(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
