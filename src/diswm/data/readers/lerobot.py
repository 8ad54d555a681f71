"""LeRobot data sets, version 3: many episodes in each video file, found by the time stamps in the episodes' tables.

Layout (the format's documentation, huggingface.co/docs/lerobot): ``meta/info.json`` with the features and the template of the
video paths; ``meta/episodes/**.parquet`` with, an episode a row, ``length`` and per camera ``videos/<camera>/chunk_index``,
``file_index``, ``from_timestamp``; cameras of dtype ``image`` lie as encoded pictures in ``data/**.parquet``.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from diswm.contract import DiswmError
from diswm.data.readers.clip import Clip, Head, Keep, Source, load, reason
from diswm.data.readers.movies import movie_check, part
from diswm.data.readers.stills import attempt

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_JSON = 64 << 20  # bytes
MAX_LENGTH = 10_000_000  # frames of an episode
_ROWS = 256  # of a table that are read at once
_VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_ADVICE = "Fetch the data set again, whole."


def is_lerobot(folder: Path) -> bool:
    """Also where parts are missing."""
    return any((folder / inside).exists() for inside in ("meta/info.json", "meta/episodes", "meta/episodes.jsonl"))


def lerobot(folder: Path) -> Source:
    """One clip an episode and camera. DiswmError for another version, for missing parts and where there is no camera."""
    info = _info(folder)
    cameras = {name: feature for name, feature in info["features"].items() if feature.get("dtype") in ("video", "image")}
    source = Source(f"LeRobot {info['codebase_version']}")
    for name in [name for name, feature in cameras.items() if _is_depth(feature)]:
        source.skipped.append((name, "is a map of depth"))
        del cameras[name]
    if not cameras:
        found = ", ".join(f"{name} ({feature.get('dtype')})" for name, feature in info["features"].items())
        raise DiswmError(f"{folder}: has no camera, only {found or 'no features'}. Videos are learned from pictures.")
    rows = list(_episodes(folder, cameras))
    check = functools.cache(movie_check)  # many episodes lie in a file
    for name, feature in cameras.items():
        for row in rows:
            try:
                source.clips.append(_clip(folder, info, name, feature, row, check))
            except DiswmError as error:
                source.skipped.append((f"episode {row.get('episode_index')}, {name}", str(error)))
    return source


def _is_depth(feature: Mapping[str, Any]) -> bool:
    more = feature.get("info")
    return isinstance(more, dict) and any("is_depth_map" in key and value for key, value in more.items())


def _info(folder: Path) -> dict[str, Any]:
    path = folder / "meta" / "info.json"
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError("it is too large")
        info = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DiswmError(f"{folder}: is laid out as a LeRobot data set, but has no meta/info.json. {_ADVICE}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). {_ADVICE}") from error
    version = str(info.get("codebase_version")) if isinstance(info, dict) else "None"
    if not version.startswith("v3"):
        raise DiswmError(
            f"{folder}: is a LeRobot data set of version {version}, read is v3. Convert it, or name its folder videos/ itself."
        )
    features, fps = info.get("features"), info.get("fps")
    if not isinstance(features, dict) or not all(isinstance(feature, dict) for feature in features.values()):
        raise DiswmError(f"{path}: its features are no table of features. {_ADVICE}")
    if not isinstance(fps, int | float) or not 0 < fps < 1e6:
        raise DiswmError(f"{path}: its fps is {fps}, expected a number above 0. {_ADVICE}")
    return info


def _episodes(folder: Path, cameras: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of the episodes' tables; of their many columns those that are needed."""
    parquet = load("pyarrow.parquet", str(folder))
    files = sorted((folder / "meta" / "episodes").rglob("*.parquet"))
    if not files:
        raise DiswmError(f"{folder}: has no meta/episodes/*.parquet, which say where the episodes are. {_ADVICE}")
    wanted = {"episode_index", "length", "data/chunk_index", "data/file_index"}
    for name in cameras:
        wanted |= {f"videos/{name}/{column}" for column in ("chunk_index", "file_index", "from_timestamp")}
    for file in files:
        try:
            with parquet.ParquetFile(file) as table:
                columns = [name for name in table.schema_arrow.names if name in wanted]
                for batch in table.iter_batches(_ROWS, columns=columns):
                    yield from batch.to_pylist()
        except Exception as error:  # pyarrow raises errors of many kinds for damaged files
            raise DiswmError(f"{file}: {reason(error)}. {_ADVICE}") from error


