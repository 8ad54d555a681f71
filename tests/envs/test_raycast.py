"""The ray caster draws from recorded launches: the same pixels as launching anew, whatever an episode changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs import EnvConfig, raycast
from diswm.envs.raycast import RayCaster

pytest.importorskip("dm_control", reason="the dm_control suite is not installed")


def launched_anew(caster: Any) -> Any:
    """What `RayCaster._record` records, for each picture anew and with the boxes of the ray caster itself."""
    from diswm.envs.raycast import _cpu

    def launch() -> None:
        with _cpu() as mjw:
            mjw.refit_bvh(caster._warp_model, caster._warp_data, caster._context)
            mjw.render(caster._warp_model, caster._warp_data, caster._context)

    return launch


@pytest.mark.usefixtures("warp")
def test_recorded_launches_draw_the_same_pixels() -> None:
    # Everything that a picture can depend on moves: body, colours, camera, lights, floor, and (read back beside the pixels) the sky.
    texts = ("camera:easy,moving", "background:video,dynamic", "light:medium,moving", "texture:train")
    pair = [envs.make(EnvConfig(task="walker_walk", renderer="warp", distractions=texts)) for _ in range(2)]
    caster = pair[1].scene._renderer
    caster._find_boxes, caster._fit_planes, caster._cast = (lambda: None), (lambda: None), launched_anew(caster)
    rng = np.random.default_rng(0)
    seen = set()
    for seed in (1, 2):
        images = [env.reset(seed=seed)[0] for env in pair]
        for _ in range(3):
            assert np.array_equal(*images)
            seen.add(images[0].tobytes())
            action = rng.uniform(-1, 1, 6).astype(np.float32)
            images = [env.step(action)[0] for env in pair]
    assert len(seen) == 6, "no two pictures are alike"
    for env in pair:
        env.close()


def test_shapes_are_sorted_by_where_they_start() -> None:
    import mujoco

    from diswm.envs.dmc import suite
    from diswm.envs.stage import stage

    model = suite.load("walker", "walk").physics.model.ptr
    scene = stage(model, np.arange(model.ngeom), np.arange(model.nsite))
    placed, expected = mujoco.MjData(scene), mujoco.MjData(model)
    mujoco.mj_kinematics(scene, placed)
    mujoco.mj_kinematics(model, expected)
    assert np.allclose(placed.geom_xpos[: model.ngeom], expected.geom_xpos)
    assert np.allclose(placed.geom_xmat[: model.ngeom], expected.geom_xmat, atol=1e-6)


def test_a_sky_is_the_mean_of_its_texels() -> None:
    from diswm.envs.dmc import suite
    from diswm.envs.stage import stage

    model = suite.load("walker", "walk").physics.model.ptr
    scene = stage(model, np.arange(model.ngeom), np.arange(model.nsite))
    assert (model.tex_width[0], model.tex_height[0], scene.tex_width[0], scene.tex_height[0]) == (800, 4800, 100, 600)
    fine = model.tex_data[: 4800 * 800 * 3].reshape(600, 8, 100, 8, 3)
    coarse = scene.tex_data[: 600 * 100 * 3].reshape(600, 100, 3)
    assert np.array_equal(coarse, fine.mean((1, 3)).round())


@pytest.mark.usefixtures("warp")
def test_a_task_opened_again_takes_the_kernel_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(task: str) -> np.ndarray:
        env = envs.make(EnvConfig(task=task, renderer="warp"))
        image, _ = env.reset(seed=3)
        env.close()
        return image

    kernels: dict[object, object] = {}
    monkeypatch.setattr(raycast, "_KERNELS", kernels)
    image = opened("walker_walk")
    (kernel,) = kernels.values()
    assert np.array_equal(opened("walker_walk"), image)
    assert [*kernels.values()] == [kernel]
    opened("point_mass_easy")
    assert len(kernels) == 2, "of another number of shapes"


@pytest.mark.usefixtures("warp")
@pytest.mark.parametrize("task", ["point_mass_easy", "manipulator_bring_ball"])  # a floor and walls: most shapes, and few
def test_boxes_in_which_planes_fit_draw_what_the_ray_casters_own_do(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def pictures() -> list[np.ndarray]:
        env = envs.make(EnvConfig(task=task, renderer="warp"))
        action = np.resize(np.array([0.9, -0.7], np.float32), env.action_space.shape)
        images = [env.reset(seed=3)[0]] + [env.step(action)[0] for _ in range(3)]
        env.close()
        return images

    fitting = pictures()
    monkeypatch.setattr("diswm.envs.raycast.RayCaster._sort", lambda self: None)
    monkeypatch.setattr("diswm.envs.raycast.RayCaster._fit_planes", lambda self: None)
    assert np.array_equal(fitting, pictures())


@pytest.mark.usefixtures("warp")
def test_a_plane_is_drawn_to_its_very_edge_wherever_it_moves() -> None:
    import mujoco

    model = mujoco.MjModel.from_xml_string("""<mujoco><worldbody><light pos="0 0 3"/><camera pos="0 0 2"/>
        <body name="b" mocap="true"><geom type="plane" size=".4 .2 .1" rgba="1 0 0 1"/></body></worldbody></mujoco>""")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    caster = RayCaster(model, data, 0, 64)
    # 64 pixels over 2 * 2 tan(22.5 deg) = 1.657: 0.0259 a pixel, so 0.8 by 0.4 is 30.9 by 15.4 pixels: 30 or 31 centres, 15 or 16.
    for place, turn in (((0.0, 0.0), 0.0), ((0.3, -0.3), 0.0), ((-0.2, 0.1), np.pi / 2)):
        data.mocap_pos[0, :2], data.mocap_quat[0] = place, (np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2))
        mujoco.mj_forward(model, data)
        red = caster.draw()[..., 0] > 60
        high, wide = np.ptp(np.argwhere(red), axis=0) + 1
        assert red.sum() == high * wide, "no pixel of it is missing"
        assert sorted((high, wide)) in ([15, 30], [15, 31], [16, 30], [16, 31])


@pytest.mark.usefixtures("warp")
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_model_of_sites_alone_is_drawn_and_one_of_nothing_is_refused() -> None:
    import mujoco

    def caster(bodies: str) -> RayCaster:
        model = mujoco.MjModel.from_xml_string(f"""<mujoco><worldbody><light pos="0 0 3"/><camera pos="0 -2 1" xyaxes="1 0 0 0 .45 .9"/>
            {bodies}</worldbody></mujoco>""")
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        return RayCaster(model, data, 0, 32)

    assert caster('<site size=".3" pos="0 0 .5" rgba="1 0 0 1"/>').draw()[..., 0].max() > 100
    with pytest.raises(DiswmError, match="no geom or site of it is visible"):
        caster('<geom type="sphere" size=".3" group="4"/>')
