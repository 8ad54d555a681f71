"""One episode = one compressed ``.npz``: the schema of the released DisWM data sets, written whole and read with suspicion.

The file is named ``{YYYYmmddTHHMMSS}-{32 hex digits}-{L}.npz``; L = rows = agent steps + 1. The columns and the time line
are those of ``diswm.contract``. Supersets are accepted: ``logprob``, ``is_first``, ``observation`` and the like are kept.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import lzma
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias

import numpy as np

from diswm.contract import FACTOR_PREFIX, Array, DiswmError, Episode
from diswm.data.disk import write_atomically

MAX_BYTES = 4 << 30  # of one decoded episode: 350,000 frames of 64 x 64; what declares more is damaged or hostile
MAX_COLUMNS = 1_000
MAX_HEADER = 1 << 14  # bytes; numpy itself reads up to 10,000
FLAGS = ("is_first", "is_last", "is_terminal")
_DIMS = {"action": 2, "reward": 1, "discount": 1, **dict.fromkeys(FLAGS, 1)}
Headers: TypeAlias = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_UNREADABLE = (  # everything that zipfile, its decompressors and numpy's header parser raise on damaged bytes
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError, SyntaxError),
    *(ValueError, TypeError, KeyError, EOFError, OSError, RuntimeError, OverflowError, MemoryError),
)


# ---------------------------------------------------------------- checks


def check_episode(episode: Mapping[str, Array], where: str, require: Iterable[str] = ("image",)) -> int:
    """Return the number of rows; DiswmError, naming ``where``, for what no reader of the schema could use."""
    for name in require:
        if name not in episode:
            raise DiswmError(f"{where}: has no '{name}', only {_names(episode)}. Expected an episode with {', '.join(require)}.")
    if not episode:
        raise DiswmError(f"{where}: holds no columns. Expected an episode with at least 'image'.")
    _check_headers({name: (np.shape(value), np.asarray(value).dtype) for name, value in episode.items()}, where)
    for name, value in episode.items():
        if np.asarray(value).dtype.kind == "f" and not np.isfinite(value).all():
            row = int(np.argwhere(~np.isfinite(value))[0][0])
            raise DiswmError(f"{where}: '{name}' is not finite in row {row}. Leave this file out, or collect it again.")
    return len(next(iter(episode.values())))


def _check_headers(headers: Headers, where: str) -> None:
    """Shapes and dtypes alone, so that they can be judged before anything is allocated."""
    for name, (shape, dtype) in headers.items():
        if dtype.kind not in "biuf":
            raise DiswmError(f"{where}: '{name}' has dtype {dtype}; expected numbers or booleans.")
        if not shape:
            raise DiswmError(f"{where}: '{name}' is a single value; expected one row per frame.")
        if name in _DIMS and len(shape) != _DIMS[name]:
            raise DiswmError(f"{where}: '{name}' has shape {shape}; expected {_DIMS[name]} dimension(s).")
    if "image" in headers:
        shape, dtype = headers["image"]
        if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or min(shape[1:3]) < 1:
            raise DiswmError(f"{where}: 'image' is {dtype} {shape}; expected uint8 (rows, height, width, 3).")
    rows = {name: shape[0] for name, (shape, _) in headers.items()}
    if len(set(rows.values())) > 1:
        raise DiswmError(f"{where}: the columns differ in length: {', '.join(f'{n} {r}' for n, r in sorted(rows.items()))}.")
    if not next(iter(rows.values()), 0):
        raise DiswmError(f"{where}: has no rows.")


def _names(columns: Iterable[str]) -> str:
    return ", ".join(sorted(columns)) or "nothing"


def _canonical(name: str, value: Array) -> Array:
    """Contiguous, floats as float32, flags as bool, action as float32."""
    value = np.asarray(value)
    if value.dtype.kind not in "biuf":
        return value  # refused by check_episode, in words
    if name in FLAGS:
        return np.asarray(value, bool, order="C")
    if value.dtype.kind == "f" or name in ("action", "reward", "discount"):
        with np.errstate(over="ignore"):  # what does not fit turns infinite, and that is reported by check_episode
            return np.asarray(value, np.float32, order="C")
    return np.asarray(value, order="C")


# ---------------------------------------------------------------- writing


def content_hash(episode: Mapping[str, Array]) -> str:
    """Hex digest (64 digits) of names, shapes, dtypes and values."""
    digest = hashlib.sha256()
    for name in sorted(episode):
        value = np.ascontiguousarray(episode[name])
        digest.update(f"{name} {value.shape} {value.dtype.str};".encode())
        digest.update(value.data)
    return digest.hexdigest()


def episode_name(rows: int, uid: str, when: datetime.datetime) -> str:
    """File name of the released schema; ``uid`` is cut to 32 digits."""
    return f"{when:%Y%m%dT%H%M%S}-{uid[:32]}-{rows}.npz"


def save_episode(folder: Path, episode: Mapping[str, Array], name: str | None = None, require: Iterable[str] = ("image",)) -> Path:
    """Write one episode, whole or not at all, and return its path.

    Without ``name`` the file is called by the time of day and the hash of its content. Raises DiswmError for an episode
    that ``load_episode`` would refuse, for a full disk and for a folder that cannot be written.
    """
    folder = Path(folder)
    columns = {key: _canonical(key, value) for key, value in episode.items()}
    rows = check_episode(columns, f"the episode for {folder}", require)
    if bad := [key for key in columns if not _NAME.fullmatch(key)]:
        raise DiswmError(f"the episode for {folder}: column names may hold letters, digits and _ . - only, not {bad[0]!r}.")
    if name is None:
        name = episode_name(rows, content_hash(columns), datetime.datetime.now())
    need = sum(value.nbytes for value in columns.values())
    advice = "Free some space, or choose a folder on another disk; the episodes written before are whole."
    write_atomically(folder / name, lambda file: _write_npz(file, columns), need=need, advice=advice)
    return folder / name


def _write_npz(file: BinaryIO, columns: Mapping[str, Array]) -> None:
    # Not numpy.savez: it would pickle objects, and a column called "file" would clash with its own argument.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in columns.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


# ---------------------------------------------------------------- reading


def load_episode(path: Path, keys: Iterable[str] | None = None, require: Iterable[str] = ("image",), max_bytes: int = MAX_BYTES) -> Episode:
    """Read one episode: all columns, or those of ``keys`` that it has.

    Float columns come as float32, flags as bool. All headers are judged before anything is allocated, whatever ``keys``
    says; text columns are ignored. Raises DiswmError that names the file and says what is wrong with it.
    """
    path, require = Path(path), tuple(require)
    try:
        with _open_npz(path) as archive:
            headers = _headers(archive, path, require, max_bytes)
            wanted = headers if keys is None else [name for name in headers if name in {*keys, *require}]
            episode = {}
            for name in wanted:
                with archive.open(f"{name}.npy") as member:
                    episode[name] = _canonical(name, np.lib.format.read_array(member, allow_pickle=False))
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    check_episode(episode, str(path), require)
    return episode


def peek_episode(path: Path, require: Iterable[str] = ("image",), max_bytes: int = MAX_BYTES) -> Headers:
    """``{column: (shape, dtype)}`` without decoding the data. Raises DiswmError as ``load_episode`` does."""
    path = Path(path)
    try:
        with _open_npz(path) as archive:
            return _headers(archive, path, tuple(require), max_bytes)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> DiswmError:
    why = str(error) or type(error).__name__
    return DiswmError(f"{path}: cannot be read as an episode ({why}). Expected a whole .npz file; fetch or collect it again.")


def _open_npz(path: Path) -> zipfile.ZipFile:
    if not path.is_file():  # also keeps us from waiting on a pipe
        raise DiswmError(f"{path}: is not a file. Expected an episode as .npz.")
    return zipfile.ZipFile(path)


def _headers(archive: zipfile.ZipFile, path: Path, require: tuple[str, ...], max_bytes: int) -> Headers:
    headers, total = {}, 0
    if (columns := len(archive.infolist())) > MAX_COLUMNS:
        raise DiswmError(f"{path}: holds {columns:,} arrays, more than the limit of {MAX_COLUMNS:,} an episode.")
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            continue
        name = info.filename[: -len(".npy")]
        with archive.open(info) as member:
            shape, dtype, start = _npy_header(member)
        if dtype.hasobject:
            raise DiswmError(f"{path}: '{name}' holds pickled objects, which could run code when read. Expected plain arrays.")
        count = math.prod(shape) * dtype.itemsize
        total += count
        if min(shape, default=0) < 0 or total > max_bytes:
            raise DiswmError(f"{path}: '{name}' declares shape {shape} of {dtype}, more than the limit of {max_bytes} bytes an episode.")
        if info.file_size != start + count:
            raise DiswmError(f"{path}: '{name}' declares {count} bytes but holds {info.file_size - start}. Fetch the file again.")
        if dtype.kind not in "SUV":
            headers[name] = (shape, dtype)
    for name in require:
        if name not in headers:
            raise DiswmError(f"{path}: has no '{name}', only {_names(headers)}. Expected an episode with {', '.join(require)}.")
    _check_headers(headers, str(path))
    return headers


def _npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    head = io.BytesIO(member.read(MAX_HEADER))  # a header may declare 4 GiB of itself
    version = np.lib.format.read_magic(head)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"array format {version} is not supported")
    shape, _, dtype = readers[version](head)
    return shape, dtype, head.tell()


def list_episodes(folder: Path) -> list[Path]:
    """The episode files of ``folder``, or of its ``train_eps``, sorted by name; [] where there are none.

    Hidden files are left out: they are the temporary ones of a write that was cut off. DiswmError where there is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DiswmError(f"{folder}: is not a folder. Expected one of .npz episodes or with train_eps/; as videos also an archive of it.")
    if (folder / "train_eps").is_dir():
        folder = folder / "train_eps"
    return sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))


