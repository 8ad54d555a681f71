"""Archives of episodes (.tar, .tar.gz, .tar.xz), unpacked once into a cache folder and read as hostile.

Only regular ``.npz`` files and the manifest are written, below a folder of their own. Links, devices, paths that lead
elsewhere and sizes beyond the bounds are refused, with the whole archive. The unpacked folder is whole or absent: a run that
was killed leaves a hidden one, which the next removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import json
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from diswm.contract import DiswmError
from diswm.data.disk import require_free, size, whole_folder
from diswm.data.manifest import MANIFEST

MAX_MEMBER = 1 << 30  # bytes of one file; an episode of 1,000 frames takes 12 MB at most
MAX_MEMBERS = 200_000
MAX_TOTAL, MAX_SMALL, MAX_RATIO = 256 << 30, 1 << 30, 50  # bytes of all files: for any archive; for any small one; per byte of it
MAX_DEPTH = 8  # folders inside folders
MAX_NAME = 255  # bytes of one name, what file systems take
MAX_HEADERS = 1 << 20  # bytes between two members: long names, attributes
XZ_MEMORY = 512 << 20  # that the decoder may take; `xz -9` asks for 65 MiB
INDEX = "unpacked.json"
HEADER_ERROR, READ_ERROR = tarfile.HeaderError, tarfile.ReadError
_CHUNK = 1 << 16
_UNPACKED = "unpacked-"
_KINDS = ".tar, .tar.gz or .tar.xz"
EXPECTED = (
    "Expected video files (mp4, avi, mov, mkv, webm, mpg), folders of frames (png, jpg), HDF5, a LeRobot v3 or Minari data set, "
    f"or .npz episodes, also as an archive ({_KINDS})."
)
"""What a source of videos may be."""
_ADVICE = "Free some space, put the runs (and the cache beside them) on another disk, or unpack the archive elsewhere and name its folder."
# What tarfile raises on damaged bytes; RecursionError where headers of headers follow each other.
_UNREADABLE = (tarfile.TarError, ValueError, OverflowError, KeyError, IndexError, RecursionError)
Progress = Callable[[int, int], None]


# ---------------------------------------------------------------- a data set, whatever it comes in


def data_folder(path: Path, cache: Path | None, on_progress: Progress | None = None) -> Path:
    """The folder of episodes that ``path`` means: an archive is unpacked into ``cache``, once; a folder is looked into.

    Of folders inside folders the one that holds a data set is taken. ``on_progress(done, total)`` counts bytes of the archive. Raises
    DiswmError for what is neither folder nor archive, for an archive that is damaged or hostile, and for a full disk.
    """
    return episode_folder(unpack(path, cache, on_progress) if path.is_file() else path)


def episode_folder(folder: Path) -> Path:
    """The folder with the episodes (or with ``train_eps``) in or below ``folder``; ``folder`` itself where there is none.

    DiswmError where there are several.
    """
    here = folder
    for _ in range(MAX_DEPTH):
        if not here.is_dir() or (here / "train_eps").is_dir() or any(here.glob("*.npz")):
            return here
        inside = sorted(path for path in here.iterdir() if path.is_dir() and not path.name.startswith("."))
        holding = [path for path in inside if next(path.rglob("*.npz"), None)]
        if len(holding) > 1:
            raise DiswmError(
                f"{folder}: holds several data sets ({', '.join(path.name for path in holding[:4])}). Name one of the folders."
            )
        if not holding:
            return folder
        here = holding[0]
    return folder


# ---------------------------------------------------------------- unpacking


def unpack(archive: Path, cache: Path | None, on_progress: Progress | None = None) -> Path:
    """Unpack the episodes of ``archive`` into ``cache``, or find them there; the folder. DiswmError as ``data_folder``."""
    if archive.suffix == ".npz":
        raise DiswmError(f"{archive}: is a single episode. Name the folder that it is in.")
    if cache is None:
        raise DiswmError(f"{archive}: is a file. Name a cache folder to unpack it into, or unpack it and name the folder.")
    with _Stream(archive) as stream:
        stream.lock()  # a second run waits for the first, then finds the folder
        target = cache / f"{_UNPACKED}{_key(archive)}"
        if _whole(target):
            return target
        require_free(cache, stream.size, f"Unpacking {archive}", _ADVICE)
        shutil.rmtree(target, ignore_errors=True)
        with whole_folder(target, need=_most(stream.size), advice=_ADVICE) as new:
            try:
                _unpack(stream, new, on_progress or (lambda done, total: None))
            except _UNREADABLE as error:
                why = str(error) or type(error).__name__
                raise DiswmError(f"{archive}: cannot be unpacked ({why}). Expected a whole {_KINDS}; fetch it again.") from error
    return target


def forget(folder: Path, cache: Path | None) -> None:
    """Remove what an archive was unpacked to in ``cache``, if ``folder`` lies in that: nothing there can be used."""
    for place in (folder, *folder.parents):
        if cache is not None and place.parent == cache and place.name.startswith(_UNPACKED):
            shutil.rmtree(place, ignore_errors=True)


def _key(archive: Path) -> str:
    """Changes with the file: its path, size and time."""
    stat = archive.stat()
    digest = hashlib.sha256(f"{archive.resolve()};{stat.st_size};{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    return f"{archive.name.split('.')[0][:40]}-{digest}"


def _most(count: int) -> int:
    """Bytes that an archive of ``count`` bytes may hold. Episodes are compressed already, so that honest ones hardly shrink."""
    return min(MAX_TOTAL, max(MAX_SMALL, MAX_RATIO * count))


def _whole(folder: Path) -> bool:
    """Whether all that was unpacked is there: after a power cut files may be short."""
    try:
        return bool(json.loads((folder / INDEX).read_bytes()) == _contents(folder))
    except (OSError, ValueError):
        return False


def _contents(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != INDEX]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _unpack(stream: _Stream, folder: Path, on_progress: Progress) -> None:
    count = total = 0
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:  # type: ignore[call-overload]
        for member in tar:
            count, total = count + 1, total + member.size
            path = _judge(member)
            if count > MAX_MEMBERS:
                raise tarfile.ReadError(f"it has more than {MAX_MEMBERS:,} members")
            if total > _most(stream.size):
                raise tarfile.ReadError(f"it declares more than {size(_most(stream.size))}, the limit for its {size(stream.size)}")
            stream.limit = member.offset_data + member.size + MAX_HEADERS
            if path is not None:
                _write(tar, member, folder / path)
                on_progress(stream.done, stream.size)
    stream.finish()
    if not (found := _contents(folder))["files"]:
        raise DiswmError(f"{stream.path}: holds no .npz files. Expected an archive of episodes, such as walker_walk/train_eps/*.npz.")
    (folder / INDEX).write_text(json.dumps(found))


def _judge(member: tarfile.TarInfo) -> PurePosixPath | None:
    """Where a member goes, None for what is not needed. tarfile.ReadError for what has no place in a data set."""
    path, name = PurePosixPath(member.name), ascii(member.name)[:100]
    if path.is_absolute() or ".." in path.parts or not member.name.isprintable() or len(path.parts) > MAX_DEPTH:
        raise tarfile.ReadError(f"the path {name} leads elsewhere")
    if any(len(part.encode()) > MAX_NAME for part in path.parts):
        raise tarfile.ReadError(f"the name {name} is longer than {MAX_NAME} bytes")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise tarfile.ReadError(f"{name} is a link, a device or another special file")
    if member.size < 0 or member.size > MAX_MEMBER:
        raise tarfile.ReadError(f"{name} declares {size(max(member.size, 0))}, more than the limit of {size(MAX_MEMBER)}")
    wanted = path.suffix == ".npz" or path.name == MANIFEST
    return path if member.isreg() and wanted and not any(part.startswith(".") for part in path.parts) else None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None  # a regular file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise tarfile.ReadError(f"{ascii(member.name)[:100]} is there twice") from error
    with file:
        shutil.copyfileobj(content, file, _CHUNK)
        if file.tell() != member.size:
            raise tarfile.ReadError("it ends in the middle")


class _Member(tarfile.TarInfo):
    """A header that takes nothing but the zero block at the end for the end of the archive; its parent is content with any damage."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile)
        except HEADER_ERROR as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise READ_ERROR(f"it ends in the middle or has a damaged header: {error}") from error


