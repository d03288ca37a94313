"""Where results that take seconds are kept between processes."""

import os
import tempfile
from pathlib import Path


def cache_folder(subject: str) -> Path:
    """A subject's folder in `$GRADGYM_CACHE_DIR`, else in the user's cache, else a temporary one; made if need be."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradgym"
    folder = Path(os.environ.get("GRADGYM_CACHE_DIR") or user) / subject
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / "gradgym" / subject
        folder.mkdir(parents=True, exist_ok=True)
    return folder
