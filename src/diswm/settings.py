"""The config of a verb with many settings: defaults, method, preset, file, ablations, flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diswm import envs
from diswm.ablations import ablate
from diswm.config import flat, merge, read_yaml
from diswm.contract import DiswmError
from diswm.parsing import call_tyro, check_flags, listed, take, take_all
from diswm.presets import DEFAULT, METHOD, PRESETS, apply_preset, apply_task


def configure(verb: str, about: str, config: Any, args: list[str], apply_method: Callable[[Any, str], Any] | None) -> tuple[Any, set[str]]:
    """Defaults, then the method, the preset, a file, the ablations, then flags: each overrides what came before.

    Also returns the names that the file or flags set.
    """
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
        by_preset = METHOD.get(chosen or DEFAULT, config.method) if verb == "train" else config.method
        config = apply_method(config, str(name or flag or settings.pop("method", by_preset)))
        settings.pop("method", None)
    texts: dict[str, list[str]] = {}
    for name in ("distract", "phases") if hasattr(config, "env") else ():
        flags, args = take_all(args, f"--{name}")
        from_file = listed(settings.pop(name, []))
        texts[name] = flags or from_file
    config = apply_preset(config, chosen or DEFAULT, verb)
    if texts.get("distract") and not texts.get("phases") and config.env.phases:  # the preset's would hide the colours that are named
        config = merge(config, {"env.phases": (), "unseen": "auto"})
    config = merge(_for_task(config, verb, settings, args, texts, chosen or DEFAULT) if texts else config, settings)
    if texts.get("distract"):
        config = dataclasses.replace(config, env=envs.with_distractions(config.env, texts["distract"]))
    config = merge(config, {"env.phases": texts["phases"]}) if texts.get("phases") else config
    config = ablate(config, changes) if changes else config
    check_flags(args, list(flat(config)))
    head = " [METHOD]" if apply_method else ""
    head += " [--ablate NAME[=VALUE]]" if apply_method else ""
    task = " [--task TASK] [--distract KIND:VALUE[,OPTION...]]... [--phases PHASES]" if hasattr(config, "env") else ""
    text = (
        f"{about}.\n\nusage: diswm {verb}{head} [--preset {'|'.join(PRESETS)}] [--config FILE.yaml]{task} [settings]\n\n"
        f"Shown below are the values of preset {chosen or DEFAULT}."
    )
    parsed = call_tyro(type(config), verb, args, default=config, description=text)
    if texts.get("distract") and parsed.env.settled().distract.colours != parsed.env.distract.colours:
        raise DiswmError(f"{parsed.env.task} is shown as it is: it cannot show the distraction colour. Leave it out.")
    explicit = {arg[2:].split("=")[0].replace("-", "_") for arg in args if arg.startswith("--")} | set(settings)
    explicit |= {f"{head}.{name}" for head, part in settings.items() if isinstance(part, dict) for name in part}
    if explicit & {"probe.every", "probe.factors"} and "probe.optional" not in explicit:
        parsed = merge(parsed, {"probe.optional": False})  # who asks for them is told why there are none
    return parsed, explicit


def _for_task(config: Any, verb: str, settings: dict[str, Any], args: list[str], texts: dict[str, list[str]], preset: str) -> Any:
    """The config with what its task changes, be the task named by a flag, in the file or by the preset."""
    task, _ = take(args, "--env.task")
    env = merge(merge(config, settings), {"env.task": task} if task else {}).env
    own = any(texts.values()) or env.distractions or any(arg.split("=")[0] == "--env.distractions" for arg in args)
    return apply_task(config, env.task, verb, bool(own), preset)
