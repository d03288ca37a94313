"""The bar that the training command shows."""

from typing import NoReturn

from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from .run import Run


class ProgressBar(BaseCallback):
    """Environment steps, with the latest and best evaluation."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.bar: tqdm[NoReturn] | None = None

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _on_training_start(self) -> None:
        self.bar = tqdm(total=self.run.config.total_timesteps, initial=self.num_timesteps, unit="step", mininterval=0.5)

    def _on_step(self) -> bool:
        assert self.bar is not None
        self.bar.update(self.num_timesteps - int(self.bar.n))
        return True

    def _on_rollout_start(self) -> None:
        if self.run.evaluation.evaluations:
            last, best = self.run.evaluation.evaluations[-1]["mean"], self.run.evaluation.best
            assert self.bar is not None
            self.bar.set_description(f"return {last:.3f}, best {best:.3f}")

    def _on_training_end(self) -> None:
        self.close()
