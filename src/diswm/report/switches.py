"""The section on what changed in mid-training: what each switch cost, how soon it was made good, and what was forgotten."""

from __future__ import annotations

from diswm.report import words
from diswm.report.phases import Switch, memories, recovered, switches, tell_inside, tell_memory, tell_switch
from diswm.report.reading import Run
from diswm.report.tables import Column, num, table
from diswm.report.words import esc

CAPTION = (
    "Mean returns of the evaluations next to each switch, of those at which one set was on alone; below the drop its 95% bootstrap "
    "interval over episodes, in pairs of the same seed. Recovered: the first evaluation that lacks less than a tenth of the return before, "
    "counted from the beginning of the switch; not recovered: none did before the next switch or the end of the run."
)
GRADUAL = " Within: evaluations during a gradual switch, where episodes of both sets are mixed; they count neither before nor after."


def section(run: Run) -> str:
    """A table of the switches and lines on what was forgotten; empty for a run whose distractions stayed as they were."""
    found = switches(run)
    if not found:
        return ""
    columns = [
        num("At frame", "frame", esc), Column("From", ("old",)), Column("To", ("new",)), num("Before", "before"), num("After", "after"),
        num("Drop", "drop", str), num("Frames to recover", "frames", esc), num("Within", "within", words.count),
    ]  # fmt: skip
    gradual = any(switch.start < switch.end for switch in found)
    width = len(columns) if gradual else len(columns) - 1
    html = table(columns[:width], [_row(switch)[:width] for switch in found], CAPTION + GRADUAL * gradual)
    said = [tell_switch(switch) for switch in found if switch.found is None]
    said += [line for switch in found for line in tell_inside(switch)]
    said += [tell_memory(memory) for memory in memories(run)]
    return html + "".join(f'<p class="lead after">{esc(line)}</p>' for line in said)


def _row(switch: Switch) -> list[object]:
    when = words.count(switch.start) if switch.start == switch.end else f"{words.count(switch.start)} to {words.count(switch.end)}"
    found = switch.found
    before, after = (found.before, found.after) if found else (None, None)
    return [when, switch.old, switch.new, before, after, _drop(switch), recovered(switch), switch.inside]


def _drop(switch: Switch) -> str:
    if switch.found is None:
        return words.MISSING
    spread = words.interval(switch.drop.low, switch.drop.high) if switch.drop else "one episode, no interval"
    return f"<b>{words.number(switch.found.drop)}</b><small>{spread}</small>"
