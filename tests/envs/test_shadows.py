"""The map of shadows shows what casts them, and no more of the light than MuJoCo's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed")

from diswm.envs.shadows import Shadows  # noqa: E402

SCENE = """<mujoco><worldbody>
<light type="spot" pos="0 0 3" dir="0 0 -1" cutoff="45" castshadow="true"/>
<geom type="plane" size="5 5 .1"/>
<body pos="{x} 0 1"><freejoint/><geom type="sphere" size=".05"/></body>{more}
</worldbody></mujoco>"""


def scale(x: float = 0.0, more: str = "") -> float:
    model = mujoco.MjModel.from_xml_string(SCENE.format(x=x, more=more))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    context = SimpleNamespace(shadowScale=0.6)
    Shadows(model, context).show(data)
    return context.shadowScale


def test_it_is_as_wide_as_what_is_there() -> None:
    # Two metres below the light, 0.05 m and as much again of margin: asin(0.1 / 2) = 2.87 degrees, 0.0637 of 45; in steps of a quarter of
    # a doubling the next is 2^(-15 / 4). Half a metre aside: 14.04 and asin(0.1 / 2.06) = 2.78 degrees, 0.374: the next is 2^(-5 / 4).
    assert scale() == pytest.approx(2.0 ** (-15 / 4))
    assert scale(x=0.5) == pytest.approx(2.0 ** (-5 / 4))


def test_it_is_never_wider_than_before() -> None:
    assert scale(x=1.0) == 0.6


def test_walls_need_all_of_it() -> None:
    assert scale(more="<geom type='plane' size='5 5 .1' pos='5 0 5' euler='0 -90 0'/>") == 0.6


def test_hidden_geoms_need_none_of_it() -> None:
    assert scale(more="<geom type='box' size='3 3 .1' group='4'/>") == scale()
