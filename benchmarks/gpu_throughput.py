"""Steps per second on a GPU, forward and with gradients, beside the CPU, and trainings there; one command.

    python benchmarks/gpu_throughput.py            # measures, writes results/gpu_throughput.json
    python benchmarks/gpu_throughput.py --quick    # few worlds, trainings of seconds
    python benchmarks/gpu_throughput.py --table    # prints the stored results as markdown

A step is a time step of one world, in rollouts of 50 under changing controls from states that stand, slide, fall
and touch themselves (`gpu_scenes.py`); medians of wall-clock between two waits for the GPU. What is computed is
compared with the CPU beside: one step from its states, and the gradient along its trajectory, relative to the
largest number of each world. Kernels are compiled before, once for each robot, in processes side by side.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gpu_compilation import compile_all
from gpu_scenes import SCENES, Scene
from measurement import Measurement, Row, cell
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from gradgym import sim
from gradgym.agents import SHAC
from gradgym.agents.training.native_vec_env import NativeVecEnv
from gradgym.sim.cuda import CudaUnavailableError
from gradgym.sim.cuda.extra import checked_gpu
from gradgym.sim.cuda.launch import bytes_per_world
from gradgym.sim.cuda.programs import programs
from gradgym.sim.model.model import tangent_size

CASES = {"Ant": 32768, "Laikago": 8192, "humanoid": 16384, "hand with cube": 8192}  # worlds
CONTROLS, N_STEPS = 10, 5
COMPARED = 64  # worlds
TRAINING_SECONDS, TRAINING_ENVS = 60.0, 1024
ENV = "gradgym/Ant-v0"
EASED: dict[str, Any] = {"integrator": "Euler", "contact_cost_weight": 0.0}  # as the preset of SHAC trains


def measure(quick: bool) -> list[Row]:
    compile_all(list(CASES), torch.cuda.get_device_capability(checked_gpu("cuda")))
    rows = [_speed(name, 256 if quick else worlds, 1 if quick else 3) for name, worlds in CASES.items()]
    seconds = 5.0 if quick else TRAINING_SECONDS
    return rows + [_training(name, seconds, 64 if quick else TRAINING_ENVS) for name in ("SHAC", "PPO")]


def _speed(name: str, worlds: int, repetitions: int) -> Row:
    scene, rng = SCENES[name](), np.random.default_rng(0)
    state, ctrls = scene.starts(worlds, rng), scene.ctrls(worlds, CONTROLS, rng)
    there = sim.State(*(torch.from_numpy(x).cuda() for x in state[:3]))  # pyright: ignore[reportArgumentType]
    given = torch.from_numpy(ctrls).cuda()
    seeds = torch.randn(worlds, CONTROLS + 1, tangent_size(scene.model), dtype=torch.float64, device="cuda")
    path = sim.rollout(scene.model, there, given, N_STEPS)
    forward = _seconds(lambda: sim.rollout(scene.model, there, given, N_STEPS), repetitions)
    backward = _seconds(lambda: sim.rollout_vjp(scene.model, path, seeds), repetitions)
    steps, made = worlds * CONTROLS * N_STEPS, programs(scene.model)
    return {
        "case": name,
        "worlds": worlds,
        "forward": steps / forward,
        "with_gradient": steps / (forward + backward),
        "bytes_per_world": bytes_per_world(made.rollout, scene.model),
        "bytes_per_world_with_gradient": bytes_per_world(made.rollout_adj(False), scene.model, (N_STEPS, 1)),
        **_errors(scene, state, ctrls),
        "gpu": torch.cuda.get_device_name(),
    }


def _seconds(run: Callable[[], Any], repetitions: int) -> float:
    """Median time of a call, after one that does not count."""
    found = []
    for _ in range(repetitions + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def _errors(scene: Scene, state: sim.State, ctrls: np.ndarray) -> Row:
    """Greatest errors of some worlds beside the CPU."""
    few = sim.State(*(x[:COMPARED] for x in state[:3]))
    path = sim.rollout(scene.model, few, ctrls[:COMPARED], N_STEPS)
    one = sim.step(scene.model, few, ctrls[:COMPARED, 0])
    found: Any = sim.step(scene.model, few, ctrls[:COMPARED, 0], device="cuda")
    seeds = np.random.default_rng(1).standard_normal((len(few.qpos), CONTROLS + 1, tangent_size(scene.model)))
    expected = sim.rollout_vjp(scene.model, path, seeds)
    kept: Any = {name: torch.from_numpy(getattr(path, name)).cuda() for name in ("qpos", "qvel", "act")}
    gradient: Any = sim.rollout_vjp(scene.model, path._replace(**kept), seeds)
    by_state = _relative(gradient.state0, expected.state0), _relative(gradient.ctrls, expected.ctrls)
    return {"state_error": _relative(found.qvel, one.qvel), "gradient_error": max(by_state)}


def _relative(found: torch.Tensor, expected: np.ndarray) -> float:
    flat = expected.reshape(len(expected), -1)
    error = np.abs(found.cpu().numpy().reshape(flat.shape) - flat).max(1) / np.abs(flat).max(1).clip(1e-300)
    return float(error.max())


class _Clock(BaseCallback):
    """Stops a training after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def _on_training_start(self) -> None:
        self._end = time.perf_counter() + self._seconds

    def _on_step(self) -> bool:
        return time.perf_counter() < self._end


