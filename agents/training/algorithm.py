"""What a run asks of an algorithm, and the table of the algorithms that the command line knows."""

from typing import Any, Protocol, Self

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from .configuration import RunConfig
from .policy_state import PolicyState


class Policy(Protocol):
    """What evaluations ask."""

    def predict(self, observation: Any, state: Any = None, *, deterministic: bool = False) -> tuple[Any, Any]:
        """The action for an observation, both as the environment has them, and the state to pass with the next one.

        The state is a policy's memory of an episode, None at its beginning.
        """
        ...


class Algorithm(Policy, Protocol):
    """What `Run` asks: a part of Stable-Baselines3's interface, and `from_config`.

    A checkpoint is the pickled object, so all that training depends on is in its attributes or in the
    global random generators. The logger is left out; a run sets it again.
    """

    num_timesteps: int  # environment steps so far, or what else the algorithm counts its work in

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """A new one with its training environments, from `hyperparams`, `seed` and `make_training_env`."""
        ...

    @classmethod
    def rehearse(cls, config: RunConfig) -> None:
        """Does once, in environments of its own, what a training does in its, so that no clock sees it compile.

        It leaves the global random generators as they are.
        """
        ...

    @property
    def logger(self) -> Logger: ...

    def set_logger(self, logger: Logger) -> None: ...

    def learn(self, total_timesteps: int, *, callback: BaseCallback, reset_num_timesteps: bool) -> Any:
        """Trains for so many further steps (a run never resets them), and calls the callback as SB3 does.

        First `init_callback(self)` and `on_training_start(locals(), globals())`; `on_rollout_start()`
        whenever no work is pending, which is when a run evaluates and saves; after each step, already
        counted in `num_timesteps`, `on_step()`, which is False if training is to end now; `on_rollout_end()`;
        and at the end `on_training_end()`. What `update_locals({"infos": ...})` says of ended episodes before a
        step, as SB3's `Monitor` does, `info["episode"]` with return "r" and length "l", goes to monitor.csv.
        """
        ...

    def policy_state(self) -> PolicyState:
        """What `load_policy` needs to act as this one does now: settings, and weights, which may share memory."""
        ...

    @classmethod
    def load_policy(cls, state: PolicyState, env: str) -> Policy:
        """One that acts on the CPU as `policy_state` was, for the environment of that id.

        The file may be a stranger's: nothing that settings name may be imported or executed.
        """
        ...


ALGORITHMS: dict[str, type[Algorithm]] = {}
"""Names of the command line. `gradgym.agents` fills in its own; others can be added."""
