"""Sphinx's settings: `make docs`, then open docs/_build/html/index.html."""

import sys
from pathlib import Path

import gradgym

_DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(_DOCS / "extensions"))

project = "gradgym"
author = copyright = "The gradgym authors"
version = release = gradgym.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_design",
    "command_line",
    "tasks",
    "unsupported_mjcf",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

smartquotes_action = "De"  # dashes, but no quotes: what is to be typed is printed as it is typed

# In docstrings a single pair of backticks is code, as everywhere else.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"gradgym {release}"
html_static_path = ["static"]
html_css_files = ["gradgym.css"]
html_copy_source = False
