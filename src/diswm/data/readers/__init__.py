"""Videos of any kind as clips: what a file or folder is, and the reader for it.

Nothing is decoded here; the packages that decode (PyAV, h5py, pyarrow: the extras ``video`` and ``readers``) are imported when a
clip is opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from pathlib import Path

from diswm.contract import DiswmError
from diswm.data.archives import EXPECTED, Progress, data_folder
from diswm.data.episodes import peek_episode
from diswm.data.manifest import MANIFEST
from diswm.data.readers import hdf5, lerobot, minari, movies, stills
from diswm.data.readers.clip import Clip, Head, Source, natural, reason, walk
from diswm.data.readers.stored import stored

__all__ = ["Clip", "Head", "Source", "check_exists", "inputs", "is_foreign", "open_source"]

_PEEKED = 20  # of many arrays, those that are looked into
_SUFFIXES = (*movies.SUFFIXES, *stills.SUFFIXES, *hdf5.SUFFIXES)


def is_foreign(path: Path) -> bool:
    """Whether ``path`` is to be converted before it is learned from: anything but .npz episodes, their archives, and nothing."""
    if path.is_file():
        return path.suffix.lower() in _SUFFIXES
    if not path.is_dir():
        return False
    if lerobot.is_lerobot(path) or minari.minari_folder(path):
        return True
    files = walk(path)
    media = any(file.suffix.lower() in _SUFFIXES for file in files) or bool(_inside(files, path))
    return media and not _are_episodes(files)


def _are_episodes(files: list[Path]) -> bool:
    """Whether there are episodes of ours among the files; arrays of other kinds may lie beside films."""
    for file in [file for file in files if file.suffix == ".npz"][:_PEEKED]:
        with contextlib.suppress(DiswmError):
            if peek_episode(file):
                return True
    return False


def check_exists(path: Path) -> None:
    """DiswmError where there is nothing, with what may be there."""
    if not path.exists():
        raise DiswmError(f"{path}: there is no such file or folder. {EXPECTED}")


def open_source(path: Path, cache: Path | None = None, on_unpack: Progress | None = None) -> Source:
    """The clips of a file or folder; ``cache`` is where an archive is unpacked. DiswmError for what holds none."""
    check_exists(path)
    if not is_foreign(path):
        if path.is_dir() and not any(file.suffix == ".npz" for file in walk(path)):
            raise DiswmError(f"{path}: holds no videos. {EXPECTED}")
        source = stored(data_folder(path, cache, on_unpack))
        films = [file for file in walk(path) if path.is_dir() and file.suffix.lower() in (*movies.SUFFIXES, *hdf5.SUFFIXES)]
        if films:
            source.skipped.append(
                (films[0].name, f"{len(films)} such files lie beside .npz episodes and are not read. Move them elsewhere")
            )
    else:
        source = _layout(path) or _files(path)
    if not source.clips:
        name, why = source.skipped[0] if source.skipped else (path.name, "holds no clips")
        raise DiswmError(f"{path}: nothing in it can be used. The first of {len(source.skipped)}: {name}: {why}")
    return source


def _layout(path: Path) -> Source | None:
    """The clips of a folder that is laid out as LeRobot or Minari do."""
    if path.is_dir() and lerobot.is_lerobot(path):
        return lerobot.lerobot(path)
    inside = minari.minari_folder(path) if path.is_dir() else None
    return minari.minari(inside) if inside else None


def inputs(path: Path) -> dict[str, list[Path]]:
    """The files that the clips of ``path`` are read from, by name: one each, or all of a folder of frames. Others may change unnoticed."""
    if path.is_file():
        return {path.name: [path]}
    foreign = is_foreign(path)
    whole = bool(lerobot.is_lerobot(path) or minari.minari_folder(path))  # all of such a data set counts
    root = path if whole else _root(path)
    files = walk(root)
    inside = _inside(files, root)
    found: dict[str, list[Path]] = {}
    for file in files:
        suffix = file.suffix.lower()
        if whole or not inside.isdisjoint(file.parents):
            found[str(file.relative_to(root))] = [file]
        elif foreign and suffix in stills.SUFFIXES:
            found.setdefault(_folder(file.parent, root, path), []).append(file)
        elif suffix in _SUFFIXES if foreign else suffix == ".npz" or file.name == MANIFEST:
            found[str(file.relative_to(root))] = [file]
    return found


def _root(path: Path) -> Path:
    return path / "JPEGImages" if (path / "JPEGImages").is_dir() else path  # DAVIS: its other folders are masks


def _folder(folder: Path, root: Path, path: Path) -> str:
    """The name of a folder of frames."""
    return f"{folder.relative_to(root)}/" if folder != root else f"{path.resolve().name}/"


def _files(path: Path) -> Source:
    """Video files, HDF5 files, folders of frames, and data sets of other layouts inside, in any mixture."""
    root = _root(path)
    source, kinds, other = Source(""), Counter[str](), Counter[str]()
    folders: dict[Path, list[Path]] = {}
    files = walk(root)
    inside = _inside(files, root)
    for folder in inside:
        _add_inside(source, folder, f"{folder.relative_to(root)}/", kinds)
    for file in files:
        if not inside.isdisjoint(file.parents):
            continue
        suffix = file.suffix.lower()
        name = str(file.relative_to(root)) if path.is_dir() else file.name
        if suffix in movies.SUFFIXES:
            kinds["video file"] += 1
            source.clips.append(movies.movie(file, name))
        elif suffix in hdf5.SUFFIXES:
            kinds["HDF5 file"] += 1
            _hdf5(source, file, name)
        elif suffix in stills.SUFFIXES:
            folders.setdefault(file.parent, []).append(file)
        else:
            other[suffix or "without suffix"] += 1
    if path.is_file() and folders:
        raise DiswmError(f"{path}: is a single picture. Name the folder of frames that it is in.")
    kinds["folder of frames"] = len(folders)
    for folder, files in folders.items():
        source.clips.append(stills.stills(files, _folder(folder, root, path)))
    source.clips.sort(key=lambda clip: natural(clip.name))
    source.kind, source.other = ", ".join(_counted(count, kind) for kind, count in kinds.items() if count), other
    return source


def _counted(count: int, kind: str) -> str:
    """1 folder of frames, 2 folders of frames."""
    head, of, rest = kind.partition(" of ")
    return f"{count} {head}{'' if count == 1 else 's'}{of}{rest}"


def _inside(files: list[Path], root: Path) -> set[Path]:
    """Folders below ``root`` that are laid out as LeRobot or Minari do: their films and HDF5 files hold many episodes each."""
    likely = {file.parent for file in files if file.name in (minari.METADATA, minari.MAIN)}
    likely |= {file.parent.parent for file in files if file.parent.name == "meta" and file.name == "info.json"}
    found = {folder for folder in likely if root in folder.parents and (lerobot.is_lerobot(folder) or minari.minari_folder(folder))}
    return {folder for folder in found if found.isdisjoint(folder.parents)}


def _add_inside(source: Source, folder: Path, name: str, kinds: Counter[str]) -> None:
    try:
        found = _layout(folder)
    except DiswmError as error:
        source.skipped.append((name, str(error)))
    else:
        assert found is not None  # as _inside saw
        kinds[f"data set of {found.kind}"] += 1
        source.clips += [dataclasses.replace(clip, name=name + clip.name) for clip in found.clips]
        source.skipped += [(name + inside, why) for inside, why in found.skipped]


def _hdf5(source: Source, file: Path, name: str) -> None:
    try:
        clips, skipped = hdf5.hdf5(file, name)
    except Exception as error:  # damaged files make h5py raise errors of many kinds
        source.skipped.append((name, str(reason(error))))
    else:
        source.clips += clips
        source.skipped += skipped
