"""Curves for TensorBoard, written in this thread: PyTorch's writer has one of its own, which a full disk ends with a traceback."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


class Curves:
    """One file of events in ``folder``. Of earlier ones what lies at ``begin`` or beyond counts no more: it comes again.

    Raises OSError where the disk is full.
    """

    def __init__(self, folder: Path, begin: int) -> None:
        folder.mkdir(exist_ok=True)
        number = len(list(folder.iterdir()))  # TensorBoard reads them by name: two of one second keep their order
        self._file = (folder / f"events.out.tfevents.{int(time.time()):010d}.{number:04d}").open("ab", buffering=0)
        self._records = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        self._add(step=begin, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def _add(self, **fields: object) -> None:
        self._records.write(event_pb2.Event(wall_time=time.time(), **fields).SerializeToString())

    def add(self, numbers: Mapping[str, float], step: int) -> None:
        """A point on each of these curves."""
        values = [summary_pb2.Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._add(step=step, summary=summary_pb2.Summary(value=values))

    def close(self) -> None:
        """Close the file. Everything is written already."""
        self._file.close()
