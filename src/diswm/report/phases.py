"""What the phases of a run did to its agent: what each switch cost, how soon it was made good, what was forgotten of each earlier set.

Facts, and the sentences that tell them: the page and the command line say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diswm.metrics.recovery import Recovery, alone_at, recovery
from diswm.metrics.scores import Interval, bootstrap_interval
from diswm.report import words
from diswm.report.reading import Run, read_object, read_run

Evaluation = tuple[float, list[float]]
"""Frames, and the return of each episode."""


class Switch(NamedTuple):
    """From one phase to the next."""

    old: str
    new: str
    start: int
    """Frame at which it begins; it is complete at ``end``, the same one where it is abrupt."""
    end: int
    found: Recovery | None
    """From the last evaluation under the old phase alone and those under the new one alone; None where either is missing."""
    drop: Interval | None
    """Before less after; None where an evaluation had one episode."""
    inside: int
    """Evaluations within a gradual switch."""
    missing: tuple[str, ...]
    """Why there is no evaluation before it or after it, and what would have shown it."""
    last: bool
    """Whether the run had no later one."""


class Memory(NamedTuple):
    """An earlier phase's set: what the agent had there just before the switch, and what it has there now."""

    phase: int
    """From 1 on."""
    name: str
    frames: int | None
    """Of the evaluation before the switch."""
    before: list[float]
    """Returns of the episodes that are in both evaluations; of all where there is but one."""
    now: list[float]
    present: list[float]
    """On the present set, the same episodes."""
    change: Interval | None
    """Now less before; below 0 it has forgotten. None where either is missing or one episode."""
    missing: str


def name_of(entry: dict[str, Any]) -> str:
    """All distractions of an entry of evaluation.json; of older ones the colours, the texture and the kinds of the others."""
    if isinstance(entry.get("on"), list):
        return ", ".join(map(str, entry["on"]))
    said = [f"{before}{entry[word]}" for word, before in (("colours", ""), ("texture", "texture ")) if entry.get(word)]
    others = entry.get("distractions")
    return ", ".join([*said, *(map(str, others) if isinstance(others, list) else ())])


def earlier(run: Run) -> dict[int, str]:
    """The number of each earlier phase that was evaluated at the end, and its key there (older runs have the one before the last)."""
    count = len(_phases(run))
    keys = {number: f"phase {number}" for number in range(1, count)}
    old = {count - 1: "earlier"} if count > 1 and not run.returns(f"phase {count - 1}") else {}
    return {number: key for number, key in sorted((keys | old).items()) if run.returns(key)}


def switches(run: Run) -> list[Switch]:
    """The switches of a run, in order; none for a run whose distractions stayed as they were."""
    course = _Course(run)
    return [course.switch(index) for index in range(1, len(course.phases))]


def memories(run: Run) -> list[Memory]:
    """The sets that a run had before its last switch, in order."""
    course = _Course(run)
    return [course.memory(index) for index in range(len(course.phases) - 1)]


class _Course:
    """The evaluations of a run beside its phases."""

    def __init__(self, run: Run) -> None:
        budget = run.setting("train.frames")
        self.run, self.budget = run, float(budget) if isinstance(budget, int | float) and budget > 0 else 0.0
        self.phases = _phases(run) if self.budget else []
        self.windows = [(float(phase["start"]), float(phase["end"])) for phase in self.phases]
        self.curve = run.evals("seen")

    def name(self, index: int) -> str:
        return name_of(self.phases[index])

    def frame(self, part: float) -> int:
        return round(part * self.budget)

    def alone(self, index: int) -> list[Evaluation]:
        """The evaluations at which one phase held alone."""
        return [(frames, returns) for frames, returns in self.curve if alone_at(self.windows, frames / self.budget) == index]

    def switch(self, index: int) -> Switch:
        start, end = self.windows[index]
        old, new = self.alone(index - 1), self.alone(index)
        parts, means = [x / self.budget for x, _ in old + new], [sum(y) / len(y) for _, y in old + new]
        found = recovery(parts, means, start, end)
        frames = None if found is None or found.frames is None else self.frame(found.frames)
        return Switch(
            self.name(index - 1), self.name(index), self.frame(start), self.frame(end),
            found._replace(frames=frames) if found else None,
            _difference(old[-1][1], new[0][1]) if found else None,
            sum(start < x / self.budget < end for x, _ in self.curve),
            tuple(self.missing(side) for side, there in ((index - 1, old), (index, new)) if not there),
            index == len(self.phases) - 1,
        )  # fmt: skip

    def memory(self, index: int) -> Memory:
        before, now = self.alone(index), self.run.returns(earlier(self.run).get(index + 1, ""))
        frames, then = before[-1] if before else (None, [])
        both = min(len(then), len(now)) or None
        why = self.missing(index) if not before else "" if now else f"`diswm evaluate {self.run.path}` measures it"
        return Memory(
            index + 1, self.name(index), None if frames is None else round(frames),
            then[:both], now[:both], self.run.returns("seen")[:both], _difference(now, then), why,
        )  # fmt: skip

    def missing(self, index: int) -> str:
        """Why no evaluation shows a phase alone, and which would have."""
        start = self.frame(self.windows[index][1])
        end = self.frame(self.windows[index + 1][0] if index + 1 < len(self.windows) else 1.0)
        name = f"phase {index + 1} ({self.name(index)})"
        if end <= start:
            return f"{name} was never on alone"
        at = self.run.latest("frames", int(self.curve[-1][0]) if self.curve else 0)
        if at < start:
            return f"{name} is on alone from frame {start:,} on, and the run is at {at:,}"
        # Half of the span: one evaluation falls there wherever the span begins.
        every = f"--train.eval-every {max(1, (end - start) // 2)} or less would have shown it"
        return f"no evaluation fell between frames {start:,} and {end:,}, where {name} was on alone: {every}"


