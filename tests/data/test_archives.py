"""Archives of episodes: the released layout opens as it is, and nothing hostile leaves the cache folder or stays in it."""

import contextlib
import errno
import gzip
import io
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data import archives
from diswm.data.archives import data_folder, unpack
from diswm.data.videos import Videos

ROWS = (7, 9, 6)


def released(number, rows, actions=6):
    """An episode as the release writes it: spec A3, with actions and rewards."""
    rng = np.random.default_rng(number)
    return {
        "image": rng.integers(0, 256, (rows, 8, 8, 3), np.uint8),
        "action": rng.normal(0, 1.2, (rows, actions)).astype(np.float32),  # not clipped
        "logprob": np.zeros(rows, np.float32),
        "reward": rng.random(rows).astype(np.float32),
        "discount": np.ones(rows, np.float32),
        "is_terminal": np.zeros(rows, bool),
    }


def npz(columns):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    return buffer.getvalue()


def files(prefix="walker_walk/train_eps"):
    names = [f"{prefix}/20220101T00000{n}-{n:032x}-{rows}.npz" for n, rows in enumerate(ROWS)]
    return {name: npz(released(n, rows)) for n, (name, rows) in enumerate(zip(names, ROWS, strict=True))}


def info(name, kind=tarfile.REGTYPE, size=0, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, link
    return member


def write(path, members, mode="w:xz"):
    """A tar of {name: bytes} or of (TarInfo, bytes)."""
    with tarfile.open(path, mode) as tar:
        for member in members.items() if isinstance(members, dict) else members:
            header, content = member if isinstance(member[0], tarfile.TarInfo) else (info(member[0], size=len(member[1])), member[1])
            tar.addfile(header, io.BytesIO(content))
    return path


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def refused(path, cache, words):
    """Unpacking is refused in one line that has these words, and leaves nothing."""
    before = below(cache.parent)
    with pytest.raises(DiswmError) as caught:
        Videos(path, length=4, cache=cache)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert below(cache.parent) == before


# ---- what is honest


@pytest.mark.parametrize(("suffix", "mode"), [("tar.xz", "w:xz"), ("tar.gz", "w:gz"), ("tar", "w"), ("oddly-named", "w:xz")])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_archive_folder_and_train_eps_are_the_same_videos(tmp_path, suffix, mode, form):
    archive = tmp_path / f"walker_walk.{suffix}"
    with tarfile.open(archive, mode, format=form) as tar:
        for name in ("walker_walk", "walker_walk/train_eps"):
            tar.addfile(info(name, tarfile.DIRTYPE))
        for name, content in {**files(), "walker_walk/README.txt": b"hello", "walker_walk/._junk.npz": b"x"}.items():
            tar.addfile(info(name, size=len(content)), io.BytesIO(content))
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "by_hand", filter="data")
    (tmp_path / "by_hand/walker_walk/._junk.npz").unlink()
    found = Videos(archive, length=5, cache=tmp_path / "cache")
    assert (found.episodes, found.rows, found.skipped, found.image_shape) == (3, sum(ROWS), [], (8, 8, 3))
    np.testing.assert_array_equal(found.episode(1)["image"], released(1, ROWS[1])["image"])
    for place in ("by_hand", "by_hand/walker_walk", "by_hand/walker_walk/train_eps"):
        other = Videos(tmp_path / place, length=5)
        assert (other.hash, other.rows) == (found.hash, found.rows)
        one, two = (clips.sample(np.random.default_rng(0), 4) for clips in (found, other))
        np.testing.assert_array_equal(one["image"], two["image"])


def test_a_second_run_takes_up_what_is_unpacked(tmp_path, monkeypatch):
    archive = write(tmp_path / "a.tar.xz", files())
    first, seen = unpack(archive, tmp_path / "cache"), []
    monkeypatch.setattr(archives, "_unpack", lambda *args: seen.append(args))
    assert unpack(archive, tmp_path / "cache") == first
    assert not seen


