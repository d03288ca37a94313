"""What a transition's exact Jacobians tell of the transitions around it, on the Ant, and what MBPO's model tells.

    python benchmarks/ant_patches.py              # measures, writes results/ant_patches.json
    python benchmarks/ant_patches.py --table      # prints the stored results as markdown

The transitions are those that the last policy of `ant_figure5.py`'s SAC with sample enhancement makes in its training's
environment; run and memory are taken from that benchmark's folder, or else made there. The model is MBPO's, fitted to
all that the memory holds. Each transition is made again from the same state with an action moved as sample enhancement
moves it. How far a guess of the change in the next observation, or in the reward, is off is told as a part of that
change, transition by transition; observations are measured in the deviations of their entries' steps.
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
    """How far guesses are off, for perturbations of each size."""
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
    found = [errors(*transitions(env, algorithm, size, quick), model) for size in SIZES]
    return {"seed": seed, "memory": len(real.rewards), "model_error": round(fit["model_error"], 4), "sizes": found}


def errors(here: Batch, gradients: BatchGradients, moved: Batch, model: ProbabilisticEnsemble) -> dict[str, Any]:
    """How far each guess is off of the changes from some transitions to others."""
    scale = (here.next_obs - here.obs).std(0)
    change = (moved.next_obs - here.next_obs) / scale, (moved.rewards - here.rewards)[:, None]
    first = first_order(here, gradients, moved.actions - here.actions)
    by_jacobian = (first.next_obs - here.next_obs) / scale, (first.rewards - here.rewards)[:, None]
    learned = predicted(model, here.obs, moved.actions) - predicted(model, here.obs, here.actions)
    by_model = learned[:, :-1] / scale, learned[:, -1:]
    return {
        "change": float(change[0].norm(dim=1).median()),
        "obs_by_jacobian": off(by_jacobian[0], change[0]),
        "obs_by_model": off(by_model[0], change[0]),
        "reward_by_gradient": off(by_jacobian[1], change[1]),
        "reward_by_model": off(by_model[1], change[1]),
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
def predicted(model: ProbabilisticEnsemble, obs: Tensor, actions: Tensor) -> Tensor:
    """Change of the observation, and reward, (B, n_obs + 1): the means of the learned model's elites."""
    means, _ = model.gaussians(model.inputs(torch.cat([obs, actions], 1)))
    return model.targets.inverse(means[model.elites].mean(0))


def off(guess: Tensor, change: Tensor) -> list[float]:
    """The error of a guess of changes (B, n) as a part of the change: median and 90th percentile."""
    ratio = (guess - change).norm(dim=1) / change.norm(dim=1)
    return [round(float(x), 4) for x in np.quantile(ratio.numpy(), (0.5, 0.9))]


def table(rows: list[Row]) -> str:
    """Markdown: medians and 90th percentiles, means over the seeds."""
    names = {
        "obs_by_jacobian": "s' by the exact Jacobian is off by",
        "obs_by_model": "by the learned model",
        "reward_by_gradient": "reward by its gradient",
        "reward_by_model": "by the learned model",
    }
    lines = [table_line(["actions moved by", "change in s'", *names.values()]), "|---|" + "---|" * (len(names) + 1)]
    for place, size in enumerate(SIZES if rows else ()):
        found = [row["sizes"][place] for row in rows]
        cells = [f"{np.mean([one['change'] for one in found]):.2f}"]
        for name in names:
            cells.append(", ".join(f"{100 * x:.0f} %" for x in np.mean([one[name] for one in found], axis=0)))
        lines.append(table_line([f"±{size}", *cells]))
    return "\n".join(lines)


BENCHMARK = Benchmark("ant_patches", ("seed",), measured, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.set_defaults(work_dir=Path("runs") / ant_figure5.BENCHMARK.name)
    arguments = parser.parse_args(argv)
    return BENCHMARK.main(arguments, [(seed,) for seed in ([0] if arguments.quick else ant_figure5.SEEDS)])


if __name__ == "__main__":
    sys.exit(main())