def _phases(run: Run) -> list[dict[str, Any]]:
    found = run.evaluation.get("phases")
    numbers = ("start", "end")
    whole = [phase for phase in found if isinstance(phase, dict)] if isinstance(found, list) else []
    return whole if all(isinstance(phase.get(name), int | float) for phase in whole for name in numbers) else []


def _difference(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """mean(a) - mean(b) over the episodes that both have: their seeds are the same, one by one. None for fewer than two."""
    pairs = [x - y for x, y in zip(a, b, strict=False)]
    return bootstrap_interval(pairs) if len(pairs) > 1 else None


# ---- in sentences


def switch_lines(folder: Path, evaluation: Path | None = None) -> list[str]:
    """What the switches of a run did, in plain sentences; `evaluation` is an evaluation.json in place of the run's own."""
    run = read_run(folder)
    if evaluation is not None:
        run.evaluation = read_object(evaluation, run.problems)
    found = [line for switch in switches(run) for line in (tell_switch(switch), *tell_inside(switch))]
    found += [tell_memory(memory) for memory in memories(run)]
    return [line.replace("−", "-") for line in found]  # not every terminal has that sign


def tell_switch(switch: Switch) -> str:
    """A switch in a sentence."""
    when = f"frame {switch.start:,}" if switch.start == switch.end else f"frames {switch.start:,} to {switch.end:,}"
    head, found = f"Switch at {when}, from {switch.old} to {switch.new}", switch.found
    if found is None:
        return f"{head}: what it cost cannot be said; {'; '.join(switch.missing)}."
    spread = f"95% interval {words.interval(switch.drop.low, switch.drop.high)}" if switch.drop else "one episode, so no interval"
    cost = f"a drop of {words.number(found.drop)} ({spread})"
    back = f"recovered within {recovered(switch)} frames"
    if found.frames is None:
        back = f"not recovered {'within this run' if switch.last else 'before the next switch'}"
    return f"{head}: return {words.number(found.before)} before, {words.number(found.after)} after, {cost}; {back}."


def recovered(switch: Switch) -> str:
    """How many frames it took, for a table."""
    if switch.found is None:
        return words.MISSING
    return "not recovered" if switch.found.frames is None else words.count(switch.found.frames)


def tell_inside(switch: Switch) -> list[str]:
    """A sentence on the evaluations within a switch, where there are some."""
    if not switch.inside:
        return []
    fell = f"{words.plural(switch.inside, 'evaluation')} fell within the switch at frames {switch.start:,} to {switch.end:,}"
    return [f"{fell}, where episodes of both sets are mixed: counted neither before nor after."]


def tell_memory(memory: Memory) -> str:
    """What was forgotten of an earlier phase, in a sentence."""
    head, now = f"Forgotten of phase {memory.phase} ({memory.name})", _mean(memory.now)
    if not memory.now:
        said = f"its return before the switch was {_mean(memory.before)}" if memory.before else "nor was it before the switch"
        return f"{head}: cannot be said, as it was not evaluated at the end; {said}; {memory.missing}."
    beside = f" On the present set it has {_mean(memory.present)}." if memory.present else ""
    if not memory.before:
        return f"{head}: cannot be said; the return there is {now} now, but {memory.missing}.{beside}"
    then = f"return {_mean(memory.before)} before the switch (evaluation at frame {memory.frames:,}), {now} now"
    change = (sum(memory.now) - sum(memory.before)) / len(memory.now)
    if memory.change is None:
        return f"{head}: {then}, a change of {words.number(change)}; one episode gives no interval, so nothing is claimed.{beside}"
    told = "it is better there now" if memory.change.low > 0 else "no forgetting can be claimed"
    told = "it has forgotten" if memory.change.high < 0 else told
    ends = f"95% interval {words.interval(memory.change.low, memory.change.high)} over {len(memory.now)} episodes"
    return f"{head}: {then}, a change of {words.number(change)} ({ends}): {told}.{beside}"


def _mean(values: Sequence[float]) -> str:
    return words.number(sum(values) / len(values) if values else None)
