"""The configuration of a run, and where it comes from: presets and changes from the command line.

Presets are in `agents/presets/<algorithm>.yaml`, and changes of one's own in files of the same form.
"""

import sys
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import gymnasium
import yaml
from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id

from .provenance import versions
from .whole_file import written_beside

_COUNTS = ("total_timesteps", "eval_freq", "eval_episodes", "checkpoint_freq")
_TIMES = ("max_minutes", "eval_seconds")


@dataclass
class _Config:
    """What a folder's config.yaml is written from."""

    def write(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({**asdict(self), "versions": versions()}, sort_keys=False)
        with written_beside(run_dir / "config.yaml") as file:
            file.write_text(text)


@dataclass
class DatasetConfig(_Config):
    """All that determines a training on a data set.

    Args:
        algo, seed: as on the command line.
        hyperparams: the preset's settings with changes, which the algorithm's `from_config` takes.
    """

    algo: str
    seed: int
    hyperparams: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunConfig(_Config):
    """All that determines a training in an environment.

    Args:
        algo, env, seed: as on the command line.
        total_timesteps: environment steps of the training.
        eval_freq: steps between evaluations.
        eval_episodes: of each evaluation.
        checkpoint_freq: steps between checkpoints.
        max_minutes: wall-clock of training, evaluations left out, after which it ends sooner.
        eval_seconds: seconds of training between evaluations, in place of `eval_freq`.
        env_kwargs: arguments of the environment.
        train_env_kwargs: further ones, or others, for the training alone; evaluations do not see them.
        callbacks: called beside the run's own, see `callbacks.callback_from`.
        hyperparams: what the algorithm's `from_config` takes: arguments of its constructor and of its environments.
    """

    algo: str
    env: str
    seed: int
    total_timesteps: int
    eval_freq: int
    eval_episodes: int
    checkpoint_freq: int
    max_minutes: float | None = None
    eval_seconds: float | None = None
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    train_env_kwargs: dict[str, Any] = field(default_factory=dict)
    callbacks: list[str] = field(default_factory=list)
    hyperparams: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], **kwargs: Any) -> "RunConfig":
        """Splits the run's own settings from the constructor's arguments."""
        own = {name: settings.pop(name) for name in _COUNTS}
        for name, value in own.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: must be a positive integer")
        times = {name: settings.pop(name, None) for name in _TIMES}
        for name, value in times.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise ValueError(f"{name}={value!r}: must be a positive number, or null")
        if kwargs.get("env_kwargs", {}).get("max_episode_steps") == -1:
            raise ValueError("max_episode_steps=-1: evaluations need a limit; training alone: train_env_kwargs")
        further = settings.pop("train_env_kwargs", {})
        if not isinstance(further, dict):
            raise ValueError(f"train_env_kwargs={further!r}: write single ones as train_env_kwargs.key:value")
        return cls(hyperparams=settings, train_env_kwargs=further, **own, **times, **kwargs)

    @classmethod
    def read(cls, run_dir: Path) -> "RunConfig":
        """ValueError: as `read_config`, or the training has no environment."""
        config = read_config(run_dir)
        if not isinstance(config, cls):
            raise ValueError(f"{run_dir}: --algo {config.algo} was trained on a data set, it has no environment")
        return config

    def make_env(self, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """The environment of this run, with changed or further arguments."""
        return gymnasium.make(self.env, **{**self.env_kwargs, **kwargs})

    def make_training_env(self, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """The same, with `train_env_kwargs` too."""
        return self.make_env(**{**self.train_env_kwargs, **kwargs})


def read_config(run_dir: Path) -> RunConfig | DatasetConfig:
    """What a folder's training was started with.

    ValueError: the folder has no configuration, a damaged one, or one of another version.
    """
    path = run_dir / "config.yaml"
    if not path.exists():
        raise ValueError(f"{run_dir}: no run folder, config.yaml is missing")
    content = _read_mapping(path)
    written_by = content.pop("versions", {}).get("gradgym", "another version")
    kind = RunConfig if "env" in content else DatasetConfig
    unknown = content.keys() - {known.name for known in fields(kind)}
    if unknown:
        raise ValueError(f"{path}: gradgym {written_by} wrote {', '.join(sorted(unknown))}, which this one knows not")
    try:
        return kind(**content)
    except TypeError as error:
        raise ValueError(f"{path}: damaged, or edited: {error}") from None


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("versions", {}), dict):
        raise ValueError(f"{path}: damaged, it is no YAML mapping of settings")
    return content


def full_id(env_id: str) -> str:
    """The id of an environment with its version, which is the latest where none is given; its module is imported.

    ValueError: the module, which stands before a colon, cannot be imported.
    """
    module, colon, name = env_id.rpartition(":")
    if module:
        import_from_here(module)
    namespace, base, version = parse_env_id(name)
    if version is None and (latest := find_highest_version(namespace, base)) is not None:
        name = get_env_id(namespace, base, latest)
    return f"{module}{colon}{name}"


def import_from_here(module: str) -> None:
    """Imports a module from the module path, or else from the working folder, which installed commands do not look in.

    ValueError: it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        import_module(module)
    except ImportError as error:
        where = f"call the command in its folder, which is not {here}, or set PYTHONPATH"
        raise ValueError(f"{module}: cannot be imported ({error}): {where}") from error


def load_changes(path: Path, env_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a file of the user's, which has a preset's form, changes for an environment; `given` as in `load_preset`.

    ValueError: the file is damaged, or has neither a block of that id nor a default.
    """
    blocks = _read_mapping(path)
    block = blocks.get(env_id, blocks.get(env_id.rpartition(":")[2], blocks.get("default")))
    if not isinstance(block, dict):
        raise ValueError(f"{path}: has no block {env_id!r} of settings, and no default")
    return _resolved(block, given)


def load_preset(
    algorithm: str, env_id: str, changes: dict[str, Any] | None = None, env_kwargs: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The block of an environment, by its full id with or without a module, or "default", with changes.

    What a preset has under `with_<setting>` and a value overrides what stands before it where the changes, or the
    arguments of the environment, give the setting that value.
    """
    changes = changes or {}
    return merged(_block(algorithm, env_id, {**(env_kwargs or {}), **changes}), changes)


def load_dataset_preset(algorithm: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The block "default" of a training on a data set, with changes.

    ValueError: the preset, which names all settings there are, has none of that name, or a value of another type.
    """
    preset = _block(algorithm, "default", changes)
    _check(changes, preset, algorithm)
    return merged(preset, changes)


def _block(algorithm: str, env_id: str, given: dict[str, Any]) -> dict[str, Any]:
    text = files("gradgym.agents").joinpath("presets", f"{algorithm}.yaml").read_text()
    blocks = yaml.safe_load(text)
    return _resolved(blocks.get(env_id.rpartition(":")[2], blocks["default"]), given)


def _resolved(block: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The block with those of its `with_<setting>` blocks, which may hold others, that are for what is given."""
    result = {name: value for name, value in block.items() if not name.startswith("with_")}
    for name in (name for name in block if name not in result):
        setting = name.removeprefix("with_")
        for value, changes in block[name].items():
            if setting in given and given[setting] == value:
                result = merged(result, _resolved(changes, given))
    return result


def _check(changes: dict[str, Any], preset: dict[str, Any], algorithm: str) -> None:
    for name, value in changes.items():
        if name not in preset:
            file = f"agents/presets/{algorithm}.yaml"
            raise ValueError(f"{name}={value!r}: --algo {algorithm} has no such setting, see {file}")
        known = preset[name]
        if known is not None and not _alike(value, known):
            raise ValueError(f"{name}={value!r}: must be like the preset's, {known!r}")
        if isinstance(known, dict):
            _check(value, known, algorithm)


def _alike(value: Any, known: Any) -> bool:
    """Whether the types are the same; an integer is also a number, and lists may differ in length."""
    if isinstance(known, list):
        return isinstance(value, list) and all(_alike(entry, known[0]) for entry in value)
    return type(value) is type(known) or (type(known), type(value)) == (float, int)


def parse_settings(words: list[str]) -> dict[str, Any]:
    """`key:value` words to a dictionary; values are YAML, and `a.b:1` is {"a": {"b": 1}}."""
    result: dict[str, Any] = {}
    for word in words:
        path, separator, text = word.partition(":")
        if not separator or not path:
            raise ValueError(f"{word!r}: write settings as key:value")
        *parents, last = path.split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = _parse_value(text)
    return result


def _parse_value(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"{text!r}: not a YAML value") from None
    if isinstance(value, str):  # YAML 1.1 takes 1e-3 for a string
        try:
            return float(value)
        except ValueError:
            return value
    return value


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of `settings` with `changes`; dictionaries are merged, all else is replaced."""
    result = deepcopy(settings)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