# ---------------------------------------------------------------- collecting


class EpisodeBuilder:
    """Collects rows while an agent acts. The first row is the reset: it has no action and no reward.

    ``action_dim`` 0 collects a video: no action, reward, discount and is_terminal columns.
    """

    def __init__(self, action_dim: int) -> None:
        self.action_dim = action_dim
        self._rows: list[dict[str, Array]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        image: Array,
        action: Array | None = None,
        reward: float = 0.0,
        is_terminal: bool = False,
        factors: Mapping[str, Array] | None = None,
    ) -> None:
        """Append ``image`` (H, W, 3) and what led to it: ``action`` (A,) in [-1, 1], None or zeros in the first row.

        The image is copied. Raises ValueError for an action that breaks the contract and for factors that come and go.
        """
        row: dict[str, Array] = {"image": np.array(image, np.uint8)}
        if self.action_dim:
            row["action"] = self._action(action)
            row["reward"] = np.array(reward, np.float32)
            row["discount"] = np.array(not is_terminal, np.float32)
            row["is_terminal"] = np.array(is_terminal, bool)
        for name, value in (factors or {}).items():
            row[FACTOR_PREFIX + name] = np.array(value, np.float32).reshape(-1)
        if self._rows and row.keys() != self._rows[0].keys():
            raise ValueError(f"row {len(self)} has {_names(row)}, the first row {_names(self._rows[0])}")
        self._rows.append(row)

    def _action(self, action: Array | None) -> Array:
        if action is None:
            if self._rows:
                raise ValueError("only the first row has no action")
            return np.zeros(self.action_dim, np.float32)
        value = np.array(action, np.float32)
        if value.shape != (self.action_dim,) or not (np.abs(value) <= 1).all():
            raise ValueError(f"expected {self.action_dim} numbers in [-1, 1], not {value}")
        if not self._rows and value.any():
            raise ValueError("the first row is the reset: no action led to it")
        return value

    def episode(self) -> Episode:
        """The rows so far as columns (L, ...). Raises ValueError where there are none."""
        if not self._rows:
            raise ValueError("no rows yet")
        return {name: np.stack([row[name] for row in self._rows]) for name in self._rows[0]}
