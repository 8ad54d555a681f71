"""onnxruntime-web, which runs the networks inside the page: the package as npm packs it, kept beside this Python.

It takes 33 MB, of which a page needs two files (4 MB once compressed); so it is fetched once and not a part of diswm.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

from diswm.contract import DiswmError

VERSION = "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
FOLDER = Path(sys.prefix) / "share" / "diswm"
_SCRIPT, _WASM = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"


class WebRuntime(NamedTuple):
    """The script, an ES module, and the WebAssembly that it starts (SIMD; one thread needs no special server)."""

    script: bytes
    wasm: bytes


def read_runtime(folder: Path | None = None) -> WebRuntime:
    """Both files. DiswmError, with the command that fetches them, where the package is missing or is another one."""
    folder = folder or FOLDER
    path = folder / f"onnxruntime-web-{VERSION}.tgz"
    fetch = f"Fetch it with npm (Node.js): mkdir -p '{folder}' && npm pack onnxruntime-web@{VERSION} --pack-destination '{folder}'"
    if not path.is_file():
        raise DiswmError(f"{path}: is not there. The page runs on it. {fetch}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise DiswmError(f"{path}: is not the package that was released under this version. Remove it. {fetch}")
    with tarfile.open(path) as archive:
        members = [archive.extractfile(name) for name in (_SCRIPT, _WASM)]
        script, wasm = (member.read() for member in members if member)
    return WebRuntime(script, wasm)
