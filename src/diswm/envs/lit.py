"""How OpenGL lights a surface that carries a texture, told to a ray caster that multiplies first and clamps last.

OpenGL adds up the lights that cast no shadow, their highlights included, clamps the sum at 1, multiplies it by the texture, and only
then adds what each light with a shadow gives. A white table under lights of 1.2 is as bright as its texture and no brighter. What
carries no texture is the same either way. The surface is level here, as floors and tables are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diswm.contract import Array

_SHININESS = 128.0  # the exponent of a highlight at shininess 1, in OpenGL


class Lights(NamedTuple):
    """Lights as they are for one picture, L of them; the headlight is one."""

    towards: Array
    """(L, 3) unit vectors from the surface to the lights, which count as far away."""
    shadow: Array
    """(L,) bool: whether they cast shadows."""
    ambient: Array
    diffuse: Array
    specular: Array
    """(L, 3) each; zero where a light is off."""


def views(axes: Array, fovy: float) -> Array:
    """From what is seen to the camera, with ``axes`` (3, 3: right, up, back) and a field of view in degrees: four directions half way to
    the corners of the picture, (4, 3) unit vectors."""
    half = np.tan(np.radians(fovy) / 2.0) / 2.0
    rays = np.array([(x, y, 1.0) for x in (-half, half) for y in (-half, half)]) @ axes.T
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def sums(lights: Lights) -> tuple[Array, Array]:
    """What falls on a matt surface, (3,) each: from lights without shadow and all ambient light; from lights with shadow."""
    direct = lights.diffuse * np.maximum(lights.towards[:, 2], 0.0)[:, None]
    return lights.ambient.sum(0) + direct[~lights.shadow].sum(0), direct[lights.shadow].sum(0)


def highlight(lights: Lights, views: Array, specular: float, shininess: float) -> Array:
    """The mean highlight (3,) of lights without shadow, of a material with these two properties, seen from ``views`` (N, 3)."""
    half = lights.towards[:, None] + views
    half /= np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-9)
    strength = np.maximum(half[..., 2], 0.0) ** (_SHININESS * shininess)  # (L, N)
    open_ = ~lights.shadow & (lights.towards[:, 2] > 0.0)
    return np.asarray(specular * (lights.specular * strength.mean(1)[:, None])[open_].sum(0))


def correction(rgb: Array, plain: Array, shadowed: Array, gloss: Array | float = 0.0) -> tuple[float, Array]:
    """An emission and a factor for the colour ``rgb`` (3,) of a surface, by which a ray caster shows it as OpenGL does.

    ``plain`` and ``shadowed`` are the `sums`, ``gloss`` is the `highlight`. The ray caster gives
    factor * rgb * (plain + shadowed + emission), OpenGL min(1, rgb * plain + gloss) + rgb * shadowed: the same in full light, and in
    shadow or at the edge of a cone of light as nearly as one emission for three channels can.
    """
    rgb = np.maximum(np.asarray(rgb, np.float64), 1e-3)
    shown = np.minimum(1.0, rgb * plain + gloss) / rgb
    emission = float((rgb * (shown - plain)).sum() / rgb.sum())
    return emission, (shown + shadowed) / np.maximum(plain + emission + shadowed, 1e-6)
