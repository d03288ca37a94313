"""The folder for what takes long to make: kernels, and results of the layers above (`kernels/cache.py`)."""

from .kernels.cache import cache_folder, keep

__all__ = ["cache_folder", "keep"]
