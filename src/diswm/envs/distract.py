"""How the values of the factors touch a scene: recoloured materials."""

from __future__ import annotations

import numpy as np

from diswm.contract import Array
from diswm.envs.factors import ColourConfig, ColourWalk
from diswm.envs.scene import Frame, Paintable, SceneWrapper


class Distracted(SceneWrapper):
    """Recolours the materials of a scene. The walk moves below the action repeat, as in the released code."""

    def __init__(self, scene: Paintable, config: ColourConfig):
        super().__init__(scene)
        self.config = config
        self.walk = ColourWalk(config, scene.materials)

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        self.scene.reset(task, colour)
        self.walk.reset(np.random.default_rng(colour))

    def begin_step(self) -> None:
        self.scene.begin_step()
        if self.config.per == "step":
            self.walk.move()

    def step(self, action: Array) -> Frame:
        frame: Frame = self.scene.step(action)
        if self.config.per == "frame":
            self.walk.move()
        return frame

    def draw(self) -> Array:
        # Here and not in step(): tasks may set material colours themselves between two frames.
        self.scene.paint(self.walk.values)
        image: Array = self.scene.draw()
        return image

    def factors(self) -> dict[str, Array]:
        self.scene.paint(self.walk.values)
        factors: dict[str, Array] = self.scene.factors()
        return factors
