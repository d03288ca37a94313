"""Trained policies that come with the package; benchmarks/pretrained.py makes them."""

from pathlib import Path
from typing import Any

from .training.configuration import full_id
from .training.policy_file import PolicyFile, TrainedPolicy, load_policy
from .training.tensor_file import SUFFIX

FOLDER = Path(__file__).parent / "policies"


def available(folder: Path = FOLDER) -> dict[Path, tuple[str, dict[str, Any]]]:
    """Files of policies, each with the id of its environment and the arguments of that."""
    headers = {path: PolicyFile.read(path).header for path in sorted(folder.glob(f"*{SUFFIX}"))}
    return {path: (header.env, header.env_kwargs) for path, header in headers.items()}


def pretrained(env_id: str, **env_kwargs: Any) -> TrainedPolicy:
    """A policy that comes with the package.

    Args:
        env_id: of its environment, such as "gradgym/Ant-v0".
        env_kwargs: arguments of the environment that tell its policies apart, such as `axis="z"`; without them
            it is the first one. The policy's `make_env` makes the environment with all of its arguments.

    ValueError: there is none for the environment, or none for the arguments.
    """
    env, known = full_id(env_id), available()
    for_env = {path: kwargs for path, (one, kwargs) in known.items() if one == env}
    if not for_env:
        raise ValueError(f"{env_id}: no policy comes with gradgym; there are those of {', '.join(ids(known))}")
    for path, kwargs in for_env.items():
        if all(name in kwargs and kwargs[name] == value for name, value in env_kwargs.items()):
            return load_policy(path)
    offered = ", or ".join(_words(kwargs) for kwargs in for_env.values())
    raise ValueError(
        f"{env_id} with {_words(env_kwargs)}: no policy comes with gradgym; there are those with {offered}"
    )


def ids(known: dict[Path, tuple[str, dict[str, Any]]]) -> list[str]:
    """Of environments that have policies, each once."""
    return list(dict.fromkeys(env for env, _ in known.values()))


def _words(kwargs: dict[str, Any]) -> str:
    return " ".join(f"{name}:{value}" for name, value in kwargs.items()) or "no arguments"
