"""The section on what changed in mid-training: what each switch cost, how soon it was made good, and what was forgotten."""

from __future__ import annotations

from diswm.metrics.scores import Interval
from diswm.report import words
from diswm.report.phases import Switch, memories, recovered, switches, tell_inside, tell_memory, tell_switch
from diswm.report.reading import Run
from diswm.report.tables import Column, Estimate, estimates, num, table
from diswm.report.words import esc

CAPTION = (
    "Mean returns of the evaluations next to each switch, of those at which one set was on alone; below the drop its 95% bootstrap "
    "interval over episodes, in pairs of the same seed. Recovered: the first evaluation that lacks less than a tenth of the return before, "
    "counted from the beginning of the switch. Within: evaluations during a gradual switch, where episodes of both sets are mixed; they "
    "count neither before nor after."
)


def section(run: Run) -> str:
    """A table of the switches and lines on what was forgotten; empty for a run whose distractions stayed as they were."""
    found = switches(run)
    if not found:
        return ""
    columns = [
        num("At frame", "frame", esc), Column("From", ("old",)), Column("To", ("new",)), num("Return before", "before"),
        num("Return after", "after"), estimates("Drop", "drop", "episodes"), num("Frames to recover", "frames", esc),
        num("Within", "within", words.count),
    ]  # fmt: skip
    said = [tell_switch(switch) for switch in found if switch.found is None]
    said += [line for switch in found for line in tell_inside(switch)]
    said += [tell_memory(memory, run.returns("seen")) for memory in memories(run)]
    return table(columns, [_row(switch) for switch in found], CAPTION) + "".join(f'<p class="lead after">{esc(line)}</p>' for line in said)


def _row(switch: Switch) -> list[object]:
    when = words.count(switch.start) if switch.start == switch.end else f"{words.count(switch.start)} to {words.count(switch.end)}"
    found = switch.found
    before, after, drop = (found.before, found.after, found.drop) if found else (None, None, None)
    cost = None if drop is None else Estimate(switch.drop or Interval(drop, drop, drop), "episodes" if switch.drop else "")
    return [when, switch.old, switch.new, before, after, cost, recovered(switch), switch.inside]