def _clip(
    folder: Path,
    info: Mapping[str, Any],
    camera: str,
    feature: Mapping[str, Any],
    row: Mapping[str, Any],
    check: Callable[[Path], list[str]],
) -> Clip:
    """DiswmError for a row that lacks what finds the frames."""
    number, length, fps = row.get("episode_index"), row.get("length"), float(info["fps"])
    if not isinstance(number, int) or not isinstance(length, int) or not 0 < length <= MAX_LENGTH:
        raise DiswmError(f"its row in meta/episodes has episode_index {number} and length {length}")
    read: Callable[[Keep], Iterator[Image | DiswmError]]
    if feature["dtype"] == "video":
        path = folder / _fill(info.get("video_path") or _VIDEO_PATH, row, f"videos/{camera}/", camera)
        start = row.get(f"videos/{camera}/from_timestamp")
        if not isinstance(start, int | float) or not math.isfinite(start) or not 0 <= start < 1e9:
            raise DiswmError(f"its row in meta/episodes has from_timestamp {start}")

        def read(keep: Keep) -> Iterator[Image | DiswmError]:
            return part(path, start, length, fps, keep)
    else:
        path = folder / _fill(info.get("data_path") or _DATA_PATH, row, "data/", camera)

        def read(keep: Keep) -> Iterator[Image | DiswmError]:
            return _pictures(path, camera, number, length, keep)

    def head() -> Head:
        if not path.is_file():
            raise DiswmError(f"there is no file {path.relative_to(folder)}")
        return Head(length, _size(feature), fps)

    def check_file() -> list[str]:
        return [f"{path.name}: {words}" for words in check(path)] if feature["dtype"] == "video" else []

    return Clip(f"episode {number}, {camera}", head, read, camera, read_check=check_file)


def _fill(template: object, row: Mapping[str, Any], prefix: str, camera: str) -> str:
    """The path of a file. Not ``str.format``: a template from anywhere may ask for a gigabyte of zeros, or lead elsewhere."""
    values = {name: row.get(prefix + name) for name in ("chunk_index", "file_index")}

    def value(found: re.Match[str]) -> str:
        if found[1] == "video_key":
            return camera
        number = values[found[1]]
        if not isinstance(number, int):
            raise DiswmError(f"its row in meta/episodes has no {prefix}{found[1]}")
        return f"{number:0{int(found[2] or 0)}d}"

    filled = re.sub(r"\{(video_key|chunk_index|file_index)(?::0(\d)d)?\}", value, str(template))
    path = PurePosixPath(filled)
    if "{" in filled or path.is_absolute() or ".." in path.parts:
        raise DiswmError(f"meta/info.json has the path {str(template)[:100]!r} for it, which leads elsewhere")
    return filled


def _size(feature: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) by the names of the axes, or by which of them has the channels."""
    shape, names = feature.get("shape"), feature.get("names")
    if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(isinstance(n, int) for n in shape):
        return None
    if isinstance(names, list) and [str(name)[:1] for name in names] == ["c", "h", "w"]:
        return shape[2], shape[1]
    return (shape[1], shape[0]) if shape[2] in (1, 3, 4) else (shape[2], shape[1])


def _pictures(path: Path, camera: str, number: int, length: int, keep: Keep) -> Iterator[Image | DiswmError]:
    """The frames of an episode from a data table, in which they are encoded pictures."""
    count = 0
    with load("pyarrow.parquet", path.name).ParquetFile(path) as table:
        for batch in table.iter_batches(_ROWS, row_groups=_groups(table, number), columns=["episode_index", camera]):
            for index, row in enumerate(batch.column("episode_index").to_pylist()):
                if row == number and count < length:
                    if keep(count):
                        yield attempt(_bytes(batch.column(camera)[index].as_py()), count)
                    count += 1
            if count == length:
                return
    raise DiswmError(f"has {count} of its {length} frames in {path.name}")


def _groups(table: Any, number: int) -> list[int]:
    """The row groups that may hold an episode: the others are not read."""
    found = []
    for index in range(table.num_row_groups):
        group = table.metadata.row_group(index)
        columns = [group.column(place) for place in range(group.num_columns)]
        facts = next((column.statistics for column in columns if column.path_in_schema == "episode_index"), None)
        if facts is None or not facts.has_min_max or facts.min <= number <= facts.max:
            found.append(index)
    return found


def _bytes(value: Any) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise DiswmError("its pictures do not lie in the table")
    return data