@pytest.mark.parametrize("harm", ["cut", "gone", "no index"])
def test_what_a_power_cut_left_is_unpacked_anew(tmp_path, harm):
    archive = write(tmp_path / "a.tar.xz", files())
    folder = unpack(archive, tmp_path / "cache")
    victim = next(folder.rglob("*.npz")) if harm != "no index" else folder / archives.INDEX
    os.truncate(victim, 0) if harm == "cut" else victim.unlink()
    before = Videos(archive, length=4, cache=tmp_path / "cache")
    assert (before.episodes, before.skipped) == (3, [])


def test_a_killed_run_leaves_nothing_that_stays(tmp_path):
    archive, cache = write(tmp_path / "a.tar.xz", files()), tmp_path / "cache"
    code = (
        "import os, signal; from pathlib import Path; from diswm.data.archives import unpack; "
        f"unpack(Path({str(archive)!r}), Path({str(cache)!r}), lambda done, total: os.kill(os.getpid(), signal.SIGKILL))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert [name for name in below(cache) if name.endswith(".npz")], "it was in the middle"
    assert Videos(archive, length=4, cache=cache).episodes == 3
    assert not [name for name in below(cache) if ".tmp" in name]


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def stopped(*args):
        raise KeyboardInterrupt

    archive = write(tmp_path / "a.tar.xz", files())
    with pytest.raises(KeyboardInterrupt):
        Videos(archive, length=4, cache=tmp_path / "cache", on_unpack=stopped)
    assert below(tmp_path) == ["a.tar.xz"]


def test_a_changed_archive_is_another(tmp_path):
    archive = write(tmp_path / "a.tar.xz", files())
    first = unpack(archive, tmp_path / "cache")
    write(archive, dict(list(files().items())[:2]))
    assert unpack(archive, tmp_path / "cache") != first
    assert Videos(archive, length=4, cache=tmp_path / "cache").episodes == 2


def test_progress_counts_the_bytes_of_the_archive(tmp_path):
    archive, seen = write(tmp_path / "a.tar", files(), "w"), []
    unpack(archive, tmp_path / "cache", lambda done, total: seen.append((done, total)))
    assert [total for _, total in seen] == [archive.stat().st_size] * 3
    assert sorted(seen) == seen
    assert 0 < seen[0][0] <= seen[-1][0] <= seen[0][1]


def test_streams_of_xz_that_follow_each_other(tmp_path):
    plain = write(tmp_path / "plain.tar", files(), "w").read_bytes()
    half = len(plain) // 2
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress(plain[:half]) + b"\0" * 8 + lzma.compress(plain[half:]))
    assert Videos(tmp_path / "a.tar.xz", length=4, cache=tmp_path / "cache").episodes == 3


def test_damaged_episodes_are_left_out_by_name(tmp_path):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("image.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 64, 64, 3)})
        member.write(bytes(1 << 20))
    pickled = npz({"image": np.array([{"a": 1}] * 5, object)})
    bad = {"d/bomb.npz": bomb.getvalue(), "d/pickled.npz": pickled, "d/cut.npz": npz(released(0, 7))[:200], "d/empty.npz": b""}
    path = write(tmp_path / "a.tar.xz", {**files("d"), **bad})
    with pytest.warns(UserWarning, match="left out 4 video file"):
        found = Videos(path, length=4, cache=tmp_path / "cache")
    reasons = {os.path.basename(name): reason for name, reason in found.skipped}
    assert found.episodes == 3
    assert reasons.keys() == {"bomb.npz", "pickled.npz", "cut.npz", "empty.npz"}
    assert "more than the limit" in reasons["bomb.npz"]
    assert "pickled objects" in reasons["pickled.npz"]


@pytest.mark.parametrize("ram_bytes", [1 << 20, 0])
def test_what_holds_only_damaged_episodes_leaves_nothing_unpacked(tmp_path, ram_bytes):
    good = write(tmp_path / "good.tar.xz", files())
    kept = Videos(good, length=4, cache=tmp_path / "cache").folders[0]
    whole = npz(released(0, 7))
    harmed = whole[:200] + bytes(byte ^ 255 for byte in whole[200:400]) + whole[400:]  # its header is still good
    for name, content in {"harmed": harmed, "cut": whole[:200], "pickled": npz({"image": np.array([{"a": 1}] * 5, object)})}.items():
        bad = write(tmp_path / f"{name}.tar.xz", {"d/train_eps/one.npz": content})
        with pytest.raises(DiswmError, match=r"None of 1 files can be used\. The first: "):
            Videos(bad, length=4, cache=tmp_path / "cache", ram_bytes=ram_bytes)
    unpacked = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert len(unpacked) == 1
    assert unpacked[0] in kept.parents, "and what is good stays"


# ---- what is not


@pytest.mark.parametrize("name", ["../out.npz", "/tmp/out.npz", "a/../../out.npz", "a\nb.npz", "/".join("abcdefghij") + ".npz"])
def test_paths_that_lead_elsewhere(tmp_path, name):
    path = write(tmp_path / "a.tar.xz", [(info(name, size=3), b"abc"), *files().items()])
    refused(path, tmp_path / "cache", "leads elsewhere")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE])
