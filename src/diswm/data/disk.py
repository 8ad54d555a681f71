"""Files that are either whole or absent, and disks that are too full said in words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from diswm.contract import DiswmError

FULL = (errno.ENOSPC, errno.EDQUOT)


def size(count: int) -> str:
    """A number of bytes for a reader: ``1.5 GiB``, ``3 KiB``."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:,.1f} GiB"


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that holds ``folder`` or, where it does not exist yet, its nearest parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_free(folder: Path, need: int, what: str, advice: str) -> None:
    """Raise DiswmError unless ``need`` bytes are free where ``folder`` lies."""
    free = free_bytes(folder)
    if need > free:
        raise DiswmError(f"{what} needs {size(need)} ({need} bytes) in {folder}, where {size(free)} ({free} bytes) are free. {advice}")


def write_error(error: OSError, folder: Path, need: int, advice: str) -> DiswmError:
    """What a failed write means for the user; call it after the half-written file is gone, so that ``free`` is true."""
    if error.errno in FULL:
        free = free_bytes(folder)
        asks = f"{folder} needs up to {size(need)} ({need} bytes)" if need else f"nothing more can be written in {folder}"
        return DiswmError(f"The disk is full: {asks}, {size(free)} ({free} bytes) are free. {advice}")
    return DiswmError(f"Cannot write in {folder}: {error.strerror or error}. Check that the folder exists and may be written to.")


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents; DiswmError where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(error, folder, 0, "Free some space.") from error


def open_folder(folder: Path) -> None:
    """Create ``folder`` where it is not there yet; DiswmError unless files can be written in it."""
    make_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise write_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), folder, 0, "")


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, need: int, advice: str) -> None:
    """Give ``path`` its content by ``write(file)``: after a failure, a kill or a power cut it is the old file or the new one.

    ``need`` is an upper bound in bytes, for the message. Raises DiswmError for what the operating system refuses; whatever
    ``write`` raises passes through. The temporary file starts with a dot and is removed on any failure.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(error, path.parent, need, advice) from error
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the file system can (some network ones cannot)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def whole_folder(path: Path, *, need: int, advice: str, over: bool = False) -> Iterator[Path]:
    """Fill the folder that the block is given; it becomes ``path`` at the end of the block, or nothing is left.

    With ``over`` it takes the place of the folder that is there, which stays as it is until then.

    What a killed process left behind goes at the next call. ``need`` is an upper bound in bytes, for the message. Raises
    DiswmError where ``path`` is there and not an empty folder, and for what the operating system refuses.
    """
    if path.exists() and not over and (not path.is_dir() or any(path.iterdir())):
        raise DiswmError(f"{path}: is there already. Choose another folder with --out, or remove it.")
    path = path.resolve()
    made = not path.parent.exists()
    make_folder(path.parent)
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        if over and path.exists():
            os.replace(path, temporary.with_suffix(".old.tmp"))
        os.replace(temporary, path)
        shutil.rmtree(temporary.with_suffix(".old.tmp"), ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        if isinstance(error, OSError):
            raise write_error(error, path.parent, need, advice) from error
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only process that makes ``path``: others wait here. Ends with the process, however it ends; no lock stays behind."""
    lock = path.with_name(f".{path.name}.lock")
    made = [folder for folder in path.parents if not folder.exists()]
    while True:
        make_folder(path.parent)
        try:
            file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the one before has just removed the folder, too
            continue
        except OSError as error:
            raise write_error(error, path.parent, 0, "Free some space.") from error
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # the one before has removed the file: there may be another of this name
            if os.path.samestat(os.fstat(file), os.stat(lock)):
                break
        os.close(file)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)
        with contextlib.suppress(OSError):  # as soon as one is not empty
            for folder in made:
                folder.rmdir()
