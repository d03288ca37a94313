"""What a transition's exact Jacobians tell of the transitions around it, on the Ant, and what MBPO's model tells.

    python benchmarks/ant_patches.py              # measures, writes results/ant_patches.json
    python benchmarks/ant_patches.py --table      # prints the stored results as markdown

The transitions are those that MBPO's last policy of `ant_figure5.py` makes in its training's environment, taken from
that benchmark's folder or else made there. Each is made again from the same state with an action moved as sample
enhancement moves it. Of the change in the next observation, and in the reward, each guess leaves a part unexplained:
its mean squared error in units of the mean square of the change, observations entry by entry.
"""

import sys
from pathlib import Path
from typing import Any

import ant_figure5
import numpy as np
import torch
from torch import Tensor
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents import MBPO
from gradgym.agents.mbpo.replay import Batch, BatchGradients
from gradgym.agents.mbpo.sample_enhancement import first_order, perturbations
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.run import FINAL

SIZES = (0.01, 0.05, 0.1, 0.2, 0.4)
TRANSITIONS, EVERY = 500, 7  # steps from one to the next


def measured(size: float, seed: int, quick: bool, work_dir: Path) -> Row:
    """The parts left unexplained for perturbations of one size."""
    torch.set_num_threads(1)
    config, run_dir = ant_figure5.run_config("mbpo", seed, quick), work_dir / ant_figure5.run_name("mbpo", seed)
    if not (run_dir / FINAL).exists():
        train_run(config, run_dir)
    algorithm = load_checkpoint(run_dir / "checkpoint.pkl").algorithm
    assert isinstance(algorithm, MBPO)
    torch.manual_seed(0)
    here, gradients, moved = transitions(config.make_training_env(gradients="action"), algorithm, size, quick)
    change = moved.next_obs - here.next_obs, (moved.rewards - here.rewards)[:, None]
    guess = first_order(here, gradients, moved.actions - here.actions)
    model = [learned(algorithm, here.obs, action) for action in (moved.actions, here.actions)]
    # Entries that nothing moved, to rounding, have no part to be explained.
    moving = change[0].square().mean(0) > 1e-10
    return {
        "size": size,
        "seed": seed,
        "transitions": len(here.rewards),
        "obs_by_jacobian": left(guess.next_obs - here.next_obs, change[0], moving),
        "obs_by_model": left(model[0] - model[1], change[0], moving),
        "reward_by_gradient": left((guess.rewards - here.rewards)[:, None], change[1], torch.tensor([True])),
        # Of the step itself: what enhancement adds to, and what the model was fitted to.
        "step_by_model": left(model[1] - here.obs, here.next_obs - here.obs, moving),
        "change_to_step": float((change[0].square().mean(0) / (here.next_obs - here.obs).var(0))[moving].mean().sqrt()),
    }


def transitions(env: Any, algorithm: MBPO, size: float, quick: bool) -> tuple[Batch, BatchGradients, Batch]:
    """Transitions of the policy, their gradients, and the transitions of moved actions from the same states."""
    rows: list[tuple[Any, ...]] = []
    obs, _ = env.reset(seed=0)
    step, count = 0, 20 if quick else TRANSITIONS
    while len(rows) < count:
        action = algorithm.predict(obs)[0]
        state = env.unwrapped.state
        if step % EVERY == 0:
            tensor = torch.as_tensor(action)[None]
            other = (tensor + perturbations(tensor, size))[0].numpy()
            there = env.step(other)[:3]
            env.unwrapped.state = state
            next_obs, reward, ended, cut, info = env.step(action)
            found = info["gradients"]
            if not (ended or there[2]):
                rows.append((obs, action, next_obs, reward, other, *there[:2], *map(found.get, BatchGradients._fields)))
        else:
            next_obs, _, ended, cut, _ = env.step(action)
        step += 1
        obs = env.reset()[0] if ended or cut else next_obs
    columns = [torch.as_tensor(np.array(column), dtype=torch.float32) for column in zip(*rows, strict=True)]
    obs, action, next_obs, reward, other, other_obs, other_reward, *gradients = columns
    none = torch.zeros_like(reward)
    here, moved = Batch(obs, action, next_obs, reward, none), Batch(obs, other, other_obs, other_reward, none)
    return here, BatchGradients(*gradients), moved


@torch.no_grad()
def learned(algorithm: MBPO, obs: Tensor, actions: Tensor) -> Tensor:
    """The mean next observation (B, n_obs) of the learned model's elites."""
    model = algorithm.ensemble
    means, _ = model.gaussians(model.inputs(torch.cat([obs, actions], 1)))
    return obs + model.targets.inverse(means[model.elites].mean(0))[:, : model.n_obs]


def left(guess: Tensor, change: Tensor, moving: Tensor) -> float:
    """Part of a change (B, n) that a guess leaves unexplained: the mean over the entries that move."""
    ratio = (guess - change).square().mean(0) / change.square().mean(0)
    return round(float(ratio[moving].mean()), 4)


def table(rows: list[Row]) -> str:
    """Markdown, means over the seeds."""
    names = {
        "change_to_step": "change / step, in deviations",
        "obs_by_jacobian": "left by the exact Jacobian",
        "obs_by_model": "left by the learned model",
        "reward_by_gradient": "of the reward, by its gradient",
        "step_by_model": "of the step itself, by the model",
    }
    lines = [table_line(["actions moved by", *names.values()]), "|---|" + "---|" * len(names)]
    for size in SIZES:
        group = [row for row in rows if row["size"] == size]
        if group:
            lines.append(table_line([f"±{size}", *(f"{np.mean([row[name] for row in group]):.3f}" for name in names)]))
    return "\n".join(lines)


BENCHMARK = Benchmark("ant_patches", ("size", "seed"), measured, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.set_defaults(work_dir=Path("runs") / ant_figure5.BENCHMARK.name)
    arguments = parser.parse_args(argv)
    sizes, seeds = (SIZES[:1], [0]) if arguments.quick else (SIZES, ant_figure5.SEEDS)
    return BENCHMARK.main(arguments, [(size, seed) for seed in seeds for size in sizes])


if __name__ == "__main__":
    sys.exit(main())
