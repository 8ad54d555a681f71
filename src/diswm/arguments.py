"""What the small verbs take; their docstrings are the texts of ``--help``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal


@dataclasses.dataclass(frozen=True)
class EvaluateArgs:
    """Evaluate a trained agent on seen and unseen colours and against random actions."""

    run: Annotated[Path, "positional"]
    """Folder of a run of `diswm train`."""
    matrix: bool = False
    """Against every distraction at every strength instead: matrix.json, .csv, .md and a heat map. Stopped, it goes on."""
    rows: tuple[str, ...] = ()
    """With --matrix: rows to play, beside those of an earlier call. `all` (taken unless given), a kind (none, colour, camera,
    background, light, texture, together), the name of a row in the table, or distractions of your own, joined by +, at all
    strengths where they say {level}: background:video,dynamic,folder=FILMS; colour:set2+camera:{level}."""
    episodes: int = 10
    """Episodes per colour set, or per distraction and strength."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out: Path | None = None
    """Where evaluation.json and the films go; the run's own folder unless given."""


@dataclasses.dataclass(frozen=True)
class FactorsArgs:
    """Draw a set of labelled frames in which every factor is independent: pose, places, colours, camera. Nothing is stepped.

    What a picture does not show is fixed, and the manifest says why. `diswm metrics` scores codes on such a set.
    """

    task: Annotated[str, "positional"]
    """toy, a task of the dm_control suite, pusher, drawer_open or drawer_close."""
    n: int = 5_000
    """Frames."""
    out: Path | None = None
    """Folder to write, factors/<task> unless given. It must not be there yet."""
    seed: int = 0
    """Everything that is drawn follows from it: the same seed, the same bytes."""
    distract: tuple[str, ...] = ()
    """Whose factors are drawn too: colour:set2, camera:easy, light:medium, texture:all. Unless given colour:set1, in DrawerWorld
    texture:all; none leaves the scene as it is."""
    renderer: Literal["auto", "gl", "warp"] = "auto"
    """As the data of the runs to be scored was drawn."""


@dataclasses.dataclass(frozen=True)
class MetricsArgs:
    """Score the code of a run against true factors: metrics.json, .csv and .md, which its report shows.

    All scores on frames with independent factors; on the run's own frames, apart, linear probes. Needs the extra `metrics`.
    """

    run: Annotated[Path, "positional"]
    """Folder of a run of `diswm pretrain` or `diswm train`."""
    factors: Path | None = None
    """Folder of `diswm factors`, of the same world. Unless given the run's own, <run>/factors, drawn if it is not there."""
    n: int = 5_000
    """Frames to score on, at most, and to draw."""
    on_policy: bool = True
    """Also probe the run's own frames: its agent at work, or its videos."""
    reps: int = 20
    """Resamples for the intervals; 0: none. The time grows with it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out: Path | None = None
    """Where metrics.json goes; the run's own folder unless given."""


@dataclasses.dataclass(frozen=True)
class TraverseArgs:
    """Decode what each dimension of a run's code changes."""

    run: Annotated[Path, "positional"]
    """Folder of a run of `diswm pretrain` or `diswm train`."""
    videos: Path | None = None
    """Take frames from this folder or archive of videos instead of the run's own data."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


@dataclasses.dataclass(frozen=True)
class ReportArgs:
    """Write the page of a run, or of several held against each other (report.html, self-contained), and its summary.json."""

    runs: Annotated[tuple[Path, ...], "positional"]
    """Folders of runs of `diswm train` or `diswm pretrain`, or folders that hold such. Several are grouped by what differs in their
    settings."""
    out: Path | None = None
    """An .html file or a folder; unless given the run's own folder, or the one that holds all that was named, where a page about other
    runs is not written over."""
    title: str | None = None
    """Heading of the page."""
    baseline: str | None = None
    """Of several runs: the group that the others are compared with, the first one unless given."""


@dataclasses.dataclass(frozen=True)
class ExploreArgs:
    """Write a page to play with a run's code (explore.html, self-contained), and open it. A second run is shown beside it."""

    run: Annotated[Path, "positional"]
    """Folder of a run of `diswm train` or `diswm pretrain`."""
    other: Annotated[Path | None, "positional"] = None
    """Folder of a second run."""
    out: Path | None = None
    """An .html file or a folder; the run's own folder unless given."""
    videos: Path | None = None
    """Take frames from this folder or archive of videos instead of the run's own data."""
    show: bool = True
    """Open the page where there is a screen; --no-show only writes it."""


@dataclasses.dataclass(frozen=True)
class GalleryArgs:
    """Write a page (gallery.html, self-contained) with every world under every distraction, and the same states by each renderer.

    Takes about 5 s a world on a free core, more where OpenGL draws. What cannot be made here is shown with the reason; where it was asked
    for by name, the exit status is 1.
    """

    tasks: tuple[str, ...] = ()
    """Worlds; one of each kind unless given, `all` for every task of every suite."""
    out: Path = Path("gallery")
    """An .html file or a folder; an .md file gets one frame each, at one strength, as PNG files beside it."""
    seed: int = 0
    """Everything that is drawn follows from it."""
    frames: int = 4
    """Frames of each world under each distraction."""


