"""A run folder to damage: one short training, of which each test gets a copy."""

import shutil
from pathlib import Path

from gradgym import train


def finish(run_dir: Path) -> Path:
    """Trains for 80 steps."""
    settings = ["--hyperparams", "n_envs:4", "horizon:20", "eval_freq:40", "checkpoint_freq:40"]
    command = ["--algo", "shac", "--env", "Slide-v0", "--total-timesteps", "80", "--run-dir", str(run_dir)]
    assert train.main([*command, *settings]) == 0
    return run_dir


def copy(finished: Path, folder: Path) -> Path:
    """The run in another folder."""
    return Path(shutil.copytree(finished, folder / "run"))
