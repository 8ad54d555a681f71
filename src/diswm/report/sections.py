"""The sections of the page, each from what the run folder holds; what is missing is said, with the command that makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diswm.metrics.scores import Interval, area_under_curve, bootstrap_difference
from diswm.report import effects, figures, maps, strips, words
from diswm.report.canvas import image_uri, publish
from diswm.report.phases import earlier, name_of
from diswm.report.reading import Run
from diswm.report.summary import described, task_of
from diswm.report.unlike import policy, what_differs
from diswm.report.words import esc

MAX_FILM_BYTES = 8 * 2**20  # beyond this a page is slow to open; the film is then named instead of shown
PLAYED = ("random", "seen", "unseen")


def _label(run: Run, split: str) -> str:
    return policy(run, split).capitalize() if split == "random" else f"Trained, {policy(run, split)}"


def missing(what: str, command: str = "") -> str:
    """A place left empty, said openly."""
    return f'<p class="missing">{esc(what)}{f": <code>{esc(command)}</code>" if command else "."}</p>'


def curve(run: Run, folder: Path) -> str:
    """The learning curve and the area under it."""
    drawing = figures.learning_curve(run)
    if drawing is None:
        return missing("No learning curve: metrics.jsonl holds no episode and no evaluation")
    points = figures.eval_points(run, "seen")
    if len(points) < 2:
        return publish(drawing, folder)
    x, mean = [p[0] for p in points], [p[1] for p in points]
    area = area_under_curve(x, mean, x[-1])
    return publish(drawing, folder) + (
        f'<p class="lead">Averaged over the whole curve (its area over {words.count(x[-1])} frames), the return on seen '
        f"{what_differs(run)} is <b>{words.number(area)}</b>; its last evaluation gave {words.number(mean[-1])}.</p>"
    )


def returns(run: Run, folder: Path) -> str:
    """The strip of episodes and the table of means, intervals and gaps."""
    drawing = figures.returns_strip(run)
    if drawing is None:
        return missing("The run was not evaluated", f"diswm evaluate {run.path}")
    rows = "".join(_policy(run, split, f'<span class="dot {split}"></span>{_label(run, split)}') for split in PLAYED)
    rows += "".join(_policy(run, key, f"Trained, back on phase {number}") for number, key in earlier(run).items())
    for label, a, b in ((f"Gain over random, {policy(run, 'seen')}", "seen", "random"), ("Unseen minus seen", "unseen", "seen")):
        gap = difference(run, a, b)
        if gap is not None:
            rows += (
                f'<tr><th scope="row" colspan="3">{label}</th><td class="num"><b>{words.number(gap.mean)}</b></td>'
                f'<td class="num">{words.interval(gap.low, gap.high)}</td><td></td></tr>'
            )
    return publish(drawing, folder) + (
        '<div class="scroll" tabindex="0"><table><caption>Undiscounted returns of whole episodes, with the 95% percentile bootstrap '
        'over episodes.</caption><thead><tr><th scope="col">Policy</th><th scope="col">Distractions</th>'
        '<th scope="col" class="num">Episodes</th>'
        '<th scope="col" class="num">Mean</th><th scope="col" class="num">95% interval</th><th scope="col">Every episode</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _policy(run: Run, key: str, label: str) -> str:
    """One entry of evaluation.json as a row."""
    if why := run.absent(key):
        return f'<tr><th scope="row">{label}</th><td colspan="5">{esc(why)}</td></tr>'
    got, successes = described(run.returns(key)), run.evaluated(key).get("successes")
    won = f" ({sum(map(bool, successes)) / len(successes):.0%} success)" if isinstance(successes, list) and successes else ""
    ends = "one episode, no interval" if got["episodes"] == 1 else words.interval(got["low"], got["high"])
    return (
        f'<tr><th scope="row">{label}</th><td>{esc(name_of(run.evaluated(key)) or words.MISSING)}</td>'
        f'<td class="num">{words.count(got["episodes"])}</td>'
        f'<td class="num"><b>{words.number(got["mean"])}</b>{won}</td><td class="num">{ends}</td>'
        f'<td class="list">{", ".join(words.number(v) for v in got["values"]) or words.MISSING}</td></tr>'
    )


def difference(run: Run, a: str, b: str) -> Interval | None:
    """Mean return of a minus that of b; None where either has fewer than two episodes and so no spread."""
    first, second = run.returns(a), run.returns(b)
    return bootstrap_difference(first, second) if min(len(first), len(second)) > 1 else None


def episodes(run: Run) -> str:
    """The films of one episode each, with a still in their place for print and for those who want no motion."""
    cells = ""
    for name in PLAYED:
        label = _label(run, name)
        path = run.path / "media" / f"eval_{name}.gif"
        if not path.is_file():
            continue
        if path.stat().st_size > MAX_FILM_BYTES:
            where = f"<b>{label}</b>: too large to embed, see <code>{esc(path)}</code>"
            cells += f'<figure class="{name}"><figcaption>{where}</figcaption></figure>'
            continue
        still = strips.gif_still(path)
        if still is None:
            run.problems.append(f"media/{path.name} is no readable film")
            continue
        film = _film(path.read_bytes(), "gif", still, f"One episode, {label.lower()}, as a looping film.")
        cells += f'<figure class="{name}">{film}<figcaption><b>{label}</b></figcaption></figure>'
    if not cells:
        return missing("No episode was filmed", f"diswm evaluate {run.path}")
    purpose = "the policy’s purpose" if run.absent("unseen") else f"the same behaviour under seen and unseen {what_differs(run)}"
    return (
        f'<div class="films">{cells}</div><p class="lead after">One episode each, at the 64 × 64 pixels that the agent sees. '
        f"Look for {purpose}.</p>"
    )


def imagination(run: Run, folder: Path, who: str, prefix: str = "") -> str:
    """What one world model reconstructs and predicts: film, strips, and their scores."""
    media = strips.prediction_media(run)
    if media is None:
        return missing(f"No prediction of {who} was recorded in {run.path.name}/media/prediction.npz")
    moving, still = strips.prediction_film(media)
    alt = f"Film of {who}: real frames, reconstruction, prediction."
    heads = "".join(f"<span>{row}</span>" for row in strips.ROWS)
    seen, length = int(media["context"]), media["real"].shape[1]
    film = (
        f'<figure class="clip"><div><div class="columns" aria-hidden="true">{heads}</div>{_film(moving, "webp", still, alt)}</div>'
        "<figcaption>The same clips in motion. The bar above the third column is lit while the prediction runs without seeing: "
        f"{words.plural(seen, 'frame')} seen, {length - seen} imagined. Look for motion that keeps its rhythm.</figcaption></figure>"
    )
    return (
        publish(strips.prediction_strip(media, f"{prefix}prediction"), folder)
        + film
        + publish(figures.quality(media, f"{prefix}prediction_quality"), folder)
    )


def traversal(run: Run, teacher: Run | None, folder: Path) -> str:
    """The code, one dimension at a time, and what a change of colours does to it: this run's, else its teacher's."""
    for owner, note in ((run, ""), (teacher, "The traversal is the teacher's: this run recorded none.")):
        media = strips.traversal_media(owner) if owner else None
        if owner and media is not None:
            around, effect = strips.filtered_media(owner, media), effects.effect_media(owner)
            html = f'<p class="lead">{note}</p>' if note else ""
            html += publish(strips.traversal_grid(media), folder)
            html += publish(strips.traversal_grid(around, "traversal_filtered"), folder) if around else ""
            return html + (publish(effects.effect(effect), folder) if effect else "")
    return missing("No traversal was recorded", f"diswm traverse {run.path}")


def videos(run: Run, teacher: Run | None, folders: list[Path], reason: str, folder: Path) -> str:
    """Sample frames of the source videos and of the task, and of a run with a teacher the map of both in the code."""
    rows = strips.sample_rows([(task_of(path) or path.name, path) for path in folders], run)
    shown = any(label.startswith("videos") for label, _, _ in rows)
    note = "" if shown else missing(f"No source video is shown: {reason or 'the folder holds no readable episode'}")
    return note + (publish(strips.samples(rows), folder) if rows else "") + (_map(run, folders, reason, folder) if teacher else "")


def _map(run: Run, folders: list[Path], reason: str, folder: Path) -> str:
    """Offline and online clips as the teacher and the student see them."""
    media = maps.clips_media(run)
    if media is None:
        why = "" if folders else f": {reason}"
        return missing(f"No map of offline and online clips was recorded{why}", f"diswm traverse {run.path}" if folders else "")
    try:
        return publish(maps.plane(media, int(run.setting("seed", 0) or 0)), folder)
    except (ValueError, ImportError) as error:
        return missing(f"No map of offline and online clips: {error}")


def training(run: Run, teacher: Run | None, folder: Path) -> str:
    """Loss curves of this run and of its teacher."""
    drawing = figures.losses(run)
    html = publish(drawing, folder) if drawing else missing("No update was logged in metrics.jsonl")
    taught = figures.losses(teacher, "teacher_losses") if teacher else None
    return html + (f"<h3>The teacher, on videos</h3>{publish(taught, folder)}" if taught else "")


def cost(run: Run, summary: dict[str, Any], stages: list[dict[str, Any]]) -> str:
    """What it took, on what."""
    own = run.cost.get("seconds")
    rate = summary["updates"] / own if isinstance(own, int | float) and own > 0 and summary["updates"] else None
    facts = {
        "Frames (simulator steps)": words.count(summary["frames"]),
        "Updates": words.count(summary["updates"]),
        "Wall time": words.duration(summary["seconds"]),
        "Updates per second": words.number(rate),
        "Peak memory": words.size(summary["peak_rss_bytes"]),
        "Device": run.cost.get("device") or words.MISSING,
        "Threads": words.count(run.cost.get("threads")),
        "Machine": run.cost.get("machine") or words.MISSING,
    }
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{esc(value)}</td></tr>' for name, value in facts.items())
    table = f'<div class="scroll" tabindex="0"><table class="facts"><tbody>{rows}</tbody></table></div>'
    if not stages:
        return table
    rows = "".join(
        f'<tr><th scope="row">{esc(stage.get("name", ""))}</th><td class="num">{words.duration(stage.get("seconds"))}</td>'
        f"<td>{esc(stage.get('note', ''))}</td></tr>"
        for stage in stages
    )
    head = '<thead><tr><th scope="col">Stage</th><th scope="col" class="num">Wall time</th><th scope="col">Note</th></tr></thead>'
    return table + f'<div class="scroll" tabindex="0"><table>{head}<tbody>{rows}</tbody></table></div>'


def settings(run: Run, teacher: Run | None) -> str:
    """The resolved configuration(s) and the notes that the trainers left, folded away."""
    html = folded("Configuration of this run", json.dumps(run.config, indent=2, ensure_ascii=False))
    if teacher:
        html += folded("Configuration of the teacher", json.dumps(teacher.config, indent=2, ensure_ascii=False))
    notes = [json.dumps({k: v for k, v in row.items() if k != "kind"}, ensure_ascii=False) for row in run.of("note")]
    return html + (folded(f"Notes of the trainer ({len(notes)})", "\n".join(notes)) if notes else "")


def _film(moving: bytes, kind: str, still: bytes, alt: str) -> str:
    """A looping film; its still on paper and for those who asked for no motion."""
    return (
        f'<picture><source media="print, (prefers-reduced-motion: reduce)" srcset="{image_uri(still, "png")}">'
        f'<img class="film" src="{image_uri(moving, kind)}" alt="{esc(alt)}"></picture>'
    )


def folded(title: str, text: str) -> str:
    """Text that is shown when asked for."""
    return f"<details><summary>{esc(title)}</summary><pre>{esc(text)}</pre></details>"
