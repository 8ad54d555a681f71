"""The command line: parse, build, call."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diswm.arguments import (
    DataConvertArgs,
    DataInfoArgs,
    DataPreviewArgs,
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
)
from diswm.contract import DiswmError, unknown
from diswm.parsing import call_tyro, check_flags, listed, parse, take, take_all

VERBS = {
    "doctor": "what works on this machine, and the command that mends what does not",
    "collect": "collect distracting videos of a task",
    "data": "look into videos of any kind, convert them, draw a preview: data info, data convert, data preview",
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
        "evaluate": _evaluate, "traverse": _traverse, "report": _report, "demo": _demo, "data": _data,
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
        config = dataclasses.replace(config, out=Path(f"videos/{_slug(config.env.task)}"))
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
        config = dataclasses.replace(config, out=Path(f"runs/{_slug(config.env.task)}_{config.method}{slug(config)}_{config.seed}"))
    return _code(api.train(config))


def _slug(task: str) -> str:
    """A task as the name of a folder: gym/CartPole-v1 -> gym_CartPole-v1."""
    return re.sub(r"[^\w.-]", "_", task)


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
    chosen, args = take(args, "--preset")
    file, args = take(args, "--config")
    settings = read_yaml(Path(file)) if file else {}
    changes: list[str] = []
    if apply_method:
        changes, args = take_all(args, "--ablate")
        changes = [*listed(settings.pop("ablate", [])), *changes]
        flag, args = take(args, "--method")
        name, args = (args[0], args[1:]) if args and not args[0].startswith("-") else (None, args)
        if flag and name and flag != name:
            raise DiswmError(f"Two methods are named: {name} and --method {flag}. Name one.")
        config = apply_method(config, str(name or flag or settings.pop("method", config.method)))
        settings.pop("method", None)
    texts: dict[str, list[str]] = {}
    for name in ("distract", "phases") if hasattr(config, "env") else ():
        flags, args = take_all(args, f"--{name}")
        from_file = listed(settings.pop(name, []))
        texts[name] = flags or from_file
    config = apply_preset(config, chosen or DEFAULT, verb)
    config = merge(_for_task(config, verb, settings, args, texts) if texts else config, settings)
    if texts.get("distract"):
        config = dataclasses.replace(config, env=envs.with_distractions(config.env, texts["distract"]))
    config = merge(config, {"env.phases": texts["phases"]}) if texts.get("phases") else config
    config = ablate(config, changes) if changes else config
    check_flags(args, list(flat(config)))
    head = " [METHOD]" if apply_method else ""
    head += " [--ablate NAME[=VALUE]]" if apply_method else ""
    task = " [--task TASK] [--distract KIND:VALUE[,OPTION...]]... [--phases PHASES]" if hasattr(config, "env") else ""
    text = (
        f"{VERBS[verb]}.\n\nusage: diswm {verb}{head} [--preset {'|'.join(PRESETS)}] [--config FILE.yaml]{task} [settings]\n\n"
        f"Shown below are the values of preset {chosen or DEFAULT}."
    )
    parsed = call_tyro(type(config), verb, args, default=config, description=text)
    if texts.get("distract") and parsed.env.settled().distract.colours != parsed.env.distract.colours:
        raise DiswmError(f"{parsed.env.task} is shown as it is: it cannot show the distraction colour. Leave it out.")
    explicit = {arg[2:].split("=")[0].replace("-", "_") for arg in args if arg.startswith("--")} | set(settings)
    return parsed, explicit


def _for_task(config: Any, verb: str, settings: dict[str, Any], args: list[str], texts: dict[str, list[str]]) -> Any:
    """The config with what its task changes, be the task named by a flag, in the file or by the preset."""
    from diswm.config import merge
    from diswm.presets import apply_task

    task, _ = take(args, "--env.task")
    env = merge(merge(config, settings), {"env.task": task} if task else {}).env
    own = any(texts.values()) or env.distractions or any(arg.split("=")[0] == "--env.distractions" for arg in args)
    return apply_task(config, env.task, verb, bool(own))


# ---- small verbs


def _evaluate(args: list[str]) -> int:
    parsed = parse(EvaluateArgs, "evaluate", args)
    from diswm import api

    path = api.evaluate(parsed.run, matrix=parsed.matrix, episodes=parsed.episodes, device=parsed.device, out=parsed.out)
    if parsed.matrix:
        from diswm.report import write_matrix

        print(write_matrix(path))
    print(path)
    return 0


def _traverse(args: list[str]) -> int:
    parsed = parse(TraverseArgs, "traverse", args)
    from diswm import api

    print(api.traverse(parsed.run, videos=parsed.videos, device=parsed.device))
    return 0


def _report(args: list[str]) -> int:
    parsed = parse(ReportArgs, "report", args)
    from diswm.report import write_report

    print(write_report(parsed.run, out=parsed.out))
    return 0


def _export(args: list[str]) -> int:
    parsed = parse(OnnxArgs, "export", args)
    from diswm import portable

    print(portable.export(parsed.run, out=parsed.out or parsed.run / "onnx"))
    return 0


def _push(args: list[str]) -> int:
    parsed = parse(PushArgs, "push", args)
    from diswm import portable

    print(portable.push(parsed.run, parsed.repo_id, private=parsed.private))
    return 0


def _explore(args: list[str]) -> int:
    parsed = parse(ExploreArgs, "explore", args)
    from diswm import explorer

    print(explorer.explore(parsed.run, parsed.other, out=parsed.out, videos=parsed.videos, show=parsed.show))
    return 0


def _import_checkpoint(args: list[str]) -> int:
    parsed = parse(ImportArgs, "import-checkpoint", args)
    from diswm import api

    out = parsed.out or Path("runs") / (parsed.folder.resolve().name or "imported")
    print(api.import_checkpoint(parsed.folder, out=out, task=parsed.task))
    return 0


def _export_checkpoint(args: list[str]) -> int:
    parsed = parse(ExportArgs, "export-checkpoint", args)
    from diswm import api

    print(api.export_checkpoint(parsed.run, out=parsed.out or parsed.run / "export"))
    return 0


def _data(args: list[str]) -> int:
    kinds: dict[str, type[Any]] = {"info": DataInfoArgs, "convert": DataConvertArgs, "preview": DataPreviewArgs}
    verb, args = (args[0] if args else "--help"), args[1:]
    if verb in ("-h", "--help"):
        print("usage: diswm data info|convert|preview ...\n")
        print("\n".join(f"  {name:<8} {(kind.__doc__ or '').splitlines()[0]}" for name, kind in kinds.items()))
        return 0
    if verb not in kinds:
        raise unknown("verb", f"data {verb}", [f"data {name}" for name in kinds])
    settings = dataclasses.asdict(parse(kinds[verb], f"data {verb}", args))
    from diswm import datasets

    if verb == "info":
        print(datasets.text(datasets.data_info(**settings)))
    else:
        print(datasets.data_convert(**settings) if verb == "convert" else datasets.data_preview(**settings))
    return 0


def _demo(args: list[str]) -> int:
    parsed = parse(DemoArgs, "demo", args)
    from diswm.demo import demo

    return _code(demo(parsed.out, seed=parsed.seed, tiny=parsed.tiny))


def _doctor(args: list[str]) -> int:
    parsed = parse(DoctorArgs, "doctor", args)
    from diswm.config import TrainRun, merge
    from diswm.doctor import diagnose, healthy, render
    from diswm.presets import preset

    config = merge(TrainRun(), preset(parsed.preset, "train"))
    checks = diagnose(replay_rows=config.train.replay_rows, folder=parsed.out)
    print(render(checks))
    return 0 if healthy(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