def test_links_and_devices(tmp_path, kind):
    member = (info("walker_walk/train_eps/x.npz", kind, link="/etc/passwd"), b"")
    path = write(tmp_path / "a.tar.xz", [*files().items(), member])
    if kind == tarfile.CONTTYPE:  # an old name for a regular file
        assert unpack(path, tmp_path / "cache").is_dir()
    else:
        refused(path, tmp_path / "cache", "a link, a device")


def test_a_link_as_a_folder_leads_nowhere(tmp_path):
    (tmp_path / "outside").mkdir()
    path = write(tmp_path / "a.tar", [(info("d", tarfile.SYMTYPE, link=str(tmp_path / "outside")), b""), ("d/x.npz", b"abc")], "w")
    refused(path, tmp_path / "cache", "a link, a device")
    assert below(tmp_path / "outside") == []


@pytest.mark.parametrize("names", [("a.npz", "a.npz"), ("a.npz", "a.npz/b.npz")])
def test_names_that_are_there_twice(tmp_path, names):
    refused(write(tmp_path / "a.tar", [(name, b"abc") for name in names], "w"), tmp_path / "cache", "is there twice")


@pytest.mark.parametrize(
    ("bound", "value", "words"),
    [
        ("MAX_MEMBER", 100, "more than the limit of 100 bytes"),
        ("MAX_MEMBERS", 2, "more than 2 members"),
        ("MAX_TOTAL", 2000, "more than 1.95 KiB, the limit"),
    ],
)
def test_bounds(tmp_path, monkeypatch, bound, value, words):
    monkeypatch.setattr(archives, bound, value)
    refused(write(tmp_path / "a.tar.xz", files()), tmp_path / "cache", words)


def test_a_small_archive_may_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_SMALL", 1 << 16)
    refused(write(tmp_path / "a.tar.xz", {"d/a.npz": bytes(1 << 20)}), tmp_path / "cache", "more than 64 KiB, the limit")


def test_headers_that_never_end(tmp_path):
    long = tarfile.TarInfo("d/a.npz")
    long.pax_headers = {"comment": "x" * (3 << 20)}
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(long)
    refused(tmp_path / "a.tar.xz", tmp_path / "cache", "of headers in a row")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_of_headers_without_end(tmp_path, kind):
    block = info("long", kind, size=4).tobuf(tarfile.GNU_FORMAT) + b"4 a\n".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(block * 400 + info("d/a.npz").tobuf() + bytes(1024))
    refused(tmp_path / "a.tar", tmp_path / "cache", "cannot be unpacked")


def test_a_name_that_no_file_system_takes(tmp_path):
    path = write(tmp_path / "a.tar.xz", {**files(), f"d/{'ü' * 130}.npz": b"abc"})  # 130 letters of two bytes
    refused(path, tmp_path / "cache", "is longer than 255 bytes")


def test_a_dictionary_larger_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "XZ_MEMORY", 1 << 20)
    refused(write(tmp_path / "a.tar.xz", files()), tmp_path / "cache", "emory")


def sparse(path):
    """A member of a gigabyte that is all holes, as GNU tar writes it."""
    member = info("d/a.npz", tarfile.GNUTYPE_SPARSE)
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[386:398], block[398:410], block[483:495] = b"00000000000\0", b"00000000000\0", b"07777777777\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(1024))
    return path


def test_holes(tmp_path):
    refused(sparse(tmp_path / "a.tar"), tmp_path / "cache", "special file")


def cut(data, part):
    return data[: int(len(data) * part)]


