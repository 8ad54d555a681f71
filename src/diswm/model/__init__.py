"""Networks: they know sizes, not where batches come from nor how they are scored."""

from diswm.model.rssm import Latent
from diswm.model.world import ModelConfig, WorldModel

__all__ = ["Latent", "ModelConfig", "WorldModel"]
