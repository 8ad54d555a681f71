"""LeRobot v3: the frames of each episode out of shared files, and words for what is missing or hostile."""

import json
import sys

import films
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from films import TOP, WRIST

from diswm.contract import DiswmError
from diswm.data.readers import lerobot, open_source

# Episodes of 7, 4 and 6 frames, the first two in one file; they begin at 0, 10 and 20, those of the wrist 5 later.
EXPECTED = {
    (0, TOP): list(range(0, 7)),
    (1, TOP): list(range(10, 14)),
    (2, TOP): list(range(20, 26)),
    (0, WRIST): list(range(5, 12)),
    (1, WRIST): list(range(15, 19)),
    (2, WRIST): list(range(25, 31)),
}


def change(folder, **settings):
    path = folder / "meta" / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def rewrite(folder, edit):
    path = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        edit(row)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("wrist", ["video", "image"])
@pytest.mark.parametrize("fps", [10, 30])
def test_the_frames_of_each_episode_and_camera(tmp_path, wrist, fps):
    films.lerobot(tmp_path / "l", wrist=wrist, fps=fps)
    assert films.opened(tmp_path / "l") == {f"episode {number}, {camera}": found for (number, camera), found in EXPECTED.items()}
    source = open_source(tmp_path / "l")
    assert source.kind == "LeRobot v3.0"
    assert [clip.camera for clip in source.clips] == [TOP] * 3 + [WRIST] * 3
    assert [(clip.head().frames, clip.head().size, clip.head().fps) for clip in source.clips[:2]] == [
        (7, (32, 32), fps),
        (4, (32, 32), fps),
    ]


def test_of_a_table_of_pictures_only_the_groups_with_the_episode_are_read(tmp_path):
    path = films.lerobot(tmp_path, wrist="image") / "data" / "chunk-000" / "file-000.parquet"
    with pq.ParquetFile(path) as table:  # 17 rows in groups of 4; episode 1 has rows 7 to 10
        assert [lerobot._groups(table, number) for number in (0, 1, 2, 3)] == [[0, 1], [1, 2], [2, 3, 4], []]


def test_a_missing_or_short_file_costs_its_episodes_alone(tmp_path):
    films.lerobot(tmp_path)
    (tmp_path / "videos" / TOP / "chunk-000" / "file-001.mp4").unlink()
    films.movie(tmp_path / "videos" / WRIST / "chunk-000" / "file-001.mp4", films.frames(4, 25))
    bad = {}
    for clip in open_source(tmp_path).clips:
        try:
            assert films.numbers(clip.frames(lambda index: True)) == EXPECTED[int(clip.name.split()[1][0]), clip.camera]
        except DiswmError as error:
            bad[clip.name] = str(error)
    assert bad.keys() == {f"episode 2, {TOP}", f"episode 2, {WRIST}"}
    assert "there is no file" in bad[f"episode 2, {TOP}"]
    assert bad[f"episode 2, {WRIST}"] == "has 4 of its 6 frames in file-001.mp4"


def test_missing_parts_and_other_versions_are_refused(tmp_path):
    films.lerobot(tmp_path / "a")
    (tmp_path / "a" / "meta" / "info.json").unlink()
    with pytest.raises(DiswmError, match=r"has no meta/info\.json"):
        open_source(tmp_path / "a")
    films.lerobot(tmp_path / "b")
    next((tmp_path / "b" / "meta" / "episodes").rglob("*.parquet")).unlink()
    with pytest.raises(DiswmError, match=r"has no meta/episodes/\*\.parquet"):
        open_source(tmp_path / "b")
    films.lerobot(tmp_path / "c")
    next((tmp_path / "c" / "meta" / "episodes").rglob("*.parquet")).write_bytes(b"PAR1 cut")
    with pytest.raises(DiswmError, match="Fetch the data set again"):
        open_source(tmp_path / "c")
    films.lerobot(tmp_path / "d")
    for settings, words in [
        ({"codebase_version": "v2.1"}, "of version v2.1, read is v3"),
        ({"fps": 0}, "its fps is 0"),
        ({"features": [1]}, "no table of features"),
        ({"features": {"action": {"dtype": "float32"}}}, r"has no camera, only action \(float32\)"),
    ]:
        before = (tmp_path / "d" / "meta" / "info.json").read_text()
        change(tmp_path / "d", **settings)
        with pytest.raises(DiswmError, match=words):
            open_source(tmp_path / "d")
        (tmp_path / "d" / "meta" / "info.json").write_text(before)
    (tmp_path / "d" / "meta" / "info.json").write_text("{")
    with pytest.raises(DiswmError, match=r"info\.json: cannot be read"):
        open_source(tmp_path / "d")


@pytest.mark.parametrize(
    "template",
    ["../{video_key}.mp4", "/etc/{chunk_index}", "{video_key.__class__}", "{chunk_index:0999999999d}", "{other}/x.mp4"],
)
def test_a_template_that_leads_elsewhere_is_refused(tmp_path, template):
    films.lerobot(tmp_path)
    change(tmp_path, video_path=template)
    with pytest.raises(DiswmError, match="leads elsewhere"):
        open_source(tmp_path)


def test_rows_that_find_no_frames_are_left_out_by_name(tmp_path):
    films.lerobot(tmp_path)

    def edit(row):
        if row["episode_index"] == 0:
            row["length"] = -1
        if row["episode_index"] == 1:
            row[f"videos/{TOP}/from_timestamp"] = float("nan")
            row[f"videos/{WRIST}/file_index"] = None

    rewrite(tmp_path, edit)
    source = open_source(tmp_path)
    assert [clip.name for clip in source.clips] == [f"episode 2, {TOP}", f"episode 2, {WRIST}"]
    assert {name: why.split(" has ")[1] for name, why in source.skipped} == {
        f"episode 0, {TOP}": "episode_index 0 and length -1",
        f"episode 0, {WRIST}": "episode_index 0 and length -1",
        f"episode 1, {TOP}": "from_timestamp nan",
        f"episode 1, {WRIST}": f"no videos/{WRIST}/file_index",
    }


def test_maps_of_depth_are_left_out(tmp_path):
    films.lerobot(tmp_path)
    features = json.loads((tmp_path / "meta" / "info.json").read_text())["features"]
    features[WRIST]["info"] = {"video.is_depth_map": True}
    change(tmp_path, features=features)
    source = open_source(tmp_path)
    assert {clip.camera for clip in source.clips} == {TOP}
    assert source.skipped == [(WRIST, "is a map of depth")]


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    films.lerobot(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DiswmError, match=r"pip install 'diswm\[readers\]'"):
        open_source(tmp_path)