@pytest.mark.parametrize(("suffix", "mode"), [("tar.xz", "w:xz"), ("tar.gz", "w:gz"), ("tar", "w")])
@pytest.mark.parametrize("part", [0.01, 0.2, 0.45])
def test_truncated_archives(tmp_path, suffix, mode, part):
    path = write(tmp_path / f"a.{suffix}", files(), mode)
    path.write_bytes(cut(path.read_bytes(), part))
    headless = suffix == "tar" and part == 0.01
    refused(path, tmp_path / "cache", "no .tar, .tar.gz or .tar.xz" if headless else "cannot be unpacked")


@pytest.mark.parametrize(("suffix", "mode"), [("tar.xz", "w:xz"), ("tar.gz", "w:gz")])
@pytest.mark.parametrize("lost", [1, 10])
def test_archives_that_lack_their_last_bytes(tmp_path, suffix, mode, lost):
    """All episodes are there, but not what the compressor checks them by."""
    path = write(tmp_path / f"a.{suffix}", files(), mode)
    os.truncate(path, path.stat().st_size - lost)
    refused(path, tmp_path / "cache", "cannot be unpacked")


def test_an_archive_cut_between_two_members(tmp_path):
    path = write(tmp_path / "a.tar", files(), "w")
    with tarfile.open(path) as tar:
        second = tar.getmembers()[1].offset
    os.truncate(path, second)
    refused(path, tmp_path / "cache", "ends in the middle")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\xfd7zXZ\0 garbage", b"\x1f\x8b garbage", bytes(2048), lzma.compress(b"x" * 9)])
def test_files_that_are_no_archives(tmp_path, content):
    (tmp_path / "a.tar.xz").write_bytes(content)
    refused(tmp_path / "a.tar.xz", tmp_path / "cache", "a.tar.xz: ")


def test_flipped_bits_are_refused_in_words_whatever_they_hit(tmp_path):
    whole = write(tmp_path / "a.tar", files(), "w").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 8):
            data[at % 1024 if rng.random() < 0.5 else at] ^= 1 << rng.integers(8)
        for packed in (bytes(data), gzip.compress(bytes(data), 1)):
            (tmp_path / "a.tar").write_bytes(packed)
            with contextlib.suppress(DiswmError):  # anything else fails the test
                unpack(tmp_path / "a.tar", tmp_path / "cache")


def test_archives_without_episodes_and_with_several_data_sets(tmp_path):
    refused(write(tmp_path / "a.tar.xz", {"README.txt": b"hello"}), tmp_path / "cache", "holds no .npz files")
    path = write(tmp_path / "b.tar.xz", {**files("a/train_eps"), **files("b/train_eps")})
    with pytest.raises(DiswmError, match=r"several data sets \(a, b\)"):
        data_folder(path, tmp_path / "cache")


def test_files_need_a_cache_and_an_archive(tmp_path):
    path = write(tmp_path / "a.tar.xz", files())
    with pytest.raises(DiswmError, match="Name a cache folder"):
        Videos(path, length=4)
    (tmp_path / "x.npz").write_bytes(npz(released(0, 5)))
    with pytest.raises(DiswmError, match="single episode"):
        Videos(tmp_path / "x.npz", length=4, cache=tmp_path / "cache")
    with pytest.raises(DiswmError, match="there is no such file or folder"):
        Videos(tmp_path / "nowhere.tar.xz", length=4, cache=tmp_path / "cache")


# ---- disks


def test_a_disk_that_is_too_full_is_said_before(tmp_path, monkeypatch):
    monkeypatch.setattr("diswm.data.disk.free_bytes", lambda folder: 10)
    refused(write(tmp_path / "a.tar.xz", files()), tmp_path / "cache", "where 10 bytes (10 bytes) are free")


def test_a_disk_that_fills_up(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write(tmp_path / "a.tar.xz", files())
    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(DiswmError, match="The disk is full"):
        unpack(path, tmp_path / "cache")
    assert below(tmp_path) == ["a.tar.xz"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_may_not_be_written(tmp_path):
    path = write(tmp_path / "a.tar.xz", files())
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(DiswmError, match="Cannot write"):
        unpack(path, tmp_path / "cache")