def _training(name: str, seconds: float, num_envs: int) -> Row:
    envs = gymnasium.make_vec(ENV, num_envs, autoreset_mode="SameStep", device="cuda", **EASED)
    vector: Any = NativeVecEnv(envs.unwrapped)  # pyright: ignore[reportArgumentType]
    model: Any
    if name == "SHAC":
        model = SHAC("MlpPolicy", vector, device="cuda", seed=0, horizon=8, learning_rate=2e-3)
    else:
        model = PPO("MlpPolicy", vector, device="cuda", seed=0, n_steps=32, batch_size=8192, n_epochs=5, gamma=0.99)
    model.learn(10 * num_envs if name == "SHAC" else 32 * num_envs)  # compiles
    start = time.perf_counter()
    before = model.num_timesteps
    model.learn(10**9, callback=_Clock(seconds), reset_num_timesteps=False)
    elapsed = time.perf_counter() - start
    return {
        "algorithm": name,
        "num_envs": num_envs,
        "seconds": elapsed,
        "steps": model.num_timesteps - before,
        "return": _return(model),
        "gpu": torch.cuda.get_device_name(),
    }


def _return(model: Any, episodes: int = 8) -> float:
    """Mean return of deterministic episodes of the environment as it is, on the CPU."""
    envs = gymnasium.make_vec(ENV, episodes)
    obs, _ = envs.reset(seed=1000)
    total, running = np.zeros(episodes), np.ones(episodes, bool)
    while running.any():
        action, _ = model.predict(obs, deterministic=True)
        obs, reward, terminated, truncated, _ = envs.step(action)
        total += np.where(running, reward, 0.0)
        running &= ~(terminated | truncated)
    return float(total.mean())


def table(rows: list[Row]) -> str:
    lines = [
        "| Robot | worlds | million steps/s | with gradient | KiB a world | with gradient | step error | gradient's |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in (row for row in rows if "case" in row):
        speeds = cell(row["forward"] / 1e6), cell(row["with_gradient"] / 1e6)
        sizes = cell(row["bytes_per_world"] / 1024, ".0f"), cell(row["bytes_per_world_with_gradient"] / 1024, ".0f")
        errors = cell(row["state_error"], ".0e"), cell(row["gradient_error"], ".0e")
        lines.append(f"| {row['case']} | {row['worlds']:,} | {' | '.join((*speeds, *sizes, *errors))} |")
    lines += ["", "| Training | environments | seconds | million steps | return |", "|---|---:|---:|---:|---:|"]
    for row in (row for row in rows if "algorithm" in row):
        numbers = cell(row["seconds"], ".0f"), cell(row["steps"] / 1e6), cell(row["return"], ",.0f")
        lines.append(f"| {row['algorithm']} | {row['num_envs']:,} | {' | '.join(numbers)} |")
    return "\n".join([*lines, "", f"GPU: {rows[0]['gpu']}."])


MEASUREMENT = Measurement(
    name="gpu_throughput",
    title="Thousands of robots on a GPU",
    shows="time steps of many worlds a second in float64, forward and with the gradient of the whole rollout, how far "
    "they are from the CPU's, and what a minute of training on the Ant reaches.",
    leaves_out="the time to compile, a minute or more for each kind of robot at first use; other GPUs.",
    measure=measure,
    table=table,
    rivals=("numba-cuda",),
)


def main(argv: list[str] | None = None) -> int:
    try:
        return MEASUREMENT.main(argv)
    except CudaUnavailableError as error:
        print(f"gpu_throughput: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
