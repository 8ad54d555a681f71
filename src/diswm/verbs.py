"""What each verb of the command line does: read its words, build, call, say what came of it."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diswm.arguments import (
    BenchArgs,
    DataConvertArgs,
    DataInfoArgs,
    DataPreviewArgs,
    DemoArgs,
    DoctorArgs,
    EvaluateArgs,
    ExploreArgs,
    ExportArgs,
    FactorsArgs,
    GalleryArgs,
    ImportArgs,
    MetricsArgs,
    OnnxArgs,
    PushArgs,
    ReportArgs,
    TraverseArgs,
)
from diswm.contract import plain, unknown
from diswm.imports import uncollected
from diswm.parsing import parse, take_all

VERBS = {
    "doctor": "what works on this machine, and the command that mends what does not",
    "collect": "collect distracting videos of a task",
    "data": "look into videos of any kind, convert them, draw a preview: data info, data convert, data preview",
    "pretrain": "pretrain the disentangled video model on videos: the teacher",
    "train": "train an agent online, with what the teacher knows",
    "evaluate": "evaluate a trained agent on seen and unseen colours",
    "factors": "draw frames with independent, labelled factors of a task",
    "metrics": "score the code of a run against true factors",
    "traverse": "decode what each dimension of a run's code changes",
    "report": "write the page of a run, or of several held against each other: pictures and numbers",
    "export": "write a run as ONNX, safetensors and a model card",
    "push": "export a run to a model hub",
    "explore": "write and open a page to play with: a slider for each dimension of the code",
    "gallery": "every world under every distraction, and by every renderer, as one page of pictures",
    "bench": "how fast this machine trains, how near that is to its limit, and what holds it back",
    "import-checkpoint": "turn the weights of the authors' release into a run",
    "export-checkpoint": "write a run's weights as the authors' release has them",
    "demo": "the whole job, small: six minutes on two fast cores, half an hour on slow ones",
}
"""Every verb, and what `diswm --help` says of it."""
INTERRUPTED = 130
"""The exit code of a verb that was broken off."""


def run(verb: str, args: list[str]) -> int:
    """Do what the words after a verb ask for. Returns the exit code."""
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    handlers: dict[str, Callable[[list[str]], int]] = {
        "doctor": _doctor, "collect": _collect, "pretrain": _pretrain, "train": _train,
        "evaluate": _evaluate, "traverse": _traverse, "report": _report, "demo": _demo, "data": _data,
        "factors": _factors, "metrics": _metrics, "export": _export, "push": _push, "explore": _explore, "gallery": _gallery,
        "bench": _bench,
        "import-checkpoint": _import_checkpoint, "export-checkpoint": _export_checkpoint,
    }  # fmt: skip
    return handlers[verb](args)


# ---- verbs with a config of many settings


def _collect(args: list[str]) -> int:
    with uncollected():
        from diswm import api
    from diswm.config import CollectRun
    from diswm.cores import usable_cores
    from diswm.settings import configure
    from diswm.trainers.collect import CollectConfig, workers_for

    cores = usable_cores()
    defaults = CollectRun(collect=CollectConfig(workers=workers_for(sys.maxsize, cores)))  # not of the config: see `workers_for`
    config, explicit = configure("collect", VERBS["collect"], defaults, args, None)
    if "out" not in explicit:
        config = dataclasses.replace(config, out=Path(f"videos/{_slug(config.env.task)}"))
    if "collect.workers" not in explicit:
        config = dataclasses.replace(config, collect=dataclasses.replace(config.collect, workers=workers_for(config.collect.frames, cores)))
    return _code(api.collect(config))


def _pretrain(args: list[str]) -> int:
    with uncollected():
        from diswm import api
    from diswm.ablations import slug
    from diswm.config import PretrainRun
    from diswm.methods import for_pretraining
    from diswm.settings import configure

    config, explicit = configure("pretrain", VERBS["pretrain"], PretrainRun(), args, for_pretraining)
    if "out" not in explicit:
        config = dataclasses.replace(config, out=Path(f"runs/teacher_{config.method}{slug(config)}_{config.seed}"))
    return _code(api.pretrain(config))


def _train(args: list[str]) -> int:
    with uncollected():
        from diswm import api
    from diswm.ablations import slug
    from diswm.config import TrainRun
    from diswm.methods import for_training
    from diswm.settings import configure

    config, explicit = configure("train", VERBS["train"], TrainRun(), args, for_training)
    if "out" not in explicit:
        config = dataclasses.replace(config, out=Path(f"runs/{_slug(config.env.task)}_{config.method}{slug(config)}_{config.seed}"))
    done = api.train(config)
    if done and config.env.phases and (config.out / "evaluation.json").exists():
        _say_switches(config.out)
    return _code(done)


def _say_switches(run: Path, evaluation: Path | None = None) -> None:
    """What the switches of a run's distractions cost, and what was forgotten."""
    from diswm.report import switch_lines

    for line in switch_lines(run, evaluation):
        print(line)


def _slug(task: str) -> str:
    """A task as the name of a folder: gym/CartPole-v1 -> gym_CartPole-v1."""
    return re.sub(r"[^\w.-]", "_", task)


def _code(done: bool) -> int:
    return 0 if done else INTERRUPTED


# ---- small verbs


