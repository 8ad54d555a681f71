"""DrawerWorld against metaworld itself, stepped by hand; its rewards, textures and success."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.checks import check_unseen
from diswm.config import CollectRun, TrainRun, merge
from diswm.contract import DiswmError
from diswm.envs import ColourConfig, EnvConfig, patterns
from diswm.settings import configure

PLAIN = ColourConfig(colours="none")
TASKS = ("drawer_open", "drawer_close")


@pytest.fixture
def world() -> Any:
    """The module of DrawerWorld; skips where its simulator is not installed."""
    pytest.importorskip("metaworld", reason="metaworld is not installed")
    from diswm.envs import drawer

    return drawer


def make(task: str, *texts: str, **settings: Any) -> Any:
    return envs.make(envs.with_distractions(EnvConfig(task=task, **settings), texts or ["none"]), 0)


def on_every_table(task: str, *before: str, renderer: str = "auto") -> tuple[Any, dict[str, dict[str, float]]]:
    """An environment, to be reset with options for each texture: it takes longer to make one than to see through all."""
    texts = [*before, *(f"texture:{name}" for name in patterns.TABLES)]
    phases = (", ".join(f"{i / len(texts):.3f}:{text}" for i, text in enumerate(texts)),)
    env = envs.make(EnvConfig(task=task, renderer=renderer, distract=PLAIN, phases=phases), 0)  # type: ignore[arg-type]
    return env, {text.removeprefix("texture:"): {"progress": (i + 0.5) / len(texts)} for i, text in enumerate(texts)}


@pytest.fixture
def blind(world: Any, undrawn: Callable[[Any], None]) -> None:
    undrawn(world)


def by_hand(task: str, seed: int) -> Any:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    hand = ALL_V3_ENVIRONMENTS[task.replace("_", "-") + "-v3"]()
    hand._set_task_called = True
    child = np.random.SeedSequence(seed).spawn(2)[0]
    hand._last_rand_vec = np.array([np.random.default_rng(child).uniform(-0.1, 0.1), 0.9, 0.0])
    return hand


# ---- the tasks


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("task", TASKS)
def test_rewards_and_success_are_those_of_metaworld(task: str) -> None:
    env, hand = make(task, action_repeat=2), by_hand(task, seed=11)
    _, info = env.reset(seed=11)
    assert np.array_equal(info["state"], hand.reset()[0].astype(np.float32))
    assert "success" not in info, "an outcome of steps"
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 4)).astype(np.float32):
        _, reward, _, _, info = env.step(action)
        frames = [hand.step(action.astype(np.float64)) for _ in range(2)]
        assert reward == sum(float(frame[1]) for frame in frames)
        assert info["success"] is any(frame[4]["success"] > 0 for frame in frames)
        assert np.array_equal(info["state"], frames[-1][0].astype(np.float32))
    env.close()


def scripted(task: str) -> Any:
    """metaworld's own policy: what its observation asks for."""
    from metaworld import policies

    policy = {"drawer_open": policies.SawyerDrawerOpenV3Policy, "drawer_close": policies.SawyerDrawerCloseV3Policy}[task]()
    return lambda info: np.clip(policy.get_action(info["state"].astype(np.float64)), -1, 1).astype(np.float32)


@pytest.mark.usefixtures("blind")
@pytest.mark.filterwarnings("ignore:Constant:UserWarning")
@pytest.mark.parametrize("reward", ["v3", "v1"])
@pytest.mark.parametrize("task", TASKS)
def test_the_scripted_policies_succeed(task: str, reward: str) -> None:
    policy, env = scripted(task), make(task, drawer_reward=reward)
    places = []
    for seed in range(4):
        _, info = env.reset(seed=seed)
        places.append(float(info["factors"]["drawer"][0]))
        began, wins, over = float(info["factors"]["drawer"][1]), [], False
        while not over:
            _, _, terminated, over, info = env.step(policy(info))
            assert not terminated
            wins.append(info["success"])
        assert len(wins) == 100, "200 frames, two a step"
        assert any(wins)
        assert not wins[0]
        moved = float(info["factors"]["drawer"][1]) - began
        assert moved > 0.1 if task == "drawer_open" else moved < -0.08
    assert len(set(places)) == 4
    assert -0.1 <= min(places) < max(places) <= 0.1
    env.close()


