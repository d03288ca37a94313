"""Figure 5 of Ruppel, Hendrich and Zhang: the loss of relaxed grasps, by Gauss-Newton and by back propagation.

    python benchmarks/consistency_figure5.py              # runs what is missing, writes results/...json
    python benchmarks/consistency_figure5.py --table      # prints the stored results as markdown
    python benchmarks/consistency_figure5.py --plot docs/consistency_figure5.png

Both minimise the same sum of squares with the preset's last weights throughout. The loss is that of 32 starts that no
training saw, the median over them, because of those rollouts that explode; seconds are those of one core.
"""

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from trainings import Benchmark, Row, table_line, train_run

from gradgym.agents import RelaxedConsistency
from gradgym.agents.consistency.linearization import losses
from gradgym.agents.consistency.residuals import Residuals
from gradgym.agents.training.configuration import RunConfig, load_preset

ENV, ALGO, MINUTES = "gradgym/ShadowHandGrasp-v0", "relaxed_consistency", 4.0
# Of each: label and changes of the preset.
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gauss_newton": ("Gauss-Newton", {}),
    "adam": ("Adam, 1e-3", {"optimizer": "adam", "learning_rate": 1e-3}),
    "adam_fast": ("Adam, 3e-3", {"optimizer": "adam", "learning_rate": 3e-3}),
}
SEEDS = range(3)
TIMES = (20, 60, 120, 180, 240)


class UnseenLoss(BaseCallback):
    """The loss of 32 other starts, every so many seconds of training; its own time does not count."""

    def __init__(self, period: float) -> None:
        super().__init__()
        self.period, self.begun = period, 0.0
        self.curve: list[tuple[float, float]] = []

    def _on_training_start(self) -> None:
        model: Any = self.model
        scene = model.policy.relaxed.scene
        self.start = scene.start(scene.task.initial([np.random.default_rng(10_000_000 + i) for i in range(32)]))
        late = torch.linspace(0.0, 1.0, model.policy.relaxed.settings.horizon + 1) ** model.late
        self.residuals = Residuals(model.policy.relaxed, model.weights, late)
        self.begun = perf_counter()

    @torch.no_grad()
    def _on_rollout_start(self) -> None:
        seconds = perf_counter() - self.begun
        if seconds < self.period * len(self.curve):
            return
        model: Any = self.model
        path = model.policy.relaxed.rollout(model.policy.parameter_vector.data, self.start)
        found = losses(self.residuals.values(path, self.start)) / len(path.pos)
        self.curve.append((round(seconds, 1), round(float(found.nanmedian()), 4)))
        self.begun = perf_counter() - seconds

    def _on_step(self) -> bool:
        return True


def train(optimizer: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and its row."""
    limits = {"max_minutes": 0.05 if quick else MINUTES, "eval_freq": 10**9, "checkpoint_freq": 10**9}
    limits |= {"eval_episodes": 1, "total_timesteps": 10**9, "ramp": 1.0}
    settings = load_preset(ALGO, ENV, OPTIMIZERS[optimizer][1] | limits)
    del settings["first_weights"]
    RelaxedConsistency("ConsistencyPolicy", ENV, batch_size=2).learn(1)  # compiles
    config = RunConfig.from_settings(settings, algo=ALGO, env=ENV, seed=seed)
    unseen = UnseenLoss(1.0 if quick else 5.0)
    _, measured = train_run(config, work_dir / f"{optimizer}-{seed}", unseen)
    del measured["curve"]
    return {"optimizer": optimizer, "seed": seed, **measured, "curve": unseen.curve}


def table(rows: list[Row]) -> str:
    """Markdown: the loss after some times, mean over seeds."""
    lines = [table_line(["", "updates", *(f"{t} s" for t in TIMES)]), "|---|---|" + "---|" * len(TIMES)]
    for optimizer, (label, _) in OPTIMIZERS.items():
        found = [row for row in rows if row["optimizer"] == optimizer]
        if found:
            curves = [np.array(row["curve"]).T for row in found]
            at = [np.mean([np.interp(t, seconds, loss) for seconds, loss in curves]) for t in TIMES]
            updates = f"{np.mean([row['updates'] for row in found]):.0f}"
            lines.append(table_line([label, updates, *(f"{loss:.1f}" for loss in at)]))
    return "\n".join(lines)


def plot(rows: list[Row], file: Path) -> None:
    """The loss against seconds, on a logarithmic scale; each seed a line."""
    figure, axis = plt.subplots(figsize=(5.0, 3.2))
    for color, (optimizer, (label, _)) in enumerate(OPTIMIZERS.items()):
        for i, row in enumerate(row for row in rows if row["optimizer"] == optimizer):
            seconds, loss = zip(*row["curve"], strict=True)
            axis.semilogy(seconds, loss, color=f"C{color}", linewidth=1.0, label=label if i == 0 else None)
    axis.set(xlabel="seconds of training on one core", ylabel="loss of unseen starts")
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


BENCHMARK = Benchmark("consistency_figure5", ("optimizer", "seed"), train, table, plot)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), default=list(OPTIMIZERS))
    arguments = parser.parse_args(argv)
    jobs = [(optimizer, seed) for seed in arguments.seeds for optimizer in arguments.optimizers]
    return BENCHMARK.main(arguments, jobs[:1] if arguments.quick else jobs)


if __name__ == "__main__":
    sys.exit(main())
