"""monitor.csv: the episodes of a training, as SB3 reads them, for every kind of algorithm and after a kill."""

import json
from pathlib import Path
from typing import Any

import pytest
import slide as slide  # registers its environment
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import load_results

from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.run import Run

SETTINGS = {
    "sac": {"learning_starts": 10_000},
    "ppo": {"n_steps": 40, "n_envs": 2, "batch_size": 40},
    "shac": {"n_envs": 2, "horizon": 10},
    "bptt": {"n_envs": 2, "horizon": 10},
}


def config(algo: str, total_timesteps: int = 240) -> RunConfig:
    own: dict[str, Any] = {"eval_freq": 1000, "eval_episodes": 1, "checkpoint_freq": 80}
    return RunConfig(algo, "Slide-v0", 0, total_timesteps, **own, hyperparams=SETTINGS[algo])


class Returns(BaseCallback):
    """What the steps say of ended episodes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def _on_step(self) -> bool:
        self.found += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True


@pytest.mark.parametrize("algo", SETTINGS)
def test_it_holds_every_episode(algo: str, tmp_path: Path) -> None:
    returns = Returns()
    Run(config(algo), tmp_path).train(returns)
    found = load_results(str(tmp_path))
    assert found["l"].tolist() == [20] * 12
    assert found["timesteps"].tolist() == (
        [*range(20, 241, 20)] if algo == "sac" else sorted([*range(40, 241, 40)] * 2)
    )
    assert found["r"].tolist() == pytest.approx(returns.found, abs=1e-6) and max(found["r"].tolist()) < 0.0
    seconds = found["t"].tolist()
    assert seconds == sorted(seconds) and seconds[0] > 0.0
    header = json.loads((tmp_path / "monitor.csv").read_text().splitlines()[0].removeprefix("#"))
    assert header["env_id"] == "Slide-v0"


class Killed(BaseException):
    pass


class KillAt(BaseCallback):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.steps:
            raise Killed
        return True


def test_a_run_that_goes_on_has_each_episode_once(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    Run(config("ppo"), whole).train()
    with pytest.raises(Killed):
        Run(config("ppo"), killed).train(KillAt(220))
    rows = load_results(str(killed))
    assert max(rows["timesteps"].tolist()) == 200  # of which the checkpoint knows 160
    with (killed / "monitor.csv").open("a") as file:
        file.write("-3.5,20,1.5,8")  # killed here
    Run(config("ppo"), killed).train()
    names = ["r", "l", "timesteps"]
    assert load_results(str(killed))[names].equals(load_results(str(whole))[names])
    started = [json.loads((killed / "monitor.csv").read_text().splitlines()[0][1:])["t_start"]]
    Run(config("ppo", 320), killed).train()
    assert len(load_results(str(killed))) == 16
    assert [json.loads((killed / "monitor.csv").read_text().splitlines()[0][1:])["t_start"]] == started
    (killed / "monitor.csv").write_text("nothing\n")
    with pytest.raises(ValueError, match=r"monitor\.csv: damaged .*; remove"):
        Run(config("ppo"), killed)
