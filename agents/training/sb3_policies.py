"""Policies of Stable-Baselines3 as settings and weights, and back."""

from collections.abc import Collection
from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.utils import ConstantSchedule
from torch import nn

from .policy_state import PolicyState
from .space_settings import from_settings, to_settings

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "elu": nn.ELU}
_EXTRACTORS: dict[str, type[nn.Module]] = {
    extractor.__name__: extractor for extractor in (FlattenExtractor, NatureCNN, CombinedExtractor)
}
# Arguments that are classes, by what they may be.
_NAMED: dict[str, dict[str, type[nn.Module]]] = {
    "activation_fn": ACTIVATIONS,
    "features_extractor_class": _EXTRACTORS,
}
_NOT_TO_ACT = ("observation_space", "action_space", "lr_schedule", "optimizer_class", "optimizer_kwargs")
_CRITICS = ("critic.", "critic_target.", "value_net.", "mlp_extractor.value_net.", "vf_features_extractor.")


def state_of(policy: BasePolicy) -> PolicyState:
    """What is needed to act: class, spaces and constructor's arguments, and all weights but the critics'.

    ValueError: an argument is a class of one's own, which a file cannot hold.
    """
    arguments = policy._get_constructor_parameters()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] (SB3's own `save` reads them so)
    settings = {
        "class": type(policy).__name__,
        "observation_space": to_settings(policy.observation_space),
        "action_space": to_settings(policy.action_space),
        "squash_output": bool(policy.squash_output),
        "arguments": {k: _written(k, v) for k, v in arguments.items() if k not in _NOT_TO_ACT},
    }
    weights = {name: x for name, x in policy.state_dict().items() if not name.startswith(_CRITICS)}
    return PolicyState(settings, weights)


def policy_from(state: PolicyState, classes: Collection[type[BasePolicy]], **arguments: Any) -> BasePolicy:
    """The policy that `state_of` read, to act; its critics are new.

    Args:
        state: settings and weights.
        classes: what the policy may be.
        arguments: of the constructor, beside those in the settings.

    ValueError: the settings are of none of the classes, or the weights are not theirs. Settings that are no such
    settings may raise anything else.
    """
    settings = state.settings
    known = {one.__name__: one for one in classes}
    if settings["class"] not in known:
        raise ValueError(f"is a {settings['class']!r}, not one of {', '.join(sorted(known))}")
    arguments = {**{name: _read(name, value) for name, value in settings["arguments"].items()}, **arguments}
    places = [from_settings(settings[name]) for name in ("observation_space", "action_space")]
    with torch.random.fork_rng(devices=[]):
        policy: BasePolicy = known[settings["class"]](*places, lr_schedule=ConstantSchedule(0.0), **arguments)  # pyright: ignore[reportCallIssue]
    missing, unknown = policy.load_state_dict(state.weights, strict=False)
    wrong = [*unknown, *(name for name in missing if not name.startswith(_CRITICS))]
    if wrong:
        raise ValueError(f"the weights {wrong[0]!r} and the settings do not belong together")
    policy.set_training_mode(False)
    return policy


def _written(name: str, value: Any) -> Any:
    if not isinstance(value, type):
        return value
    names = {one: known for known, one in _NAMED.get(name, {}).items()}
    if value not in names:
        known = ", ".join(names.values()) or "none"
        raise ValueError(f"{name}={value.__name__}: a policy file holds no classes of one's own (known: {known})")
    return names[value]


def _read(name: str, value: Any) -> Any:
    return _NAMED[name][value] if name in _NAMED and value is not None else value
