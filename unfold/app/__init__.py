"""The models in a browser: upload a photo, restore it, look inside. Needs the extra ``app``."""

from .serve import AppError, serve

__all__ = ["AppError", "serve"]
