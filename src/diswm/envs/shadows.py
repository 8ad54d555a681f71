"""The shadow map of OpenGL, fitted to what casts shadows: a small one is then as fine there as MuJoCo's large one."""

from __future__ import annotations

from typing import Any

import numpy as np

_MARGIN = 0.05  # metres around a geom: skins stand out from those beneath them
_STEPS = 4  # to a doubling, so that the map does not change with every picture


class Shadows:
    """The share of their light that the map shows, for the spot lights of one model. `mjrContext.shadowScale` is one for all."""

    def __init__(self, model: Any, context: Any) -> None:
        import mujoco

        kind = mujoco.mjtGeom
        self._context, self._own = context, float(context.shadowScale)
        spot = model.light_type == mujoco.mjtLightType.mjLIGHT_SPOT
        self._lights = np.flatnonzero(spot & (model.light_castshadow > 0) & (model.light_active > 0))
        self._cutoffs = np.radians(model.light_cutoff[self._lights])
        shown = (model.geom_group < 3) | bool(model.nskin)  # the geoms beneath a skin are hidden, as a rule
        planes = model.geom_type == kind.mjGEOM_PLANE
        walls = planes & (np.abs(model.geom_quat[:, 0] ** 2 - 0.5) < 0.5 - 1e-3)
        if bool((shown & (walls | (model.geom_type == kind.mjGEOM_HFIELD))).any()):
            self._lights = self._lights[:0]  # they are everywhere
        self._geoms = np.flatnonzero(shown & ~planes)
        self._sites = np.flatnonzero(model.site_group < 3)
        reach = np.linalg.norm(model.site_size[self._sites], axis=1)
        self._reach = np.concatenate([model.geom_rbound[self._geoms], reach]) + _MARGIN

    def show(self, data: Any) -> None:
        """Prepare a picture of ``data``: the map shows all geoms and sites, though no more than MuJoCo's does."""
        if not len(self._lights):
            return
        places = np.concatenate([data.geom_xpos[self._geoms], data.site_xpos[self._sites]])
        away = places - data.light_xpos[self._lights, None]  # (lights, geoms and sites, 3)
        along = (away * data.light_xdir[self._lights, None]).sum(2)
        far = np.maximum(np.linalg.norm(away, axis=2), 1e-9)
        middles, halves = np.arccos(np.clip(along / far, -1.0, 1.0)), np.arcsin(np.minimum(self._reach / far, 1.0))
        # MuJoCo's map is square: what is out of its corners casts no shadow there either.
        seen = middles - halves < np.arctan(np.sqrt(2.0) * np.tan(self._own * self._cutoffs))[:, None]
        needed = float((np.where(seen, middles + halves, 0.0).max(1) / self._cutoffs).max())
        if needed > 0.0:
            self._context.shadowScale = min(self._own, 2.0 ** (np.ceil(_STEPS * np.log2(needed)) / _STEPS))
