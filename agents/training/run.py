"""Run folders: what a training writes, and how it is built from its configuration or resumed.

config.yaml               the resolved configuration
checkpoint.pkl            from which the run goes on
best_policy.safetensors   the policy with the best evaluation, see `policy_file`
final_policy.safetensors  the last one
evaluations.jsonl         every evaluation, and how long the training had taken, evaluations left out
monitor.csv               every episode of the training, as SB3's `Monitor` writes them
events.out.tfevents.*     TensorBoard

The checkpoint is a pickle, for those who trained; evaluations read only what cannot execute anything.
"""

from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import configure

from .algorithm import ALGORITHMS, Algorithm
from .callbacks import callback_from
from .checkpoint import CheckpointCallback, load_checkpoint
from .clock import TimeLimitCallback, TrainingClock
from .configuration import RunConfig
from .evaluation import EvaluationCallback
from .monitor import MonitorCallback
from .policy_file import PolicyFile, PolicyHeader, TrainedPolicy, load_policy

BEST, FINAL = "best_policy.safetensors", "final_policy.safetensors"


class Run:
    """A training in a folder; new, or continued from its checkpoint if there is one."""

    def __init__(self, config: RunConfig, run_dir: Path) -> None:
        self.config, self.run_dir = config, run_dir
        others = [callback_from(word) for word in config.callbacks]
        path = run_dir / "checkpoint.pkl"
        self.algorithm: Algorithm
        spent = 0.0
        self.resumed = path.exists()
        if self.resumed:
            self.algorithm, spent = load_checkpoint(path)
        else:
            self.algorithm = ALGORITHMS[config.algo].from_config(config)
        self.algorithm.set_logger(configure(str(run_dir), ["tensorboard"]))
        self.eval_env = config.make_env()
        self.clock = TrainingClock(spent)
        self.evaluation = EvaluationCallback(
            self.eval_env,
            run_dir,
            self.clock,
            config.eval_freq,
            config.eval_episodes,
            seed=config.seed + 10_000,
            period=config.eval_seconds,
            on_best=lambda: self._write_policy(BEST),
        )
        self.time_limit = TimeLimitCallback(self.clock, None if config.max_minutes is None else 60 * config.max_minutes)
        # Evaluated before it is saved: a resumed run finds the evaluations of its checkpoint in the file.
        self.checkpoints = CheckpointCallback(path, config.checkpoint_freq, self.clock)
        monitor = MonitorCallback(run_dir, config.env)
        self.callback = CallbackList([self.evaluation, self.checkpoints, self.time_limit, monitor, *others])

    @property
    def max_return(self) -> float | None:
        """The greatest possible return, where the environment knows it."""
        return getattr(self.eval_env.unwrapped, "max_return", None)

    def train(self, *callbacks: BaseCallback) -> None:
        """Trains up to the configured number of steps, or minutes."""
        left = self.config.total_timesteps - self.algorithm.num_timesteps
        if left > 0 and not self.time_limit.reached:
            self._rehearse()
            callback = CallbackList([self.callback, *callbacks])
            with self.clock.running():
                self.algorithm.learn(left, callback=callback, reset_num_timesteps=False)
        self._write_policy(FINAL)

    def _write_policy(self, name: str) -> None:
        config, algorithm = self.config, self.algorithm
        header = PolicyHeader(config.algo, config.env, config.env_kwargs, algorithm.num_timesteps)
        PolicyFile(header, algorithm.policy_state()).write(self.run_dir / name)

    def _rehearse(self) -> None:
        """Compiles what training and evaluations will call."""
        type(self.algorithm).rehearse(self.config)
        self.eval_env.reset()  # an evaluation resets it again, with a seed
        self.eval_env.step(self.eval_env.action_space.sample())


def load_best(run_dir: Path) -> TrainedPolicy:
    """The best policy of a run; ValueError if there is none, and as `load_policy`."""
    path = run_dir / BEST
    if not path.exists():
        raise ValueError(f"{run_dir}: {BEST} is missing, the run was never evaluated")
    return load_policy(path)
