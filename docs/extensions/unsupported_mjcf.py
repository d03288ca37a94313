"""The directive `unsupported-mjcf`: what the simulator refuses, as its own error says it.

Each row is the message of one of the models in tests/unsupported_models.py.
"""

import re
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gradgym import sim

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from unsupported_models import UNSUPPORTED, unsupported_model

_NAMES = re.compile(r" '(?:a|j|cord|tie|cloth|g|h)'")  # of those models' elements; 'implicit' is a value


def rows() -> list[tuple[str, str]]:
    """An element, and how to do without; RuntimeError where a model is supported after all."""
    found: list[tuple[str, str]] = []
    for name in UNSUPPORTED:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):  # MuJoCo writes its warnings to a file there
            try:
                sim.Model.from_xml_string(unsupported_model(name))
            except sim.UnsupportedModelError as error:
                found += [(_NAMES.sub("", kind.text.format(*kind.names[:1])), kind.advice) for kind in error.kinds]
            else:
                raise RuntimeError(f"tests/unsupported_models.py: {name!r} is supported")
    return list(dict.fromkeys(found))


class UnsupportedMjcf(SphinxDirective):
    """The table."""

    def run(self) -> list[nodes.Node]:
        lines = [f"| {element} | {advice} |" for element, advice in rows()]
        return self.parse_text_to_nodes("\n".join(["| not simulated | instead |", "|---|---|", *lines]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's hook."""
    app.add_directive("unsupported-mjcf", UnsupportedMjcf)
    return {"parallel_read_safe": True}
