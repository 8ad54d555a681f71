"""The gallery: every world under every distraction, and each world as its renderers draw it."""

from diswm.pictures.writing import gallery

__all__ = ["gallery"]
