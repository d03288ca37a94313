"""Trainings of gradgym in blocks of updates: of the package that the interpreter finds, this one or another version."""

import time
from typing import Any

import numpy as np
from sides import serve


def fill(model: Any, timesteps: int) -> None:
    """Random transitions: what an update costs does not depend on them, and nothing has to be simulated."""
    model._setup_learn(timesteps)  # noqa: SLF001
    rng, (n_obs,), (n_act,) = np.random.default_rng(0), model.observation_space.shape, model.action_space.shape
    for t in range(timesteps):
        obs, after = rng.normal(size=(2, 1, n_obs)).astype(np.float32)
        gradients = {"dobs_daction": rng.normal(size=(n_obs, n_act)), "dreward_daction": rng.normal(size=n_act)}
        infos = [{"gradients": gradients, "TimeLimit.truncated": False}]
        done = np.array([t % 100 == 99])
        model.replay_buffer.add(obs, after, rng.uniform(-1, 1, (1, n_act)), rng.normal(size=1), done, infos)
    model._fit_model()  # noqa: SLF001


def prepare() -> dict[str, Any]:
    import torch
    from stable_baselines3.common.logger import Logger

    from gradgym import sim
    from gradgym.agents import ALGORITHMS
    from gradgym.agents.training.configuration import RunConfig, load_preset

    sim.set_num_threads(1)
    torch.set_num_threads(1)
    using: dict[str, Any] = {}

    def load(algo: str, env: str, changes: dict[str, Any], timesteps: int, fits: bool) -> None:
        """Makes an algorithm with its preset, and trains it for a while; MBPO is given what it would have met.

        Changes take the place of the preset's entries: versions may differ in what a preset adds to them.

        With `fits` a block's updates are those of the learned model, one pass over the data.
        """
        settings = load_preset(algo, env, changes, {}) | changes
        if settings.get("n_envs") == 1:  # versions before had no such setting
            del settings["n_envs"]
        config = RunConfig.from_settings(settings, algo=algo, env=env, seed=0)
        model: Any = ALGORITHMS[algo].from_config(config)
        using.update(algo=model, fits=fits)
        model.set_logger(Logger(None, []))
        if hasattr(model, "replay_buffer"):
            fill(model, timesteps)
        else:
            model.learn(timesteps)

    def block(updates: int) -> dict[str, float]:
        """Processor time [s] of about so many updates, and how many they were."""
        model = using["algo"]
        if using["fits"]:
            real = model.replay_buffer.everything()
            begin = time.process_time()
            model.ensemble.fit(real.obs, real.actions, real.next_obs, real.rewards, max_epochs=1)
            seconds = time.process_time() - begin
            done = int(np.ceil((len(real.rewards) - min(len(real.rewards) // 5, 5000)) / 256))
        elif hasattr(model, "replay_buffer"):
            model._last_fit = model.num_timesteps  # noqa: SLF001 (the model's fits are measured apart)
            begin = time.process_time()
            model.train(updates, model.batch_size)
            seconds, done = time.process_time() - begin, updates
        else:
            before, begin = model._n_updates, time.process_time()  # noqa: SLF001
            steps = updates * model.n_envs * (model.horizon if hasattr(model, "horizon") else model.n_steps)
            model.learn(steps, reset_num_timesteps=False)
            seconds = time.process_time() - begin
            done = model._n_updates - before  # noqa: SLF001
            if hasattr(model, "n_epochs"):  # PPO counts epochs
                done *= int(np.ceil(model.n_envs * model.n_steps / model.batch_size))
        return {"seconds": seconds, "updates": done}

    return {"load": load, "block": block}


serve(prepare)
