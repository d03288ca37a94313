"""Policy files: a policy's settings and weights, which a stranger can open. Nothing in them is executed.

What stands where: docs/policy_files.md.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import gymnasium

from .algorithm import ALGORITHMS, Policy
from .configuration import full_id
from .foreign_env import check_foreign
from .policy_state import PolicyState
from .provenance import versions
from .tensor_file import first_line, read_tensors, write_tensors

_FORMAT = {"format": "gradgym policy", "format_version": 1}
_KINDS = {"algo": str, "env": str, "env_kwargs": dict, "num_timesteps": int, "gradgym": str}  # of `PolicyHeader`


@dataclass(frozen=True)
class PolicyHeader:
    """What a policy file says of its policy.

    Args:
        algo: that made it, by its name on the command line.
        env: id of the environment that it is for.
        env_kwargs: arguments of that.
        num_timesteps: that it was trained for.
        gradgym: the version that wrote the file.
    """

    algo: str
    env: str
    env_kwargs: dict[str, Any]
    num_timesteps: int
    gradgym: str = field(default_factory=lambda: versions()["gradgym"])


@dataclass(frozen=True)
class PolicyFile:
    """The content of a policy file.

    Args:
        header: see there.
        state: the algorithm's `policy_state()`.
    """

    header: PolicyHeader
    state: PolicyState

    def write(self, path: Path) -> None:
        """As `write_tensors`."""
        write_tensors(path, {**_FORMAT, **asdict(self.header), "policy": self.state.settings}, self.state.weights)

    @classmethod
    def read(cls, path: Path) -> Self:
        """ValueError, in one line: as `read_tensors`, or the file is no policy, or of a later format."""
        settings, weights = read_tensors(path)
        if settings.get("format") != _FORMAT["format"]:
            raise ValueError(f"{path}: is no policy, but {settings.get('format')!r}")
        if settings.get("format_version") != _FORMAT["format_version"]:
            raise ValueError(f"{path}: written by gradgym {settings.get('gradgym')}, which this one cannot read")
        for name, kind in {**_KINDS, "policy": dict}.items():
            if not isinstance(settings.get(name), kind):
                raise ValueError(f"{path}: damaged, {name!r} is missing in its metadata, or no {kind.__name__}")
        return cls(PolicyHeader(**{name: settings[name] for name in _KINDS}), PolicyState(settings["policy"], weights))


class TrainedPolicy:
    """A policy from a file, which acts, and knows its environment.

    Attributes:
        header: what the file says of it: algorithm, environment, ...
        policy: what acts; of Stable-Baselines3's algorithms a `BasePolicy`.
    """

    def __init__(self, header: PolicyHeader, policy: Policy) -> None:
        self.header, self.policy = header, policy

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """As Stable-Baselines3's: the action for one observation or a batch, and the memory to pass with the next."""
        start = {} if episode_start is None else {"episode_start": episode_start}
        return self.policy.predict(observation, state, deterministic=deterministic, **start)

    def make_env(self, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """The environment that it was trained for, with changed or further arguments, such as `render_mode`."""
        full_id(self.header.env)  # its module may be in the working folder
        return gymnasium.make(self.header.env, **{**self.header.env_kwargs, **kwargs})


def load_policy(path: str | Path) -> TrainedPolicy:
    """The policy in a file.

    ValueError, in one line: as `PolicyFile.read`; or no algorithm of the name is known here; or settings and weights
    do not make one of its policies; or the environment is code from the file's own folder.
    """
    path = Path(path)
    content = PolicyFile.read(path)
    header = content.header
    if header.algo not in ALGORITHMS:
        raise ValueError(f"{path}: no algorithm {header.algo!r} is known here, only {', '.join(ALGORITHMS)}")
    try:
        check_foreign(header.env, header.env_kwargs, path.parent)
        return TrainedPolicy(header, ALGORITHMS[header.algo].load_policy(content.state, header.env))
    except Exception as error:  # settings and weights of a foreign file may raise anything
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{path}: no policy of --algo {header.algo}: {kind}{first_line(error)}") from error
