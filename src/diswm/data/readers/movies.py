"""Video files, decoded with PyAV frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diswm.contract import DiswmError
from diswm.data.readers.clip import Clip, Head, Keep, check_pixels, load

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
# Containers alone: a playlist under the name of a video would open other files, or addresses.
_OPTIONS = {"format_whitelist": "mov,mp4,avi,matroska,webm,mpeg,mpegts,mpegvideo", "protocol_whitelist": "file"}
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # Matroska's first element, and the one that holds the film
_OPEN = (1 << 32) - 1  # the length of an AVI file that was written into a pipe
_SHORT = 0.9  # a file with less of what it declares was cut off
_LAST = 0.5  # seconds that the last frame may be on show


def movie(path: Path, name: str) -> Clip:
    """A whole video file as a clip."""
    return Clip(name, lambda: movie_head(path), lambda keep: _whole(path, keep), read_check=lambda: movie_check(path))


def movie_head(path: Path) -> Head:
    """By the container's header; the number of frames may be a guess from the duration."""
    with _open(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        frames = stream.frames or (round(seconds * float(rate)) if rate and seconds > 0 else None)
        return Head(frames or None, (stream.codec_context.width, stream.codec_context.height), float(rate) if rate else None)


def movie_check(path: Path) -> list[str]:
    """Whether the file is as long as its index or its head says, where it has one."""
    with _open(path) as (_, stream):
        places = [entry.pos + entry.size for entry in stream.index_entries]
    size = path.stat().st_size
    if beyond := sum(place > size for place in places):
        return [f"was cut off: {beyond} of its {len(places)} frames lie behind its end"]
    with path.open("rb") as file:
        declared = _declared(file.read(256))
    return [f"was cut off: it has {size:,} of the {declared:,} bytes that it declares"] if declared > size else []


def _declared(head: bytes) -> int:
    """Bytes of a file by the head of its container: AVI and Matroska, where the writer has filled it in; 0 for others."""
    if head[:4] == b"RIFF":
        length = int.from_bytes(head[4:8], "little")  # the first part of several, where it is very long
        return 8 + length if length < _OPEN else 0
    if head[:4] == _EBML:
        length, behind = _varint(head, 4)
        if head[behind + length :][:4] == _SEGMENT:
            length, behind = _varint(head, behind + length + 4)
            return behind + length if length else 0
    return 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A length as Matroska writes it (0 where it is left open), and where the next byte is."""
    first = data[at] if at < len(data) else 0
    count = 9 - first.bit_length()
    bits = 7 * count
    value = int.from_bytes(data[at : at + count], "big") & ((1 << bits) - 1)
    return (0 if value == (1 << bits) - 1 else value), at + count


def _whole(path: Path, keep: Keep) -> Iterator[Image]:
    with _open(path) as (container, stream):
        declared, seconds, count, last = stream.frames, (container.duration or 0) / 1e6, 0, 0.0
        for frame in container.decode(stream):
            if keep(count):
                yield _picture(frame)
            count += 1
            last = frame.time or last
        if declared and count < _SHORT * declared:
            raise DiswmError(f"ends after {count} of the {declared} frames that it declares")
        if not declared and last < _SHORT * (seconds - _LAST):  # as in mkv
            raise DiswmError(f"ends after {last:.3g} of the {seconds:.3g} seconds that it declares")


def part(path: Path, start: float, frames: int, fps: float, keep: Keep) -> Iterator[Image]:
    """The ``frames`` frames from ``start`` seconds on. DiswmError where the file ends before."""
    with _open(path) as (container, stream):
        container.seek(int(start / stream.time_base), stream=stream)  # to the key frame at or before it
        count = 0
        for frame in container.decode(stream):
            index = round((frame.time - start) * fps)
            if index >= frames:
                break
            if index >= 0:
                count += 1
                if keep(index):
                    yield _picture(frame)
    if count < frames:
        raise DiswmError(f"has {count} of its {frames} frames in {path.name}")


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    av = load("av", path.name)
    if not path.is_file():  # also keeps us from waiting on a pipe
        raise DiswmError(f"there is no file {path}")
    try:
        opened = av.open(str(path.resolve()), options=_OPTIONS)
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise DiswmError(f"cannot be read ({error.strerror}): it is no film, or was cut off, or was never finished") from error
    with opened as container:
        if not container.streams.video:
            raise DiswmError("holds no video, only " + (", ".join(stream.type for stream in container.streams) or "nothing"))
        stream = container.streams.video[0]
        check_pixels(stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "AUTO"
        yield container, stream


def _picture(frame: Any) -> Image:
    """As it is meant to be seen: telephones store films on their side, with a note."""
    check_pixels(frame.width, frame.height)
    image: Image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
