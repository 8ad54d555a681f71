"""A run in a form that others can use: ONNX, safetensors and a model card, in a folder or on a model hub."""

from diswm.portable.folder import export, push

__all__ = ["export", "push"]
