"""What is held out of training for the evaluation: of train and test sets the one that no phase trains on, another texture."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from diswm.contract import DiswmError
from diswm.envs import patterns
from diswm.envs.factors import BASE_COLOURS, SPLITS, BackgroundConfig, ColourConfig, Layer, TextureConfig
from diswm.envs.specs import cut, distracted, kind_of, split_phases


def held_out_layers(texts: Sequence[str], met: Collection[Layer], bare: bool = False) -> tuple[str, ...]:
    """The distractions ``texts`` that hold at the end of training (`lasting`), each cut to the set that no phase trains on.

    ``met`` are those of all phases. What leaves no set unseen stays as it is, or goes where the world is otherwise ``bare``. Of textures
    that a phase names another one is shown even where none holds at the end.
    """
    found = [other or ("" if bare else text) for text, other in _others(texts, met).items()]
    if any(isinstance(layer, TextureConfig) and layer.name for layer in met) and "texture" not in {kind_of(text) for text in texts}:
        found += _others(["texture:all"], met).values()
    return tuple(text for text in found if text)


def without_other(texts: Sequence[str], met: Collection[Layer]) -> list[str]:
    """Those of ``texts`` (as above) that are cut to a set, or are one texture, and have no other that is unseen."""
    layers = {text: _layer(text) for text, other in _others(texts, met).items() if not other}
    return [text for text, layer in layers.items() if layer.split != "all" or (isinstance(layer, TextureConfig) and layer.name)]


def _others(texts: Iterable[str], met: Collection[Layer]) -> dict[str, str]:
    """Of each distraction the same with a set, or a texture, of which no phase shows any part; empty where there is none."""
    shown = set().union(*(_shown(layer) for layer in met))
    return {text: next((one for one in _choices(text, met) if (new := _shown(_layer(one))) and not new & shown), "") for text in texts}


def _layer(text: str) -> Layer:
    return distracted(ColourConfig(), [text])[1][0]


def _choices(text: str, met: Collection[Layer]) -> list[str]:
    if kind_of(text) != "texture":
        return [_swapped(text)]
    names = {layer.name for layer in met if isinstance(layer, TextureConfig) and layer.name}
    sets = patterns.TABLE_SETS if names and names <= {*patterns.TABLES} else patterns.FLOOR_SETS
    return [f"texture:{sets[split][0] if len(sets[split]) == 1 else split}" for split in ("test", "train")]


def _shown(layer: Layer) -> set[tuple[str, str]]:
    """What a distraction shows, as far as sets part it: textures, or halves of a range or of clips. Strengths and numbers of clips are not
    compared: halves of the same kind count as the same in part."""
    if isinstance(layer, TextureConfig):
        names = (layer.name,) if layer.name else (*patterns.FLOOR_SETS[layer.split], *patterns.TABLE_SETS[layer.split])
        return {("texture", name) for name in names}
    if isinstance(layer, BackgroundConfig):
        if layer.folder:
            return _clips(Path(layer.folder).expanduser(), layer.split)
        source: str = layer.source if layer.source in ("noise", "plain") else "shapes"
    elif layer.scale and any(factor.parts_at is not None and factor.low < factor.high for factor in layer.factors()):
        source = layer.kind
    else:  # as of a camera that only rolls: train and test are the same
        return set()
    return {(source, half) for half in SPLITS[1:] if layer.split in ("all", half)}


def _clips(folder: Path, split: str) -> set[tuple[str, str]]:
    """The clips of a set; where the folder is not here, its halves."""
    from diswm.envs.backdrops import clips_of

    try:
        return {("clip", str(path)) for path in clips_of(folder, split)}
    except DiswmError:
        return {(str(folder.resolve()), half) for half in SPLITS[1:] if split in ("all", half)}


def lasting(distractions: Sequence[str], phases: Sequence[str]) -> tuple[str, ...]:
    """The distractions other than colour that hold at the end of a run."""
    texts = _last(phases)
    own = [text for text in texts if kind_of(text) != "colour"]
    kept = () if "none" in texts else distractions
    return (*(text for text in kept if kind_of(text) not in {kind_of(one) for one in own}), *own)


def lasting_colour(colour: ColourConfig, phases: Sequence[str]) -> ColourConfig:
    """The colours that hold at the end of a run whose own are these."""
    texts = _last(phases)
    found, _ = distracted(colour, texts)
    return dataclasses.replace(colour, colours="none") if "none" in texts else found


def _last(phases: Sequence[str]) -> list[str]:
    return split_phases(phases[-1])[-1][2] if phases else []


def share(first: str, second: str) -> bool:
    """Whether two boxes of colours, called as in `ColourConfig.colours`, are the same in whole or in part: see `may_share`."""
    return bool(_halves(first) & _halves(second))


def may_share(first: str, second: str) -> bool:
    """Whether one is a box around the scene's own colours and the other is not: where the first lies only the simulator knows; the own
    colours are in its middle."""
    return first.startswith("own") != second.startswith("own")


def _halves(colours: str) -> set[str]:
    """Of all colours set 1 lies in the half of little green, set 2 in that of much."""
    if colours in BASE_COLOURS:
        return {"any_train" if colours == "set1" else "any_test"}
    return {f"{colours}_train", f"{colours}_test"} if colours in ("own", "any") else {colours}


def _swapped(text: str) -> str:
    """The distraction with its test set in the place of its train set, or the other way about."""
    other = {"train": "test", "test": "train"}
    first, *options = cut(text, ",")
    words = [other.get(option.strip(), option) for option in options]
    return ",".join([re.sub(r"^(\w+:\s*)(train|test)\s*$", lambda found: found[1] + other[found[2]], first), *words])
