"""Table 5 of Qiao et al. 2021: policies of our Ant in Gymnasium's own, as they are and after a little training there.

    python benchmarks/ant_table5.py              # runs what is missing, writes results/ant_table5.json
    python benchmarks/ant_table5.py --table      # prints the stored results as markdown

It goes on from what is stored (see `trainings.py`). Pretrained are the last policies of
`ant_figure5.py` with sample enhancement, taken from its folder or else made there; without
pretraining a policy is that of the same seed before its first update. The paper evaluates without
retraining. Here both are also trained by SAC in Gymnasium's Ant, which offers no gradients, for the
same few steps. Every evaluation has the same episodes, whose seeds no training saw.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ant_figure5
import gymnasium
import numpy as np
import torch
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents import MBPO
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import FINAL, Run

EPISODES = 20
TUNING_STEPS = 2000
GYMNASIUM_ANT: dict[str, Any] = {"env": "Ant-v5", "env_kwargs": {"include_cfrc_ext_in_observation": False}}
PRETRAINED, UNTRAINED = "with pretraining", "without pretraining"
PAPER = {UNTRAINED: "868 ± 77", PRETRAINED: "1735 ± 1066"}
BACKENDS = {
    "sim": "ours",
    "mujoco": "ours, stepped by MuJoCo",
    "gymnasium": "Gymnasium's Ant-v5",
    "tuned": f"the same, after {TUNING_STEPS} steps there",
}


def evaluate(policy: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """Returns of one policy on every backend, and after training in Gymnasium's Ant."""
    torch.set_num_threads(1)
    config = ant_figure5.run_config("sample", seed, quick)
    run_dir = work_dir / ant_figure5.run_name("sample", seed)
    if policy == UNTRAINED:
        algorithm = MBPO.from_config(config)
    else:
        if not (run_dir / FINAL).exists():
            train_run(config, run_dir)
        algorithm = load_checkpoint(run_dir / "checkpoint.pkl").algorithm  # with the critics, to go on with
    episodes = 1 if quick else EPISODES
    theirs = gymnasium.make(GYMNASIUM_ANT["env"], **GYMNASIUM_ANT["env_kwargs"])
    envs = {"sim": config.make_env(), "mujoco": config.make_env(backend="mujoco"), "gymnasium": theirs}
    returns = {name: evaluate_returns(algorithm, env, episodes, seed=0) for name, env in envs.items()}
    tuned = tune(algorithm, config, work_dir / f"tuned-{policy.replace(' ', '-')}-{seed}", quick)
    returns["tuned"] = evaluate_returns(tuned, theirs, episodes, seed=0)
    means = {name: float(values.mean()) for name, values in returns.items()}
    return {
        "policy": policy,
        "seed": seed,
        "episodes": episodes,
        "mean_return": means,
        "std_return": {name: float(values.std()) for name, values in returns.items()},
        "gap": means["gymnasium"] / means["sim"] - 1.0,
    }


def tune(start: MBPO, config: RunConfig, run_dir: Path, quick: bool) -> MBPO:
    """SAC in Gymnasium's Ant from the networks of `start`, with the settings of its training."""
    steps = 100 if quick else TUNING_STEPS
    hyperparams = config.hyperparams | {"enhancement": None, "model": False, "learning_starts": 0}
    config = replace(config, **GYMNASIUM_ANT, hyperparams=hyperparams)
    run = Run(replace(config, total_timesteps=steps, eval_freq=steps), run_dir)
    assert isinstance(run.algorithm, MBPO)
    run.algorithm.policy.load_state_dict(start.policy.state_dict())
    assert run.algorithm.log_ent_coef is not None and start.log_ent_coef is not None
    run.algorithm.log_ent_coef.data.copy_(start.log_ent_coef.data)
    run.train()
    return run.algorithm


def table(rows: list[Row]) -> str:
    """Markdown: mean and deviation of the policies' mean returns, and the largest gap between Gymnasium's and ours."""
    lines = [
        table_line(["", *BACKENDS.values(), "largest gap", "paper, in MuJoCo"]),
        "|---|" + "---|" * (len(BACKENDS) + 2),
    ]
    for policy in (UNTRAINED, PRETRAINED):
        group = [row for row in rows if row["policy"] == policy]
        means = [np.array([row["mean_return"][name] for row in group]) for name in BACKENDS]
        gap = max((abs(row["gap"]) for row in group), default=np.nan)
        cells = [f"{m.mean():.1f} ± {m.std():.1f}" for m in means]
        lines.append(table_line([f"{policy} ({len(group)})", *cells, f"{100 * gap:.1g} %", PAPER[policy]]))
    return "\n".join(lines)


BENCHMARK = Benchmark("ant_table5", ("policy", "seed"), evaluate, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.set_defaults(work_dir=Path("runs") / ant_figure5.BENCHMARK.name)
    arguments = parser.parse_args(argv)
    seeds = [0] if arguments.quick else ant_figure5.SEEDS
    return BENCHMARK.main(arguments, [(policy, seed) for policy in (UNTRAINED, PRETRAINED) for seed in seeds])


if __name__ == "__main__":
    sys.exit(main())
