"""The directive `task`: what code and presets say of an environment.

    :::{task} gradgym/Ant-v0
    :::

That is its picture, its docstring, arguments with defaults, and the commands of the presets that it has.
"""

import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gradgym.envs.task import Task

_ROOT = Path(__file__).resolve().parent.parent.parent


def _arguments(task: type[Any]) -> Iterator[tuple[str, Any]]:
    """Names and defaults of what `gymnasium.make` takes for a task, its own first."""
    constants = getattr(task, "constants_type", None)
    if constants is not None and is_dataclass(constants):
        yield from ((field.name, field.default) for field in fields(constants))
    for cls in task.__mro__[: task.__mro__.index(Task)]:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(cls.__init__).parameters.values()
        yield from ((p.name, p.default) for p in parameters if p.default is not p.empty and p.name != "backend")
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):  # else further ones are the base class's
            return


def _shown(default: Any) -> str:
    if isinstance(default, Path):
        return f"the package's `{default.name}`"
    if isinstance(default, float):
        return f"`{default:.6g}`"
    text = repr(default)
    return f"`{text}`" if len(text) < 40 else f"see `{type(default).__name__}`"


def _presets(env_id: str) -> Iterator[str]:
    """A command for each preset with a block of the environment's own, or of its kind by default."""
    for path in sorted((_ROOT / "agents" / "presets").glob("*.yaml")):
        if env_id in yaml.safe_load(path.read_text()):
            yield f"gradgym-train --algo {path.stem} --env {env_id}"


def describe(env_id: str) -> str:
    """The description in MyST."""
    spec = gymnasium.spec(env_id)
    module, _, name = spec.kwargs["task"].partition(":")
    task = getattr(import_module(module), name)
    picture = Path("environments") / f"{name}.webp"
    parts = [f"```{{image}} /{picture}\n:alt: {env_id}\n:width: 240px\n:align: right\n```"]
    if task.__doc__ is None:
        raise ValueError(f"{env_id}: its task has no docstring")
    parts.append(f"```{{eval-rst}}\n.. autoclass:: {module}.{name}()\n   :no-index-entry:\n```")
    bases = [cls for cls in task.__mro__[1:] if cls.__module__.startswith("gradgym.envs.tasks")]
    parts += [f"```{{eval-rst}}\n.. autoclass:: {cls.__module__}.{cls.__name__}()\n   :no-index:\n```" for cls in bases]
    rows = [f"| `{key}` | {_shown(default)} |" for key, default in _arguments(task)]
    rows += ["| `max_episode_steps` | " + f"`{spec.max_episode_steps}` |"]
    parts += ["**Arguments of `gymnasium.make`**, beside `gradients`, `backend` and `render_mode`:"]
    parts.append("\n".join(["| argument | default |", "|---|---|", *rows]))
    if commands := list(_presets(env_id)):
        parts += ["**Presets**", "```bash\n" + "\n".join(commands) + "\n```"]
    return "\n\n".join(parts)


class TaskDirective(SphinxDirective):
    """What `describe` says."""

    required_arguments = 1  # the environment's id

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(describe(self.arguments[0]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's hook."""
    app.add_directive("task", TaskDirective)
    return {"parallel_read_safe": True}