class _Stream:
    """The unpacked bytes of an archive, for tarfile to read from front to back, up to ``limit``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.limit, self._position = MAX_HEADERS, 0
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DiswmError(f"{path}: cannot be read ({error.strerror}). Expected a {_KINDS} archive.") from error
        self.size = os.fstat(self._file.fileno()).st_size
        head = self._file.read(tarfile.BLOCKSIZE)
        self._file.seek(0)
        self._inner: IO[bytes] | _Xz = self._file
        if head.startswith(b"\xfd7zXZ\0"):
            self._inner = _Xz(self._file)
        elif head.startswith(b"\x1f\x8b"):
            self._inner = gzip.GzipFile(fileobj=self._file)  # type: ignore[assignment]
        else:
            self._check_header(head)

    def _check_header(self, head: bytes) -> None:
        try:
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            self._file.close()
            raise DiswmError(f"{self.path}: is not a folder, and no {_KINDS} archive. {EXPECTED}") from error

    @property
    def done(self) -> int:
        """Bytes of the archive that were read."""
        return self._file.tell()

    def lock(self) -> None:
        """Be alone with this archive until it is closed, or the process ends."""
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, fewer at the end alone. tarfile.ReadError for damage and beyond ``limit``."""
        try:
            found = self._inner.read(count)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise tarfile.ReadError(str(error) or type(error).__name__) from error
        self._position += len(found)
        if self._position > self.limit:
            raise tarfile.ReadError(f"more than {size(MAX_HEADERS)} of headers in a row")
        return found

    def finish(self) -> None:
        """Read on behind the archive's end, as far as headers may go: what a compressor checks stands there, and may be cut off."""
        end = self._position + MAX_HEADERS
        self.limit = end + _CHUNK
        while self._position < end and self.read(_CHUNK):
            pass

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _Xz:
    """Reads .xz with a bound on the decoder's memory, which lzma.LZMAFile does not have."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._ready = file, b""
        self._decoder = self._new()

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def read(self, count: int) -> bytes:
        while len(self._ready) < count:
            if self._decoder.eof:  # streams may follow each other, with zeros between them
                rest = (self._decoder.unused_data or self._file.read(_CHUNK)).lstrip(b"\0")
                if not rest:
                    break
                self._decoder = self._new()
            else:
                rest = self._file.read(_CHUNK) if self._decoder.needs_input else b""
                if not rest and self._decoder.needs_input:
                    raise EOFError("the compressed data end in the middle")
            self._ready += self._decoder.decompress(rest, max(count - len(self._ready), _CHUNK))
        found, self._ready = self._ready[:count], self._ready[count:]
        return found