def _evaluate(args: list[str]) -> int:
    words, args = take_all(args, "--rows")
    parsed = parse(EvaluateArgs, "evaluate", [*args, *(["--rows", *words] if words else [])])
    with uncollected():
        from diswm import api

    settings = {name: value for name, value in dataclasses.asdict(parsed).items() if name != "run"}
    path = api.evaluate(parsed.run, **settings)
    if parsed.matrix:
        from diswm.report import matrix_text, write_matrix

        written = write_matrix(path)
        print(matrix_text(path), *written, sep="\n")
    elif len(json.loads(path.read_text()).get("phases", [])) > 1:
        _say_switches(parsed.run, path)
    print(path)
    return 0


def _factors(args: list[str]) -> int:
    texts, args = take_all(args, "--distract")
    parsed = parse(FactorsArgs, "factors", [*args, *(["--distract", *texts] if texts else [])])
    from diswm.envs import EnvConfig

    with uncollected():
        from diswm.factorsets import draw_factors, usual

    env = EnvConfig(task=parsed.task, renderer=parsed.renderer)
    out = parsed.out or Path("factors") / _slug(env.task)
    print(draw_factors(env, n=parsed.n, out=out, seed=parsed.seed, distract=parsed.distract or usual(env.task)))
    return 0


def _metrics(args: list[str]) -> int:
    parsed = parse(MetricsArgs, "metrics", args)
    with uncollected():
        from diswm.report import write_scores
        from diswm.scoring import score

    settings = {name: value for name, value in dataclasses.asdict(parsed).items() if name != "run"}
    path = score(parsed.run, **settings)
    print(write_scores(path))
    print(path)
    return 0


def _traverse(args: list[str]) -> int:
    parsed = parse(TraverseArgs, "traverse", args)
    with uncollected():
        from diswm import api

    print(api.traverse(parsed.run, videos=parsed.videos, device=parsed.device))
    return 0


def _report(args: list[str]) -> int:
    parsed = parse(ReportArgs, "report", ["--runs", *args[1:]] if args[:1] == ["--run"] else args)  # its name while it took one
    from diswm.report import write_report

    print(write_report(parsed.runs, out=parsed.out, title=parsed.title, baseline=parsed.baseline))
    return 0


def _export(args: list[str]) -> int:
    parsed = parse(OnnxArgs, "export", args)
    with uncollected():
        from diswm import portable

    print(portable.export(parsed.run, out=parsed.out or parsed.run / "onnx"))
    return 0


def _push(args: list[str]) -> int:
    parsed = parse(PushArgs, "push", args)
    with uncollected():
        from diswm import portable

    print(portable.push(parsed.run, parsed.repo_id, private=parsed.private))
    return 0


def _explore(args: list[str]) -> int:
    parsed = parse(ExploreArgs, "explore", args)
    with uncollected():
        from diswm import explorer

    print(explorer.explore(parsed.run, parsed.other, out=parsed.out, videos=parsed.videos, show=parsed.show))
    return 0


def _gallery(args: list[str]) -> int:
    parsed = parse(GalleryArgs, "gallery", args)
    from diswm.pictures.writing import paint

    path, worlds = paint(parsed.tasks, out=parsed.out, seed=parsed.seed, frames=parsed.frames)
    refused = {world.task: f"{world.task} is not in it: {' '.join(world.refused.split())}" for world in worlds if world.refused}
    wanted = [text for task, text in refused.items() if task in parsed.tasks]
    for text in refused.values():
        print(f"diswm: {'error: ' if text in wanted else ''}{plain(text)}", file=sys.stderr)
    print(path)
    return 1 if wanted else 0


def _import_checkpoint(args: list[str]) -> int:
    parsed = parse(ImportArgs, "import-checkpoint", args)
    with uncollected():
        from diswm import api

    out = parsed.out or Path("runs") / (parsed.folder.resolve().name or "imported")
    print(api.import_checkpoint(parsed.folder, out=out, task=parsed.task))
    return 0


def _export_checkpoint(args: list[str]) -> int:
    parsed = parse(ExportArgs, "export-checkpoint", args)
    with uncollected():
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
        info = datasets.data_info(**settings)
        print(datasets.text(info))
        if words := datasets.problem(info):
            print(f"diswm: {words}", file=sys.stderr)
            return 1
    else:
        print(datasets.data_convert(**settings) if verb == "convert" else datasets.data_preview(**settings))
    return 0


def _demo(args: list[str]) -> int:
    parsed = parse(DemoArgs, "demo", args)
    with uncollected():
        from diswm.demo import demo

    return _code(demo(parsed.out, seed=parsed.seed, tiny=parsed.tiny))


def _bench(args: list[str]) -> int:
    parsed = parse(BenchArgs, "bench", args)
    with uncollected():
        from diswm.bench import bench, lines
    from diswm.config import TrainRun
    from diswm.methods import for_training
    from diswm.presets import apply_preset
    from diswm.runtime import prepare

    device = prepare(parsed.device, parsed.threads)
    config = apply_preset(for_training(TrainRun(), parsed.method), parsed.preset, "train")
    found = bench(config, device)
    print(json.dumps(found) if parsed.json else "\n".join(lines(found, config)))
    return 0


def _doctor(args: list[str]) -> int:
    parsed = parse(DoctorArgs, "doctor", args)
    from diswm.config import TrainRun, merge
    from diswm.doctor import diagnose, healthy, render
    from diswm.presets import preset

    config = merge(TrainRun(), preset(parsed.preset, "train"))
    checks = diagnose(replay_rows=config.train.replay_rows, folder=parsed.out)
    print(render(checks))
    return 0 if healthy(checks) else 1
