"""A study in a folder: its trials, so many at once, until so many have ended; new, or continued.

study.yaml      what is searched, from which settings
study.journal   Optuna's storage, unless --storage names another
trial-<n>/      the run of each trial
best.yaml       the best trial's settings, for `gradgym-train --config`
"""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from ..launchers.folder_lock import locked
from ..launchers.launcher import Launcher
from ..training.configuration import RunConfig, merged
from ..training.whole_file import written_beside
from .space import Space, suggest
from .storage import open_storage
from .trial import TrialOrder, run_trial

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Search(NamedTuple):
    """How a study searches.

    Attributes:
        sampler: "tpe" or "random".
        pruner: "median", "halving" or "none".
        startup_trials: drawn at random, and not pruned, before both begin.
        seed: of the samplers, a new one for each trial: what is drawn does not hang on when a study was interrupted.
    """

    sampler: str = "tpe"
    pruner: str = "median"
    startup_trials: int = 10
    seed: int = 0

    def make_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """That of the trial of that number."""
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        if self.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        # A constant liar: trials that still run count as bad ones, so that the next look elsewhere.
        return optuna.samplers.TPESampler(n_startup_trials=self.startup_trials, seed=seed, constant_liar=True)

    def make_pruner(self, evaluations: int) -> optuna.pruners.BasePruner:
        """That of trials with so many evaluations; a third of them passes before the median prunes, as in rl_zoo3."""
        if self.pruner == "none":
            return optuna.pruners.NopPruner()
        if self.pruner == "halving":
            return optuna.pruners.SuccessiveHalvingPruner()
        return optuna.pruners.MedianPruner(self.startup_trials, n_warmup_steps=evaluations // 3)


class Study:
    """Trials of a configuration with changes from a space.

    Args:
        config: of every trial but for what is searched.
        space: what is.
        folder: for all files.
        name: in the storage.
        storage: see `open_storage`; None: study.journal in the folder.
        search: how.
        num_threads: torch's, of a trial.

    Raises:
        ValueError: the folder holds a study of other settings, or the storage cannot be opened.
    """

    def __init__(
        self,
        config: RunConfig,
        space: Space,
        folder: Path,
        name: str,
        storage: str | None = None,
        search: Search | None = None,
        num_threads: int = 1,
    ) -> None:
        self.config, self.space, self.folder, self.num_threads = config, space, folder, num_threads
        self.search = search or Search()
        self.storage = str((folder / "study.journal").absolute()) if storage is None else storage
        self._claim({"config": asdict(config), "space": space})
        self.pruner = self.search.make_pruner(config.total_timesteps // config.eval_freq)
        self.study = optuna.create_study(
            study_name=name,
            storage=open_storage(self.storage),
            pruner=self.pruner,
            direction="maximize",
            load_if_exists=True,
        )
        self._restarted: set[int] = set()

    def _claim(self, settings: dict[str, Any]) -> None:
        path = self.folder / "study.yaml"
        if path.exists() and yaml.safe_load(path.read_text()) != yaml.safe_load(yaml.safe_dump(settings)):
            raise ValueError(f"{path}: is of a study with other settings: choose another --study-name or --run-dir")
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as file:
            file.write_text(yaml.safe_dump(settings, sort_keys=False))

    @property
    def best(self) -> FrozenTrial | None:
        """None before a trial was trained to its end."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max(complete, key=lambda trial: float(trial.value or 0.0), default=None)

    def count(self, *states: TrialState) -> int:
        """How many trials are in one of these states."""
        return len(self.study.get_trials(deepcopy=False, states=states))

    def run(self, n_trials: int, jobs: int, launcher: Launcher) -> None:
        """Goes on until `n_trials` trials of the study have ended, `jobs` at once.

        Trials that were running when the study was killed are gone on with from their checkpoints. So is, once, one
        whose process is killed; the second time it has failed.

        ValueError: another process runs the study.
        KeyboardInterrupt: Ctrl-C, after checkpoints of the trials.
        """
        with (
            locked(self.folder, "study"),
            tqdm(total=n_trials, initial=self.count(*_ENDED), desc="trials", unit="trial") as bar,
        ):
            left = [trial.number for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
            running: set[int] = set()
            try:
                while True:
                    while len(running) < jobs and (left or self.count(*_ENDED) + len(running) < n_trials):
                        number = left.pop(0) if left else self._new_trial()
                        launcher.start(number, partial(run_trial, self._order(number)))
                        running.add(number)
                    if not running:
                        return
                    for number in launcher.ended():
                        running.remove(number)
                        if self._after(number):
                            left.append(number)
                    self._write_best()
                    bar.set_postfix_str(self._state(), refresh=False)
                    bar.update(self.count(*_ENDED) - bar.n)
            except KeyboardInterrupt:
                launcher.finish()
                raise

    def _new_trial(self) -> int:
        self.study.sampler = self.search.make_sampler(len(self.study.get_trials(deepcopy=False)))
        trial = self.study.ask()
        hyperparams = merged(self.config.hyperparams, suggest(trial, self.space))
        replace(self.config, hyperparams=hyperparams).write(self._run_dir(trial.number))
        return trial.number

    def _order(self, number: int) -> TrialOrder:
        name = self.study.study_name
        return TrialOrder(self.storage, name, number, self._run_dir(number), self.pruner, self.num_threads)

    def _run_dir(self, number: int) -> Path:
        return self.folder.absolute() / f"trial-{number}"

    def _after(self, number: int) -> bool:
        """Whether a trial whose process has ended is to be started again: it was killed, for the first time."""
        trial = next(trial for trial in self.study.get_trials(deepcopy=False) if trial.number == number)
        if trial.state is not TrialState.RUNNING:
            return False
        if number in self._restarted:
            self.study.tell(number, state=TrialState.FAIL)
            return False
        self._restarted.add(number)
        return True

    def _state(self) -> str:
        best = self.best
        found = "none yet" if best is None else f"trial {best.number}, return {best.value:.4f}"
        return f"best {found}; pruned {self.count(TrialState.PRUNED)}, failed {self.count(TrialState.FAIL)}"

    def errors(self) -> dict[int, str]:
        """Of failed trials what they said, or that they were killed."""
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return {trial.number: trial.user_attrs.get("error", "was killed twice") for trial in failed}

    def _write_best(self) -> None:
        best = self.best
        if best is None:
            return
        config = asdict(RunConfig.read(self._run_dir(best.number)))
        own = {name: config[name] for name in ("total_timesteps", "eval_freq", "eval_episodes", "checkpoint_freq")}
        own |= {name: config[name] for name in ("max_minutes", "eval_seconds") if config[name] is not None}
        settings = {**own, "train_env_kwargs": config["train_env_kwargs"], **config["hyperparams"]}
        comment = f"# Trial {best.number} of the study {self.study.study_name}: return {best.value:.4f}.\n"
        with written_beside(self.folder / "best.yaml") as file:
            file.write_text(comment + yaml.safe_dump({self.config.env: settings}, sort_keys=False))
