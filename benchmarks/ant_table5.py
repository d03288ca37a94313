"""Table 5 of Qiao et al. 2021: policies of our Ant in Gymnasium's own, as they are and after a little training there.

    python benchmarks/ant_table5.py              # runs what is missing, writes results/ant_table5.json
    python benchmarks/ant_table5.py --table      # prints the stored results as markdown

It goes on from what is stored (see `trainings.py`). Pretrained are the last policies of
`ant_figure5.py`'s SAC with sample enhancement, taken from its folder or else made there; without
pretraining a policy is that of the same seed before its first update. The paper evaluates without
retraining. Here both are also trained by SAC in Gymnasium's Ant, which offers no gradients, for the
same steps. A row of its own has the policy of SHAC that comes with the package, as it is. Every
evaluation has the same episodes, whose seeds no training saw.
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
from gradgym.agents.pretrained import pretrained
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import evaluate_returns
from gradgym.agents.training.run import FINAL, Run

PRETRAINING = "sac, sample"
EPISODES = 10
TUNING_STEPS = (2000, 20_000)
GYMNASIUM_ANT: dict[str, Any] = {"env": "Ant-v5", "env_kwargs": {"include_cfrc_ext_in_observation": False}}
PRETRAINED, UNTRAINED, SHAC = "with pretraining", "without pretraining", "SHAC"
PAPER = {UNTRAINED: "868 ± 77", PRETRAINED: "1735 ± 1066", SHAC: ""}
BACKENDS = {"sim": "ours", "mujoco": "ours, stepped by MuJoCo", "gymnasium": "Gymnasium's Ant-v5"}
TUNED = {f"tuned {steps}": f"the same, after {steps} steps there" for steps in TUNING_STEPS}


def evaluate(policy: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """Returns of one policy on every backend, and after training in Gymnasium's Ant."""
    torch.set_num_threads(1)
    config = ant_figure5.run_config(PRETRAINING, seed, quick)
    episodes = 2 if quick else EPISODES
    theirs = gymnasium.make(GYMNASIUM_ANT["env"], **GYMNASIUM_ANT["env_kwargs"])
    envs = {"sim": config.make_env(), "mujoco": config.make_env(backend="mujoco"), "gymnasium": theirs}
    algorithm = pretrained(ant_figure5.ENV) if policy == SHAC else start(policy, config, seed, work_dir)
    returns = {name: evaluate_returns(algorithm, env, episodes, seed=0) for name, env in envs.items()}
    if isinstance(algorithm, MBPO):
        run_dir = work_dir / f"tuned-{policy.replace(' ', '-')}-{seed}"
        run = tuning(algorithm, config, run_dir)
        for name, steps in zip(TUNED, TUNING_STEPS, strict=True):
            run.config = replace(run.config, total_timesteps=steps // 20 if quick else steps)
            run.train()
            returns[name] = evaluate_returns(run.algorithm, theirs, episodes, seed=0)
    means = {name: float(values.mean()) for name, values in returns.items()}
    return {
        "policy": policy,
        "seed": seed,
        "episodes": episodes,
        "mean_return": means,
        "std_return": {name: float(values.std()) for name, values in returns.items()},
        "gap": means["gymnasium"] / means["sim"] - 1.0,
    }


def start(policy: str, config: RunConfig, seed: int, work_dir: Path) -> MBPO:
    """The policy before its first update, or after its training, with the critics to go on with."""
    if policy == UNTRAINED:
        return MBPO.from_config(config)
    run_dir = work_dir / ant_figure5.run_name(PRETRAINING, seed)
    if not (run_dir / FINAL).exists():
        train_run(config, run_dir)
    found = load_checkpoint(run_dir / "checkpoint.pkl").algorithm
    assert isinstance(found, MBPO)
    return found


def tuning(start: MBPO, config: RunConfig, run_dir: Path) -> Run:
    """A run of SAC in Gymnasium's Ant from the networks of `start`, with the settings of its training."""
    hyperparams = config.hyperparams | {"enhancement": None, "model": False, "learning_starts": 0}
    never = {"eval_freq": 10**9, "checkpoint_freq": 10**9}
    run = Run(replace(config, **GYMNASIUM_ANT, **never, train_env_kwargs={}, hyperparams=hyperparams), run_dir)
    assert isinstance(run.algorithm, MBPO)
    run.algorithm.policy.load_state_dict(start.policy.state_dict())
    assert run.algorithm.log_ent_coef is not None and start.log_ent_coef is not None
    run.algorithm.log_ent_coef.data.copy_(start.log_ent_coef.data)
    return run


def table(rows: list[Row]) -> str:
    """Markdown: mean and deviation of the policies' mean returns, and the largest gap between Gymnasium's and ours."""
    columns = BACKENDS | TUNED
    lines = [
        table_line(["", *columns.values(), "largest gap", "paper, in MuJoCo"]),
        "|---|" + "---|" * (len(columns) + 2),
    ]
    for policy in (UNTRAINED, PRETRAINED, SHAC):
        group = [row for row in rows if row["policy"] == policy]
        if group:
            cells = [
                _spread([row["mean_return"][name] for row in group if name in row["mean_return"]]) for name in columns
            ]
            gap = max(abs(row["gap"]) for row in group)
            lines.append(table_line([f"{policy} ({len(group)})", *cells, f"{100 * gap:.1g} %", PAPER[policy]]))
    return "\n".join(lines)


def _spread(means: list[float]) -> str:
    return f"{np.mean(means):.1f} ± {np.std(means):.1f}" if means else ""


BENCHMARK = Benchmark("ant_table5", ("policy", "seed"), evaluate, table)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.set_defaults(work_dir=Path("runs") / ant_figure5.BENCHMARK.name)
    arguments = parser.parse_args(argv)
    seeds = [0] if arguments.quick else ant_figure5.SEEDS
    jobs = [(policy, seed) for seed in seeds for policy in (PRETRAINED, UNTRAINED)]
    return BENCHMARK.main(arguments, [*jobs, (SHAC, 0)])


if __name__ == "__main__":
    sys.exit(main())
