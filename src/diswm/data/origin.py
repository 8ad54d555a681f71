"""What a conversion was made of, by content: a second run knows whether its sources are the same and which of them are not.

The manifest keeps a sha256 for each source: each file that is read, or each folder of frames. Beside it a hidden file keeps the sizes
and times (of the last change of content, and of anything) of their files. Where all of these are as they were, a source is taken as
unchanged and not read again; else it is hashed, and what has the same hash is the same, whatever its times say.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from diswm.contract import DiswmError, some
from diswm.data.disk import write_atomically
from diswm.data.manifest import file_hash, read_manifest
from diswm.data.readers import check_exists, inputs

STAMPS = ".sources.json"
SHOWN = 5
"""Sources that are named in a message."""
Hashing = Callable[[int, int], None]
"""(bytes hashed, bytes in all)."""


class Origin(NamedTuple):
    """The sources as they are now: name -> sha256 of their contents, name -> digest of their files' sizes and times."""

    hashes: dict[str, str]
    stamps: dict[str, str]

    def keep(self, folder: Path) -> None:
        """Remember the stamps, so that the next run need not read the sources; where that is impossible it will."""
        data = json.dumps(self.stamps).encode()
        if _stamps(folder) != self.stamps:
            with contextlib.suppress(DiswmError):
                write_atomically(folder / STAMPS, lambda file: file.write(data), need=len(data), advice="")


def prefixes(sources: Sequence[Path]) -> list[str]:
    """What stands before the names of the clips of each source: nothing for the only one. DiswmError for one that is named twice."""
    if len(sources) == 1:
        return [""]
    real = [source.resolve() for source in sources]
    if twice := next((source for source in real if real.count(source) > 1), None):
        raise DiswmError(f"{twice}: is named twice. Name each source once.")
    names = [path.name for path in real]
    alike = [names[:index].count(name) for index, name in enumerate(names)]
    return [f"{name} ({count + 1})/" if count else f"{name}/" for name, count in zip(names, alike, strict=True)]


def look(sources: Sequence[Path], folder: Path, on_hash: Hashing | None = None) -> Origin:
    """Hash the ``sources``, but for those that are unchanged since ``folder`` was made of them. DiswmError for what is not there."""
    files: dict[str, list[Path]] = {}
    for source, prefix in zip(sources, prefixes(sources), strict=True):
        check_exists(source)
        files |= {prefix + name: paths for name, paths in inputs(source).items()}
    stamps = {name: _stamp(paths) for name, paths in files.items()}
    before, known = _stamps(folder), made_of(folder)
    found = {name: known[name] for name in files if name in known and before.get(name) == stamps[name]}
    unread = {name: paths for name, paths in files.items() if name not in found}
    total, done = sum(_size(path) for paths in unread.values() for path in paths), 0
    for name, paths in unread.items():
        found[name] = _hash(paths)
        done += sum(map(_size, paths))
        if on_hash:
            on_hash(done, total)
    return Origin({name: found[name] for name in files}, stamps)


def made_of(folder: Path) -> dict[str, str]:
    """The hashes that the manifest of a conversion has of its sources; {} where there is none."""
    try:
        inside = read_manifest(folder).get("inputs")
    except DiswmError:
        return {}
    return {str(name): str(value) for name, value in inside.items()} if isinstance(inside, dict) else {}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which sources differ, in words; nothing where none does."""
    words = [f"{name} has changed" for name in now if name in before and before[name] != now[name]]
    words += [f"{name} is new" for name in now if name not in before]
    words += [f"{name} is gone" for name in before if name not in now]
    return some(words, SHOWN)


def _stamps(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / STAMPS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _stamp(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"\0{path.name}".encode("utf-8", "surrogateescape"))
        with contextlib.suppress(OSError):  # a link to nothing has a name alone
            facts = path.stat()
            digest.update(f";{facts.st_size};{facts.st_mtime_ns};{facts.st_ctime_ns}".encode())
    return digest.hexdigest()


def _hash(paths: Sequence[Path]) -> str:
    """Of one file its sha256, of several that of their names and hashes; "" for what cannot be read: it is left out later, by name."""
    if len(paths) == 1:
        return _file(paths[0])
    lines = "".join(f"{_file(path)}  {path.name}\n" for path in paths)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _file(path: Path) -> str:
    with contextlib.suppress(OSError, DiswmError):
        if stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting
            return file_hash(path)
    return ""


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
