"""Search spaces: which settings of an algorithm are searched, and among what.

`spaces/<algorithm>.yaml` has a line for each setting, by its name as on the command line (`policy_kwargs.net_arch`):

    gamma: {choices: [0.95, 0.99]}
    horizon: {low: 2, high: 32, log: true}             # integers between integers
    learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true, format: "lin_{:.3g}"}
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import optuna
import yaml

from ..training.configuration import merged

Space = dict[str, dict[str, Any]]
_KEYS = ({"choices"}, {"low", "high"}, {"low", "high", "log"})


def load_space(algorithm: str, file: Path | None, fixed: dict[str, Any]) -> Space:
    """That of an algorithm, or of a file, without the settings that are fixed.

    ValueError: there is none, it is damaged, or nothing is left of it.
    """
    text = file.read_text() if file is not None else _own(algorithm)
    where = f"{file}" if file is not None else f"agents/tuning/spaces/{algorithm}.yaml"
    try:
        space = yaml.safe_load(text)
    except yaml.YAMLError:
        space = None
    if not isinstance(space, dict) or not all(isinstance(entry, dict) for entry in space.values()):
        raise ValueError(f"{where}: no search space, write a line `name: {{low: ..., high: ...}}` for each setting")
    for name, entry in space.items():
        _check(entry, f"{where}: {name}")
    left = {name: entry for name, entry in space.items() if not _is_fixed(name.split("."), fixed)}
    if not left:
        raise ValueError(f"{where}: all its settings are fixed, nothing is left to search")
    return left


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """The trial's value of each setting, as changes of hyperparams."""
    changes: dict[str, Any] = {}
    for name, entry in space.items():
        value = _value(trial, name, entry)
        for part in reversed(name.split(".")):
            value = {part: value}
        changes = merged(changes, value)
    return changes


def _value(trial: optuna.Trial, name: str, entry: dict[str, Any]) -> Any:
    if "choices" in entry:
        # Optuna's categories are no lists; as text they all are alike.
        return json.loads(str(trial.suggest_categorical(name, [json.dumps(choice) for choice in entry["choices"]])))
    kind = trial.suggest_int if isinstance(entry["low"], int) else trial.suggest_float
    value = kind(name, entry["low"], entry["high"], log=entry.get("log", False))
    return entry["format"].format(value) if "format" in entry else value


def _own(algorithm: str) -> str:
    found = files("gradgym.agents.tuning").joinpath("spaces", f"{algorithm}.yaml")
    if not found.is_file():
        raise ValueError(f"--algo {algorithm} has no search space, give one with --search-space FILE.yaml")
    return found.read_text()


def _check(entry: dict[str, Any], where: str) -> None:
    if entry.keys() - {"format"} not in _KEYS:
        raise ValueError(
            f"{where}: has {', '.join(entry)}; write choices, or low and high, and log and format if wanted"
        )
    if "choices" in entry:
        if not isinstance(entry["choices"], list) or not entry["choices"]:
            raise ValueError(f"{where}: choices={entry['choices']!r} is no list of values")
        return
    low, high = entry["low"], entry["high"]
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (low, high))
    if not numbers or type(low) is not type(high) or not low < high or (entry.get("log") and low <= 0):
        raise ValueError(
            f"{where}: low={low!r}, high={high!r}: two numbers of one type, low below high; positive if log"
        )
    try:
        entry.get("format", "{}").format(low)
    except (ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"{where}: format={entry['format']!r}: {error}") from error


def _is_fixed(path: list[str], fixed: Any) -> bool:
    if not path:
        return True
    return isinstance(fixed, dict) and path[0] in fixed and _is_fixed(path[1:], fixed[path[0]])