@pytest.mark.usefixtures("world", "warp")
@pytest.mark.filterwarnings("ignore:Constant:UserWarning")
@pytest.mark.parametrize("task", TASKS)
def test_the_scripted_policies_succeed_on_every_texture(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of each episode the first picture is drawn and no other: the policy looks at none.
    policy, firsts, wins = scripted(task), {}, {}
    env, tables = on_every_table(task.replace("_", "/"))
    for texture, options in tables.items():
        for seed in range(2):
            image, info = env.reset(seed=seed, options=options)
            assert info["factors"]["texture"].tolist() == [patterns.TABLES.index(texture)]
            firsts[texture, seed], steps, over = image.astype(float), 0, False
            with monkeypatch.context() as undrawn:
                undrawn.setattr(env.scene, "draw", lambda image=image: image)
                while not over:
                    _, _, _, over, info = env.step(policy(info))
                    steps, over = steps + 1, over or info["success"]
            assert info["success"], (texture, seed)
            wins[texture, seed] = steps
    env.close()
    for seed in range(2):
        assert len({wins[texture, seed] for texture in patterns.TABLES}) == 1, "a texture is nothing but looks"
        for one, other in itertools.combinations(patterns.TABLES, 2):
            assert np.abs(firsts[one, seed] - firsts[other, seed]).mean() > 5, (one, other)


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize(("task", "most", "near"), [("drawer_open", 0.2, 0.08), ("drawer_close", 0.15, 0.06)])
def test_the_published_rewards_and_success(task: str, most: float, near: float) -> None:
    # -reach + [reach < 0.05] max(0, 1000 (most - d) + 1000 (exp(-d^2 / 0.01) + exp(-d^2 / 0.001))), by hand:
    # d 0.1, reach 0.02: 1000 (most - 0.1) + 1000 (e^-1 + e^-10) = 1000 most - 100 + 367.8794 + 0.0454;  at the goal: 1000 most + 2000;
    # d 0.5: 1000 (most - 0.5) < -300 and the exponentials e^-25 and less: nothing but -reach;  reach 0.06: too far, -reach.
    env = make(task, drawer_reward="v1", action_repeat=1)
    env.reset(seed=0)
    hand = env.scene.scene._env
    goal = hand._target_pos
    for distance, reach, expected in (
        (0.1, 0.02, 1000 * most + 267.9248 - 0.02),
        (0.0, 0.0, 1000 * most + 2000),
        (0.5, 0.01, -0.01),
        (0.1, 0.06, -0.06),
    ):
        observation = np.zeros(39)
        observation[4:7] = goal + np.array([0.0, distance, 0.0])
        for finger in ("rightEndEffector", "leftEndEffector"):
            hand.data.site(finger).xpos[:] = observation[4:7] + np.array([0.0, 0.0, reach])
        got = hand.compute_reward(np.zeros(4), observation)
        assert got[0] == pytest.approx(expected, abs=1e-3)
        assert got[3] == pytest.approx(distance), "what success is measured by"
    # The scene judges by the published distance: just within, and just beyond.
    reward_of = hand.step
    for distance, success in ((near - 1e-6, True), (near + 1e-6, False)):
        hand.step = lambda action, d=distance: (np.zeros(39), 1.5, False, False, {"success": 0.0, "obj_to_target": d})
        assert env.scene.step(np.zeros(4)).success is success
    hand.step = reward_of
    env.close()


@pytest.mark.usefixtures("blind")
def test_success_in_any_frame_of_a_step_is_success() -> None:
    env = make("drawer_open", action_repeat=3)
    env.reset(seed=0)
    hand = env.scene.scene._env
    told = iter([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    hand.step = lambda action: (np.zeros(39), 1.0, False, False, {"success": next(told), "obj_to_target": 1.0})
    still = np.zeros(4, np.float32)
    assert [env.step(still)[4]["success"] for _ in range(2)] == [True, False]
    env.close()


@pytest.mark.usefixtures("blind")
def test_an_episode_ends_by_time_alone() -> None:
    env = make("drawer_open", action_repeat=100, time_limit=10**6)
    env.reset(seed=0)
    ends = [env.step(np.zeros(4, np.float32))[2:4] for _ in range(2)]
    assert ends == [(False, False), (False, True)]
    env.close()


# ---- the table


def test_textures_are_seen_and_leave_the_task_alone(world: Any, renderer: str) -> None:
    action = np.random.default_rng(1).uniform(-1, 1, 4).astype(np.float32)
    pictures, states = {}, []
    env, tables = on_every_table("drawer_open", "none", renderer=renderer)
    for name, options in tables.items():
        env.reset(seed=3, options=options)
        image, _, _, _, info = env.step(action)
        if name != "none":
            assert info["factors"]["texture"].tolist() == [patterns.TABLES.index(name)]
        pictures[name] = image.astype(float)
        states.append(info["state"])
    for name in ("none", "metal"):  # another is printed now
        env.reset(seed=3, options=tables[name])
        assert np.array_equal(env.step(action)[0], pictures[name]), "a seed is a picture, bit for bit"
    env.close()
    assert all(np.array_equal(state, states[0]) for state in states)
    # The table is more than half of the picture; arm and drawer, at the left and at the right, stay.
    for one in pictures:
        for other in pictures:
            if one < other:
                assert np.abs(pictures[one] - pictures[other]).mean() > 5, (one, other)
    assert pictures["black"][2:20, 25:45].max() < 20
    assert pictures["marble"][2:20, 25:45].min() > 120
    blue = pictures["grid"][2:20, 25:45]
    assert (blue[..., 2] > blue[..., 1]).all()
    assert (blue[..., 1] > blue[..., 0]).all()


@pytest.mark.usefixtures("warp", "gl", "world")
def test_the_two_renderers_agree_on_what_is_where() -> None:
    names, pictures = ("grid", "metal", "marble"), []
    for renderer in ("gl", "warp"):
        env, tables = on_every_table("drawer_open", renderer=renderer)
        pictures.append([env.reset(seed=5, options=tables[name])[0].astype(float) for name in names])
        env.close()
    for one, other in zip(*pictures, strict=True):
        # 4 to 9 levels of 255 when written (hard edges, details of the texture); the other texture differs by 40.
        assert np.abs(one - other).mean() < 11
        assert one.mean() == pytest.approx(other.mean(), abs=6), "as bright: OpenGL clamps the light on a texture"
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95


@pytest.mark.usefixtures("gl", "world")
def test_opengls_picture_is_near_that_of_metaworlds_own_renderer() -> None:
    env = make("drawer_open", renderer="gl")
    image, _ = env.reset(seed=2)
    kept = env.scene.original()
    env.close()
    assert "shadow map 4096" in kept.by
    # 0.08 levels of 255 when written; a map of 512 texels over all of metaworld's square gives 0.25, no shadow in the picture 3.
    assert np.abs(image.astype(float) - kept.draw()).mean() < 0.1


@pytest.mark.usefixtures("warp", "world")
def test_meshes_come_as_they_are() -> None:
    # A mesh that is compiled anew is rounded, and one with symmetric axes may be turned: then its place would be another's.
    from diswm.envs.stage import stage

    env = make("drawer_open", renderer="warp")
    model = env.scene._model
    meshes = np.flatnonzero(model.geom_dataid >= 0)
    copy = stage(model, meshes, np.array([], int))
    assert np.array_equal(copy.mesh_vert, model.mesh_vert)
    assert np.array_equal(copy.mesh_face, model.mesh_face)
    assert np.array_equal(copy.geom_dataid, model.geom_dataid[meshes])
    env.close()


def test_it_looks_straight_down(world: Any, renderer: str) -> None:
    # The drawer at y 0.9 is at the right; one at positive x is lower: 64 pixels are 2 tan(22.5 deg) 0.96 = 0.795 m on the table.
    env = make("drawer_open", renderer=renderer)
    rows = []
    for seed in range(3):
        image, info = env.reset(seed=seed)
        green = (image[..., 1] > 1.3 * image[..., 0].astype(float)) & (image[..., 1] > 100)
        ys, _ = np.nonzero(green[:, 50:])
        assert len(ys) > 50
        rows.append((float(info["factors"]["drawer"][0]), ys.mean()))
    env.close()
    # It stands 0.17 m high, so that its lid is nearer to the camera: up to a fifth more than 64 / 0.795 = 80.5 pixels a metre.
    for place, row in rows:
        assert row == pytest.approx(31.5 + place * 80.5 * 1.1, abs=2)


def test_colours_of_drawer_and_table(world: Any, renderer: str) -> None:
    env = make("drawer_open", "colour:set1", "texture:black", renderer=renderer)
    _, info = env.reset(seed=0)
    assert {f"colour.{name}" for name in world.DrawerScene.materials} <= info["factors"].keys()
    model = env.scene._model
    before = env.scene.draw()
    env.scene.walk.values[2] = (1.0, 1.0, 0.0)
    after = env.scene.draw()
    assert model.material("drawer_beige").rgba[:3].tolist() == [1.0, 1.0, 0.0]
    changed = (before != after).any(axis=-1)
    assert changed[:, 45:].sum() > 100
    assert changed[:, :30].sum() == 0
    env.close()


def test_the_published_sets() -> None:
    assert patterns.TABLE_SETS == {"all": patterns.TABLES, "train": ("grid", "wood"), "test": ("metal",)}
    assert set(patterns.TABLES) == {"grid", "wood", "metal", "marble", "fabric", "blanket", "black"}
    assert not set(patterns.TABLES) & set(patterns.FLOORS), "a name says where it belongs"
    grid = patterns.table("grid", 300, 300)
    # Four fields in the two blues of dm_control's floor: (0.1, 0.2, 0.3) and (0.2, 0.3, 0.4) of 255.
    dark, light = [26, 51, 77], [51, 77, 102]
    assert [grid[y, x].tolist() for y, x in ((0, 0), (0, 299), (299, 0), (299, 299))] == [dark, light, light, dark]
    assert not patterns.table("black", 8, 8).any()
    blanket = patterns.table("blanket", 512, 512)
    assert len(np.unique(blanket.reshape(-1, 3), axis=0)) == 3


@pytest.mark.usefixtures("blind")
def test_which_textures_an_episode_has() -> None:
    texts = ("texture:train", "texture:test", "texture:all", "texture:grid", "texture:wood")
    phases = (", ".join(f"{i / 10}:{text}" for i, text in enumerate(texts)),)
    env = envs.make(EnvConfig(task="drawer_open", distract=PLAIN, phases=phases), 0)

    def drawn(progress: float, episodes: int) -> set[float]:
        starts = (env.reset(seed=seed, options={"progress": progress})[1] for seed in range(episodes))
        return {float(info["factors"]["texture"][0]) for info in starts}

    assert drawn(0.0, 12) == {0, 1}
    assert drawn(0.1, 4) == {2}
    assert drawn(0.2, 24) == set(range(7))
    assert [drawn(progress, 4) for progress in (0.3, 0.39, 0.4)] == [{0}, {0}, {1}]


# ---- words


def test_both_spellings_are_one_task() -> None:
    assert EnvConfig(task="drawer/open") == EnvConfig(task="drawer_open")
    assert EnvConfig(task="drawer/close").task == "drawer_close"
    assert {"drawer_open", "drawer_close"} <= set(envs.tasks())
    with pytest.raises(DiswmError, match=r"drawer_opne.*drawer_open"):
        envs.make(EnvConfig(task="drawer_opne"))
    with pytest.raises(DiswmError, match="v3 or v1"):
        EnvConfig(drawer_reward="v2")  # type: ignore[arg-type]
    with pytest.raises(DiswmError, match="toy has rewards of its own"):
        envs.make(EnvConfig(task="toy", drawer_reward="v1"))


@pytest.mark.usefixtures("blind")
def test_textures_of_other_scenes_are_refused() -> None:
    with pytest.raises(DiswmError, match=r"'marbel'.*marble"):
        make("drawer_open", "texture:marbel")
    with pytest.raises(DiswmError, match=r"no texture in this task called 'bricks'"):
        make("drawer_open", "texture:bricks")
    with pytest.raises(DiswmError, match="cannot show the distraction background"):
        make("drawer_open", "background:noise")


def test_what_was_never_trained_on() -> None:
    def held(*phases: str, distractions: tuple[str, ...] = ()) -> tuple[str, ...]:
        return envs.unseen(EnvConfig(task="drawer_open", distract=PLAIN, phases=phases, distractions=distractions), "none").distractions

    assert held("0:texture:grid, 0.5:texture:wood") == ("texture:metal",)
    assert held(distractions=("texture:marble", "camera:easy,train")) == ("texture:metal", "camera:easy,test")
    assert held(distractions=("texture:metal",)) == ("texture:train",)
    assert held(distractions=("texture:all",)) == (), "its own table"
    assert held(distractions=("texture:bricks",)) == ("texture:test",), "of the floors"
    # Of both sets, whether they are named or textures of theirs: its own table.
    for phases in ("0:texture:wood, 0.5:texture:metal", "0:texture:test, 0.5:texture:wood", "0:texture:metal, 0.5:texture:train"):
        assert held(phases) == ()
    assert held("0:texture:all, 0.5:texture:marble") == (), "metal is among all"
    assert held("0:texture:test, 0.5:texture:marble") == ("texture:train",)
    assert held("0:texture:grid, 0.5:none") == ("texture:metal",), "the bare table is trained on"
    assert held("0:texture:marble, 0.5:texture:train") == ("texture:metal",)
    assert held("0:texture:wood, 0.5:none", distractions=("texture:metal",)) == ("texture:metal",), "no phase shows it"


def configured(kind: Any, verb: str, *args: str) -> Any:
    return configure(verb, "", kind(), list(args), None)[0]


def test_a_run_goes_from_grid_to_wood_and_is_tried_on_metal(tmp_path: Path) -> None:
    for spelling in ("drawer_open", "drawer/open"):
        config = configured(TrainRun, "train", "--task", spelling)
        assert (config.env.phases, config.env.distract.colours, config.unseen) == (("0:texture:grid, 0.5:texture:wood",), "none", "none")
        assert envs.unseen(config.env, config.unseen).distractions == ("texture:metal",)
        check_unseen(config)
    assert configured(CollectRun, "collect", "--task", "drawer_close").env.phases == config.env.phases
    file = tmp_path / "run.yaml"
    file.write_text("env: {task: drawer/close}\n")
    assert configured(TrainRun, "train", "--config", str(file)).env == configured(TrainRun, "train", "--task", "drawer_close").env
    assert configured(TrainRun, "train", "--task", "walker_walk").env == EnvConfig(task="walker_walk"), "as ever"


def test_what_the_user_says_wins() -> None:
    marble = configured(TrainRun, "train", "--task", "drawer_open", "--distract", "texture:marble")
    assert (marble.env.phases, marble.env.distractions, marble.env.distract.colours) == ((), ("texture:marble",), "none")
    assert configured(TrainRun, "train", "--task", "drawer_open", "--env.distractions", "texture:fabric").env.phases == ()
    assert configured(TrainRun, "train", "--task", "drawer_open", "--phases", "0:texture:wood").env.phases == ("0:texture:wood",)
    assert configured(TrainRun, "train", "--task", "drawer_open", "--env.distract.colours", "set1").env.distract.colours == "set1"
    bare = merge(marble, {"env.distractions": []})
    with pytest.raises(DiswmError, match="--unseen"):
        check_unseen(bare)


def test_without_its_simulator_it_names_the_command(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)  # importing it fails
    monkeypatch.delitem(sys.modules, "diswm.envs.drawer", raising=False)
    monkeypatch.delattr(envs, "drawer", raising=False)
    assert "pip install 'diswm[drawer]'" in refused("collect", "--task", "drawer_open", "--out", "x")
