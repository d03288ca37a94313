"""The file of a sweep: a block for each row of its table, with what it changes in the command.

    policy: {enhancement: policy, env_kwargs.n_links: {choices: [1, 2, 3]}}
    sac: {model: false, env_kwargs.n_links: {choices: [1, 2, 3]}}

Names are those of the command line (`algo`, `env`, `total_timesteps`, `env_kwargs.n_links`) and of the algorithm's
settings (`policy_kwargs.net_arch`). Where settings have `choices` there is a row for each combination.
"""

import argparse
import re
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_ENV_KWARGS = "env_kwargs."
_OPTIONS = ("algo", "env", "total_timesteps", "enhancement", "arch", "device")


class Row(NamedTuple):
    """One row of a sweep's table.

    Attributes:
        name: of the block, with what was chosen: "policy,n_links=3"; also its folder.
        settings: by their names on the command line.
    """

    name: str
    settings: dict[str, Any]


def load_rows(path: Path) -> list[Row]:
    """Those of a file, in its order; ValueError: it is damaged, or two rows have one name."""
    try:
        blocks = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        blocks = None
    if not isinstance(blocks, dict) or not blocks:
        raise ValueError(f"{path}: no sweep, write a block `name: {{setting: value}}` for each row of the table")
    rows: list[Row] = []
    for name, block in blocks.items():
        if not isinstance(block, dict):
            raise ValueError(f"{path}: {name}: is no block of settings, write `{name}: {{setting: value}}`")
        rows += _rows(str(name), _flat(block), f"{path}: {name}")
    for row in rows:
        if [other.name for other in rows].count(row.name) > 1:
            raise ValueError(f"{path}: two rows would have the folder {row.name}, rename a block")
    return rows


def _flat(block: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Inner settings by their names with dots; choices stay together, and so do empty mappings."""
    result: dict[str, Any] = {}
    for key, value in block.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and set(value) != {"choices"}:
            result |= _flat(value, f"{name}.")
        else:
            result[name] = value
    return result


def _rows(name: str, settings: dict[str, Any], where: str) -> list[Row]:
    for reserved in ("seed", "seeds"):
        if reserved in settings:
            raise ValueError(f"{where}: {reserved}: seeds are the command's, --seeds 0 1 2")
    varied = [key for key, value in settings.items() if isinstance(value, dict) and value]
    for key in varied:
        choices = settings[key]["choices"]
        if not isinstance(choices, list) or not choices:
            raise ValueError(f"{where}: {key}: choices={choices!r} is no list of values")
    rows: list[Row] = []
    for chosen in product(*(settings[key]["choices"] for key in varied)):
        words = [f"{key.removeprefix(_ENV_KWARGS)}={value}" for key, value in zip(varied, chosen, strict=True)]
        rows.append(Row(_file_name(",".join([name, *words])), settings | dict(zip(varied, chosen, strict=True))))
    return rows


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.,=+-]+", "-", text).strip("-.") or "-"


def applied(row: Row, arguments: argparse.Namespace) -> argparse.Namespace:
    """The command's arguments with what a row changes in them."""
    result = {**vars(arguments), "hyperparams": [*arguments.hyperparams], "env_kwargs": [*arguments.env_kwargs]}
    for name, value in row.settings.items():
        if name in _OPTIONS:
            result[name] = value
        elif name.startswith(_ENV_KWARGS):
            result["env_kwargs"].append(_word(name.removeprefix(_ENV_KWARGS), value))
        else:
            result["hyperparams"].append(_word(name, value))
    return argparse.Namespace(**result)


def _word(name: str, value: Any) -> str:
    """`name:value` as on the command line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n")
    return f"{name}:{text.strip()}"
