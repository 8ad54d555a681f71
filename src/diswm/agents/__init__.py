"""Agents: act, update, state_dict, load_state_dict. They own parameters and optimisers."""

from diswm.agents.dreamer import Dreamer, DreamerConfig
from diswm.agents.learner import LearnerConfig, WorldLearner

__all__ = ["Dreamer", "DreamerConfig", "LearnerConfig", "WorldLearner"]
