"""Where results that take seconds are kept between processes."""

from pathlib import Path

from ...sim.kernels.jit import CACHE_DIR


def cache_folder(subject: str) -> Path:
    """The project's cache folder for a subject, beside that of the compiled kernels; made if it is not there."""
    folder = Path(CACHE_DIR).parents[1] / subject
    folder.mkdir(parents=True, exist_ok=True)
    return folder
