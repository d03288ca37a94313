"""The directive `command-line`: every option of a command, from its argparse parser.

:::{command-line} gradgym.train:_parser
:::
"""

import argparse
import os
import re
from collections.abc import Iterator
from importlib import import_module
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_OPTION = re.compile(r"(?<![\w`-])(--[a-z][\w-]*)")


def _metavar(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    elif isinstance(action.metavar, str):
        name = action.metavar
    else:
        name = action.dest.upper()
    if isinstance(action.nargs, int):
        return " ".join([name] * action.nargs)
    return {"+": f"{name} [{name} ...]", "*": f"[{name} ...]", "?": f"[{name}]"}.get(str(action.nargs), name)


def _help(action: argparse.Action) -> str:
    text = _OPTION.sub(r"`\1`", (action.help or "").replace("%%", "%"))
    default = action.default
    if default in (None, False, [], ()) or isinstance(default, argparse.Action) or "default" in text:
        return text
    shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    return f"{text}; default: {shown}" if text else f"default: {shown}"


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The parser's arguments, and those of its commands, as Sphinx's `option` directives in MyST."""
    yield f":::{{program}} {parser.prog}\n:::\n"
    children: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] (argparse tells them in no other way)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            children = dict(action.choices)
        elif not isinstance(action, argparse._HelpAction):  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            names = action.option_strings or [_metavar(action)]
            value = f" {_metavar(action)}" if action.option_strings and action.nargs != 0 else ""
            title = ", ".join(name + value for name in names)
            yield f":::{{option}} {title}\n{_help(action)}\n:::\n"
    for child in children.values():
        yield f"**`{child.prog}`** {(child.description or '').strip()}\n"
        yield from options(child)


class CommandLine(SphinxDirective):
    """The usage of a command, then its options."""

    required_arguments = 1  # "module:function", which makes the parser

    def run(self) -> list[nodes.Node]:
        module, _, function = self.arguments[0].partition(":")
        parser: argparse.ArgumentParser = getattr(import_module(module), function)()
        with patch.dict(os.environ, COLUMNS="88", NO_COLOR="1"):
            usage = nodes.literal_block("", parser.format_usage(), language="text")
        parts = [f"{parser.description}\n", *options(parser)]
        return [usage, *self.parse_text_to_nodes("\n".join(parts))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's hook."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
