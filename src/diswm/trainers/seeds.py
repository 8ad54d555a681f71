"""Randomness has an owner: one seed per run, from which every component draws its own."""

from __future__ import annotations

import numpy as np

from diswm.contract import DiswmError

COMPONENTS = (
    *("torch", "replay", "prefill", "train_env", "eval_seen", "eval_unseen", "eval_random", "collect", "media", "collect_actions"),
    *("eval_matrix", "gallery", "factors", "metrics"),
)
"""New ones go to the end: the place is the seed."""


def seed_of(seed: int, component: str, index: int = 0) -> int:
    """A 32-bit seed for this component's ``index``-th use: a pure function, so that a resumed run draws the same."""
    entropy = [_checked(seed), COMPONENTS.index(component), index]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def generator(seed: int, component: str) -> np.random.Generator:
    """A generator of this component's own."""
    return np.random.default_rng(np.random.SeedSequence([_checked(seed), COMPONENTS.index(component)]))


def _checked(seed: int) -> int:
    if seed < 0:
        raise DiswmError(f"seed={seed} must be a number from 0 (--seed).")
    return seed
