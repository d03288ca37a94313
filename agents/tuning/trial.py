"""One trial of a study, in a process of its own: a run whose evaluations the study sees, and may end early."""

from pathlib import Path
from typing import NamedTuple

import optuna
import torch
from optuna.trial import TrialState
from stable_baselines3.common.callbacks import BaseCallback

from ..training.configuration import RunConfig, full_id
from ..training.evaluation import EvaluationCallback
from ..training.interruption import interruptible
from ..training.run import Run
from .storage import open_storage


class TrialOrder(NamedTuple):
    """Which trial, and where. Its configuration is in its folder already, and its checkpoint if it was killed before.

    Attributes:
        storage: see `open_storage`.
        study: its name there.
        number: of the trial.
        run_dir: of the trial.
        pruner: of the study.
        num_threads: torch's.
    """

    storage: str
    study: str
    number: int
    run_dir: Path
    pruner: optuna.pruners.BasePruner
    num_threads: int


class ReportCallback(BaseCallback):
    """Tells the study of each evaluation, by its number from 1 on, and ends the training where the pruner says so."""

    def __init__(self, trial: optuna.Trial, evaluation: EvaluationCallback, reported: int) -> None:
        super().__init__()
        self.trial, self.evaluation, self.reported = trial, evaluation, reported
        self.pruned = False

    def _on_rollout_start(self) -> None:
        for number, found in enumerate(self.evaluation.evaluations, start=1):
            if number > self.reported:
                self.trial.report(found["mean"], number)
                self.reported = number
                self.pruned = self.pruned or self.trial.should_prune()

    def _on_step(self) -> bool:
        return not self.pruned


def run_trial(order: TrialOrder) -> None:
    """Trains, or goes on, and tells the study the greatest mean return of an evaluation.

    KeyboardInterrupt: Ctrl-C, after a checkpoint; the trial then still counts as running.
    """
    torch.set_num_threads(order.num_threads)
    storage = open_storage(order.storage)
    study = optuna.load_study(study_name=order.study, storage=storage, pruner=order.pruner)
    known = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == order.number)
    trial = optuna.Trial(study, known._trial_id)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] (no other way to one that was begun)
    try:
        config = RunConfig.read(order.run_dir)
        full_id(config.env)  # its module may be in the working folder
        run = Run(config, order.run_dir)
        reports = ReportCallback(trial, run.evaluation, max(known.intermediate_values, default=0))
        with interruptible(run.checkpoints):
            run.train(reports)
    except (
        ValueError,
        TypeError,
        ArithmeticError,
        AssertionError,
    ) as error:  # settings that do not fit, or that diverge
        trial.set_user_attr("error", str(error).strip().splitlines()[0] if str(error) else type(error).__name__)
        study.tell(order.number, state=TrialState.FAIL)
        return
    if reports.pruned:
        study.tell(order.number, state=TrialState.PRUNED)
    else:
        study.tell(order.number, run.evaluation.best)
