"""Settings of a training: presets, changes from the command line, and the constructor's arguments.

Presets are in `agents/presets/<algorithm>.yaml`.
"""

from collections.abc import Callable
from copy import deepcopy
from importlib.resources import files
from typing import Any

import yaml
from torch import nn

from ..mbpo.sac_policy import BatchedSACPolicy

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "elu": nn.ELU}


class LinearSchedule:
    """SB3 schedule from `initial` at the start of the training to zero at its end."""

    def __init__(self, initial: float) -> None:
        self.initial = initial

    def __call__(self, progress_remaining: float) -> float:
        return progress_remaining * self.initial


def load_preset(algorithm: str, env_id: str, enhancement: str | None = None) -> dict[str, Any]:
    """The block of an environment, or "default"; an enhancement's own settings override the others."""
    text = files("gradgym.agents").joinpath("presets", f"{algorithm}.yaml").read_text()
    blocks = yaml.safe_load(text)
    preset = blocks.get(env_id, blocks["default"])
    own = preset.pop("with_enhancement", {}).get(enhancement, {})
    preset.update(own)
    return preset


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


def constructor_arguments(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as Python objects: schedules (`lin_1e-3`), tuples, policies and activations from their names."""
    arguments = deepcopy(settings)
    rate = arguments.get("learning_rate")
    if isinstance(rate, str):
        arguments["learning_rate"] = _schedule(rate)
    if isinstance(arguments.get("train_freq"), list):
        arguments["train_freq"] = tuple(arguments["train_freq"])
    if arguments.get("policy") == BatchedSACPolicy.__name__:
        arguments["policy"] = BatchedSACPolicy
    policy_kwargs = arguments.get("policy_kwargs", {})
    name = policy_kwargs.get("activation_fn")
    if name is not None:
        if name not in ACTIVATIONS:
            raise ValueError(f"activation_fn={name!r}: choose one of {', '.join(ACTIVATIONS)}")
        policy_kwargs["activation_fn"] = ACTIVATIONS[name]
    return arguments


def _schedule(text: str) -> Callable[[float], float]:
    kind, _, initial = text.partition("_")
    try:
        if kind == "lin":
            return LinearSchedule(float(initial))
    except ValueError:
        pass
    raise ValueError(f"learning_rate={text!r}: write a number, or lin_<number> for a linear decay to zero")
