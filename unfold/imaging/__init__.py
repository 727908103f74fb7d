"""Photos as files and as tensors."""

from unfold.imaging.io import find_photos, read, size_of, write
from unfold.imaging.photo import ImageError, Photo

__all__ = ["ImageError", "Photo", "find_photos", "read", "size_of", "write"]