@dataclasses.dataclass(frozen=True)
class ImportArgs:
    """Turn the weights of the authors' release into a run: a video model, with actor.pt an agent. Either serves as --teacher.

    Needs encoder.pt, decoder.pt and rssm.pt; takes teacher_encoder.pt, reward.pt, actor.pt and value.pt where they are there.
    The shapes decide all sizes.
    """

    folder: Annotated[Path, "positional"]
    """Folder with the .pt files, plain state dicts."""
    out: Path | None = None
    """Run folder to write, runs/<name of the folder> unless given. It must not be there yet."""
    task: str | None = None
    """Task of the agent, for `diswm evaluate`; the files do not say it."""


@dataclasses.dataclass(frozen=True)
class ExportArgs:
    """Write a run's weights as the authors' release has them: encoder.pt, decoder.pt, rssm.pt; of an agent also its heads.

    An agent also gives reward.pt, actor.pt, value.pt and, where its teacher is still there, teacher_encoder.pt.
    """

    run: Annotated[Path, "positional"]
    """Folder of a run of `diswm pretrain`, `diswm train` or `diswm import-checkpoint`."""
    out: Path | None = None
    """Folder to write, <run>/export unless given. It must not be there yet."""


@dataclasses.dataclass(frozen=True)
class OnnxArgs:
    """Write a run for use without diswm: ONNX graphs, safetensors, its settings and a model card. Needs the extra `export`."""

    run: Annotated[Path, "positional"]
    """Folder of a run of `diswm train` or `diswm pretrain`."""
    out: Path | None = None
    """Folder to write, <run>/onnx unless given. It must not be there yet."""


@dataclasses.dataclass(frozen=True)
class PushArgs:
    """Export a run to a model hub, whence diswm.load("hub:user/name") takes it. Needs the extras `export` and `hub`."""

    run: Annotated[Path, "positional"]
    """Folder of a run of `diswm train` or `diswm pretrain`."""
    repo_id: Annotated[str, "positional"]
    """user/name; it is made if it is not there yet."""
    private: bool = False
    """Make it for yourself alone."""


@dataclasses.dataclass(frozen=True)
class DemoArgs:
    """Collect, pretrain, distil, finetune, evaluate, report: the whole job, small. Stopped, the same command goes on."""

    out: Path = Path("runs/demo")
    """Folder of the demo."""
    seed: int = 0
    """Everything that is drawn follows from it."""
    tiny: bool = False
    """A minute instead of ten: only shows that everything runs, learns nothing."""


@dataclasses.dataclass(frozen=True)
class BenchArgs:
    """Time an update and what surrounds it, and compare it with what this machine can give; about a minute with the preset `cpu`."""

    preset: Literal["paper", "cpu", "demo", "tiny"] = "cpu"
    """Whose sizes."""
    method: str = "diswm"
    """diswm, paper, no_distill, no_disentangle, dreamerv2, dv2_finetune."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """CPU threads for PyTorch; 0: one per core."""
    json: bool = False
    """Print one JSON object in place of the table."""


@dataclasses.dataclass(frozen=True)
class DoctorArgs:
    """Look at versions, renderers, devices, disk and memory, and say what mends each problem."""

    preset: Literal["paper", "cpu", "demo"] = "cpu"
    """Whose replay must fit on the disk."""
    out: Path = Path("runs")
    """Where runs would go."""


@dataclasses.dataclass(frozen=True)
class DataInfoArgs:
    """Say what a file or folder of videos is: clips, frames, sizes, rates, cameras, factors, what cannot be used and why.

    By headers, checksums and the hashes of our own manifests; nothing is decoded or written. Exits with 1 where a data set is damaged.
    """

    path: Annotated[Path, "positional"]
    """Video files, folders of frames, HDF5, LeRobot v3, Minari, .npz episodes, or an archive of such."""


@dataclasses.dataclass(frozen=True)
class DataConvertArgs:
    """Decode videos of any kind, once, into one data set for `diswm pretrain --videos`."""

    sources: Annotated[tuple[Path, ...], "positional"]
    """Files and folders of videos; several become one data set."""
    out: Path
    """Folder to write. It must not be there yet, unless as the result of the same conversion (which is made anew where it is damaged)."""
    size: int = 64
    """Height and width of the frames; the presets learn from 64."""
    fit: Literal["crop", "letterbox", "stretch"] = "crop"
    """Keep the centred square, or all with black bars, or all out of proportion."""
    fps: float | None = None
    """Leave out frames of films that have more a second; all are kept unless given."""
    camera: str | None = None
    """Take the clips of this camera alone (`diswm data info` names them); of films and frames those in a folder or file of this name."""


@dataclasses.dataclass(frozen=True)
class DataPreviewArgs:
    """Draw a few clips as a conversion would show them: .png a row of frames each, .gif moving."""

    path: Annotated[Path, "positional"]
    """What `diswm data info` takes."""
    out: Path = Path("preview.png")
    """File to write, .png or .gif."""
    size: int = 64
    """Height and width of the frames."""
    fit: Literal["crop", "letterbox", "stretch"] = "crop"
    """Keep the centred square, or all with black bars, or all out of proportion."""
    fps: float | None = None
    """Of a .gif: leave out frames of films that have more a second."""
    camera: str | None = None
    """Show the clips of this camera alone."""
