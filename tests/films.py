"""Videos whose every frame is known, written in the formats that the readers open."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from diswm.contract import Array
from diswm.data.readers import Clip, open_source


def frames(count: int, first: int = 0, height: int = 32, width: int = 32) -> Array:
    """(count, height, width, 3): grey of 5 a frame, with the left quarter white; number ``first`` on. 5 is more than codecs err."""
    level = (first + np.arange(count)) * 5 % 200
    out = np.broadcast_to(level[:, None, None, None], (count, height, width, 3)).astype(np.uint8)
    out[:, :, : width // 4] = 255
    return out


def numbers(images: Any) -> list[int]:
    """Which frames these are, by the grey of their right halves."""
    return [round(float(np.asarray(image)[:, -(-np.asarray(image).shape[1] // 2) :].mean()) / 5) for image in images]


def movie(path: Path, images: Array, fps: int = 10, codec: str = "libx264", gop: int = 5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, fps)
        if codec == "libx264":
            stream.options = {"crf": "5", "preset": "ultrafast"}
        else:
            stream.bit_rate = 4_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def stills(folder: Path, images: Array, pattern: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / pattern.format(index))
    return folder


def encoded(image: Array, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def hdf5(path: Path, sets: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in sets.items():
            file.create_dataset(name, data=value, **options)
    return path


TOP, WRIST = "observation.images.top", "observation.images.wrist"


def lerobot(folder: Path, lengths: tuple[int, ...] = (7, 4, 6), per_file: int = 2, fps: int = 10, wrist: str = "video") -> Path:
    """LeRobot v3: ``per_file`` episodes in each video file. Episode e of camera c begins at frame 10 e, plus 5 of the wrist."""
    feature = {"shape": [32, 32, 3], "names": ["height", "width", "channels"]}
    info = {
        "codebase_version": "v3.0",
        "fps": fps,
        "total_episodes": len(lengths),
        "total_frames": sum(lengths),
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "features": {
            TOP: {"dtype": "video", **feature},
            WRIST: {"dtype": wrist, **feature},
            "action": {"dtype": "float32", "shape": [2]},
        },
    }
    (folder / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    rows: list[dict[str, Any]] = []
    table: dict[str, list[Any]] = {"episode_index": [], "frame_index": [], WRIST: []}
    for number, length in enumerate(lengths):
        before = sum(lengths[number // per_file * per_file : number])
        row = {"episode_index": number, "length": length, "data/chunk_index": 0, "data/file_index": 0, "stats/action/min": [0.0]}
        for camera in (TOP, WRIST):
            row |= {f"videos/{camera}/chunk_index": 0, f"videos/{camera}/file_index": number // per_file}
            row |= {f"videos/{camera}/from_timestamp": before / fps, f"videos/{camera}/to_timestamp": (before + length) / fps}
        rows.append(row)
        table["episode_index"] += [number] * length
        table["frame_index"] += range(length)
        table[WRIST] += [{"bytes": encoded(image), "path": None} for image in frames(length, 10 * number + 5)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    (folder / "data" / "chunk-000").mkdir(parents=True)
    if wrist == "image":
        pq.write_table(pa.table(table), folder / "data" / "chunk-000" / "file-000.parquet", row_group_size=4)
    for offset, camera in ((0, TOP), (5, WRIST)):
        for file in range(-(-len(lengths) // per_file)) if camera == TOP or wrist == "video" else ():
            inside = range(file * per_file, min((file + 1) * per_file, len(lengths)))
            images = np.concatenate([frames(lengths[n], 10 * n + offset) for n in inside])
            movie(folder / "videos" / camera / "chunk-000" / f"file-{file:03d}.mp4", images, fps)
    return folder


def box(shape: tuple[int, ...], dtype: str = "uint8") -> dict[str, Any]:
    return {"type": "Box", "dtype": dtype, "shape": list(shape), "low": 0, "high": 255}


def minari(folder: Path, kind: str, jpeg: bool, lengths: tuple[int, ...] = (5, 3), shape: tuple[int, ...] = (32, 32, 3)) -> Path:
    """Minari: a dictionary of a picture ``pixels`` and a vector; episode e begins at frame 10 e."""
    space = {"type": "Dict", "subspaces": {"pixels": box(shape), "state": box((4,), "float32")}}
    data = folder / "data"
    data.mkdir(parents=True)
    facts = {"data_format": kind, "jpeg_encoding": jpeg, "observation_space": json.dumps(space), "total_episodes": len(lengths)}
    (data / "metadata.json").write_text(json.dumps(facts))
    episodes = [frames(length, 10 * number) for number, length in enumerate(lengths)]
    if kind == "arrow":
        for number, images in enumerate(episodes):
            _arrow(data / str(number) / "part-0.arrow", images, jpeg)
        return folder
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for number, images in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            coded = [np.frombuffer(encoded(image, "JPEG"), np.uint8) for image in images]
            if jpeg and len({len(one) for one in coded}) == 1:
                group.create_dataset("observations/pixels", data=np.stack(coded))
            elif jpeg:
                column = group.create_dataset("observations/pixels", (len(coded),), h5py.vlen_dtype(np.uint8))
                for index, one in enumerate(coded):
                    column[index] = one
            else:
                group.create_dataset("observations/pixels", data=images)
            group["observations/state"] = np.zeros((len(images), 4), np.float32)
            group["infos/pixels"] = images
            group["terminations"] = np.zeros(len(images) - 1, bool)
    return folder


def _arrow(path: Path, images: Array, jpeg: bool) -> None:
    path.parent.mkdir()
    raw = pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), images[0].size)
    pixels = pa.array([encoded(image, "JPEG") for image in images]) if jpeg else raw
    state = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4 * len(images), np.float32)), 4)
    batch = pa.RecordBatch.from_pydict({"observations": pa.StructArray.from_arrays([pixels, state], ["pixels", "state"])})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def opened(path: Path) -> dict[str, list[int]]:
    """Name of each clip -> numbers of its frames."""
    return {clip.name: numbers(clip.frames(lambda index: True)) for clip in open_source(path).clips}


def only(path: Path) -> Clip:
    """The one clip of a source."""
    (clip,) = open_source(path).clips
    return clip
