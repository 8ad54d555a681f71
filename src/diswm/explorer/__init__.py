"""A page to play with: a run's code on sliders, and what its model draws of it, in a browser without a server or a network."""

from diswm.explorer.page import explore

__all__ = ["explore"]
