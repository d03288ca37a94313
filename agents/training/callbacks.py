"""Callbacks of Stable-Baselines3's kind by import path, as the command line and presets name them."""

import sys
from typing import Any

import yaml
from stable_baselines3.common.callbacks import BaseCallback

from .configuration import import_from_here


def callback_from(word: str) -> BaseCallback:
    """A new callback for `module:Class`, or `module:Class:{argument: value, ...}` with the constructor's arguments.

    The module is looked for as an environment's, in the working folder too.

    ValueError: there is none of that name, it is no callback, or its arguments do not fit.
    """
    module, _, rest = word.partition(":")
    name, _, text = rest.partition(":")
    if not module or not name:
        raise ValueError(f"--callback {word}: write module:Class, or module:Class:{{argument: value}}")
    import_from_here(module)
    made = getattr(sys.modules[module], name, None)
    if not (isinstance(made, type) and issubclass(made, BaseCallback)):
        raise ValueError(f"--callback {word}: {module} has no callback {name}, a subclass of SB3's BaseCallback")
    try:
        return made(**_arguments(text))
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"--callback {word}: {str(error).splitlines()[0]}") from error


def _arguments(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text) if text else {}
    if not isinstance(found, dict):
        raise ValueError("arguments are written as {argument: value}")
    return found
