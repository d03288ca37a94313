"""Tasks as functional environments, and the adapters that turn them into Gymnasium's classes."""

from pathlib import Path

from .registration import VECTOR_ADAPTER, register, register_environments

ASSETS = Path(__file__).parent / "assets"  # MJCF of our own

__all__ = ["ASSETS", "VECTOR_ADAPTER", "register", "register_environments"]
