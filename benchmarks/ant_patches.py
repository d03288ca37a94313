"""What a transition's exact Jacobians tell of the transitions around it, on the Ant, and what MBPO's model tells.

    python benchmarks/ant_patches.py              # measures, writes results/ant_patches.json
    python benchmarks/ant_patches.py --table      # prints the stored results as markdown

The transitions are those that the last policy of `ant_figure5.py`'s SAC with sample enhancement makes in its training's
environment; run and memory are taken from that benchmark's folder, or else made there. The model is MBPO's, fitted to
all that the memory holds. Each transition is made again from the same state with an action moved as sample enhancement
moves it. Of the change in the next observation, and in the reward, each guess leaves a part unexplained: its mean
squared error in units of the mean square of the change, entry by entry.
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
from gradgym.agents.mbpo.ensemble import ProbabilisticEnsemble
from gradgym.agents.mbpo.replay import Batch, BatchGradients
from gradgym.agents.mbpo.sample_enhancement import first_order, perturbations
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.run import FINAL

METHOD = "sac, sample"
SIZES = (0.01, 0.05, 0.1, 0.2, 0.4)
TRANSITIONS, EVERY = 500, 7  # steps from one to the next
EPOCHS = 20  # of the model's fit, at most


def measured(seed: int, quick: bool, work_dir: Path) -> Row:
    """The parts left unexplained, for perturbations of each size."""
    torch.set_num_threads(1)
    config, run_dir = ant_figure5.run_config(METHOD, seed, quick), work_dir / ant_figure5.run_name(METHOD, seed)
    if not (run_dir / FINAL).exists():
        train_run(config, run_dir)
    algorithm = load_checkpoint(run_dir / "checkpoint.pkl").algorithm
    assert isinstance(algorithm, MBPO)
    torch.manual_seed(0)
    real = algorithm.replay_buffer.everything()
    model = ProbabilisticEnsemble(real.obs.shape[1], real.actions.shape[1], True, **config.hyperparams["model_kwargs"])
    fit = model.fit(real.obs, real.actions, real.next_obs, real.rewards, max_epochs=2 if quick else EPOCHS)
    env = config.make_training_env(gradients="action")
    found = [parts(*transitions(env, algorithm, size, quick), model) for size in SIZES]
    return {"seed": seed, "memory": len(real.rewards), "model_error": round(fit["model_error"], 4), "sizes": found}


def parts(here: Batch, gradients: BatchGradients, moved: Batch, model: ProbabilisticEnsemble) -> dict[str, float]:
    """What each guess leaves of the changes from some transitions to others."""
    step, change = here.next_obs - here.obs, moved.next_obs - here.next_obs
    guess = first_order(here, gradients, moved.actions - here.actions)
    there, then = (learned(model, here.obs, action) for action in (moved.actions, here.actions))
    by_reward = (moved.rewards - here.rewards)[:, None]
    return {
        "change": round(float((change.square().mean(0) / step.var(0)).mean().sqrt()), 4),
        "obs_by_jacobian": left(guess.next_obs - here.next_obs, change),
        "obs_by_model": left((there - then)[:, :-1], change),
        "reward_by_gradient": left((guess.rewards - here.rewards)[:, None], by_reward),
        "reward_by_model": left((there - then)[:, -1:], by_reward),
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
def learned(model: ProbabilisticEnsemble, obs: Tensor, actions: Tensor) -> Tensor:
    """Change of the observation, and reward, (B, n_obs + 1): the means of the learned model's elites."""
    means, _ = model.gaussians(model.inputs(torch.cat([obs, actions], 1)))
    return model.targets.inverse(means[model.elites].mean(0))


def left(guess: Tensor, change: Tensor) -> float:
    """Part of a change (B, n) that a guess leaves unexplained: the median over the entries."""
    ratio = (guess - change).square().mean(0) / change.square().mean(0)
    return round(float(ratio.median()), 4)


def table(rows: list[Row]) -> str:
    """Markdown, means over the seeds."""
    names = {
        "change": "change in s', in deviations of a step",
        "obs_by_jacobian": "of s' left by the exact Jacobian",
        "obs_by_model": "by the learned model",
        "reward_by_gradient": "of the reward left by its gradient",
        "reward_by_model": "by the learned model",
    }
    lines = [table_line(["actions moved by", *names.values()]), "|---|" + "---|" * len(names)]
    for place, size in enumerate(SIZES):
        means = [float(np.mean([row["sizes"][place][name] for row in rows])) for name in names]
        lines.append(table_line([f"±{size}", *(f"{mean:.2g}" for mean in means)]))
    return "\n".join(lines)


BENCHMARK = Benchmark("ant_patches", ("seed",), measured, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.set_defaults(work_dir=Path("runs") / ant_figure5.BENCHMARK.name)
    arguments = parser.parse_args(argv)
    return BENCHMARK.main(arguments, [(seed,) for seed in ([0] if arguments.quick else ant_figure5.SEEDS)])


if __name__ == "__main__":
    sys.exit(main())
