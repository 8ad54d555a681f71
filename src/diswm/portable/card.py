"""The model card of an exported run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from diswm.model.world import WorldModel
from diswm.portable.graphs import OPSET
from diswm.report import words

PAPER = "https://arxiv.org/abs/2503.08751"
_WHAT = {
    "encoder": "`image` to the code of the frame: `mean` and, with a Gaussian encoder, `logvar`",
    "decoder": "`feature` to `picture`, what the model makes of it",
    "step": "one frame more: `image`, `action` that led to it, `stoch`, `deter`, `is_first` to `next_stoch`, `next_deter`, `feature`",
    "actor": "`feature` to `next_action`, the mean action in [-1, 1], or a choice as a one-hot vector",
    "policy": "the whole step: `image`, `action`, `stoch`, `deter`, `is_first` to `next_action`, `next_stoch`, `next_deter`",
}
_ACT = """\
import numpy as np, onnxruntime as ort

policy = ort.InferenceSession("policy.onnx")
state = {{"action": np.zeros((1, {actions}), "f4"), "stoch": np.zeros((1, {stoch}), "f4"), "deter": np.zeros((1, {deter}), "f4")}}
image, done, first = env.reset()[0], False, True  # uint8 (64, 64, 3); each action is held for {repeat} simulator frame(s)
while not done:
    found = policy.run(["next_action", "next_stoch", "next_deter"], {{"image": image[None], "is_first": np.array([first]), **state}})
    state, first = dict(zip(state, found)), False
    image, reward, terminated, truncated, _ = env.step(state["action"][0])
    done = terminated or truncated"""
_LOOK = """\
import numpy as np, onnxruntime as ort

encoder, step, decoder = (ort.InferenceSession(f"{{name}}.onnx") for name in ("encoder", "step", "decoder"))
mean = encoder.run(["mean"], {{"image": images}})[0]  # images uint8 (N, 64, 64, 3) -> (N, {code})
stoch, deter, first = np.zeros((1, {stoch}), "f4"), np.zeros((1, {deter}), "f4"), True
for image in images:
    feed = {{"image": image[None], "stoch": stoch, "deter": deter, "is_first": np.array([first])}}
    stoch, deter, feature = step.run(["next_stoch", "next_deter", "feature"], feed)
    picture, first = decoder.run(["picture"], {{"feature": feature}})[0][0], False  # uint8 (64, 64, 3)"""


def card(summary: dict[str, Any], head: dict[str, Any], world: WorldModel, parts: list[str]) -> str:
    """Markdown with the facts of ``report.summary.summarise``, the use and the settings of a run."""
    agent = "policy" in parts
    front = ["library_name: diswm", f"tags: [{'reinforcement-learning, ' if agent else ''}world-model, disentanglement, onnx]"]
    title = summary["task"] if agent else f"Video model of {summary['source']}"
    what = (
        f"An agent that acts from pixels, trained with [DisWM]({PAPER}) (`{summary['method']}`)."
        if agent
        else f"An action-free video model, pretrained with [DisWM]({PAPER}) (`{summary['method']}`). It can teach an agent of another task."
    )
    files = [("model.safetensors", "all weights"), ("config.json", "all settings")]
    rows = [*((f"{name}.onnx", _WHAT[name]) for name in parts), *files]
    other = "act with all of PyTorch: `diswm.load(FOLDER)`" if agent else "teach an agent: `diswm train --teacher FOLDER`"
    sections = [
        ("", f"# {title}\n\n{what}\n\n{_table(('', ''), _facts(summary, head, world, agent))}"),
        ("Returns", _returns(summary) if agent else ""),
        ("Use", f"```python\n{_use(head, world, agent)}\n```\n\nOr {other}."),
        ("Files", f"{_table(('file', 'what'), rows)}\n\nONNX opset {OPSET}, float32, any number N of rows; images are uint8."),
        ("Settings", f"```json\n{json.dumps(head['config'], indent=1)}\n```"),
    ]
    body = "\n\n".join(f"## {name}\n\n{text}" if name else text for name, text in sections if text)
    return "---\n" + "\n".join(front) + f"\n---\n\n{body}\n"


def _facts(summary: dict[str, Any], head: dict[str, Any], world: WorldModel, agent: bool) -> list[tuple[str, str]]:
    count = sum(param.numel() for param in world.parameters())
    distract = head["config"].get("env", {}).get("distract", {}).get("colours", words.MISSING)
    trained = f"{words.count(summary['frames'])} frames, " if agent else ""
    more = [("colours of training", distract), ("actions", str(world.act_dim))] if agent else []
    return [
        ("method", summary["method"]),
        ("videos", summary["source"]),
        ("trained for", f"{trained}{words.count(summary['updates'])} updates, {words.duration(summary['seconds'])}"),
        *more,
        ("code", f"{world.encoder.size} numbers a frame"),
        ("world model", f"{words.count(count)} parameters"),
        ("made with", f"diswm {head.get('version', '?')}"),
    ]


def _returns(summary: dict[str, Any]) -> str:
    names = {"trained_seen": "colours of training", "trained_unseen": "colours never trained on", "random": "random actions"}
    if "no_unseen" in summary:
        del names["trained_unseen"]
    rows = []
    for name, label in names.items():
        got = summary["returns"][name]
        rows.append((label, words.number(got["mean"]), words.interval(got["low"], got["high"]), words.count(got["episodes"])))
    return _table(("policy", "mean return", "95% interval", "episodes"), rows)


def _use(head: dict[str, Any], world: WorldModel, agent: bool) -> str:
    repeat = head["config"].get("env", {}).get("action_repeat", 1)
    sizes = {"stoch": world.rssm.stoch, "deter": world.rssm.deter, "code": world.encoder.size}
    return (_ACT if agent else _LOOK).format(actions=world.act_dim, repeat=repeat, **sizes)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows))
