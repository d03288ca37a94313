"""Table 1 of Aceituno et al.: object-trajectory losses of the architectures that push from video.

    python benchmarks/pushing_table1.py              # makes the data, runs what is missing, writes results/...json
    python benchmarks/pushing_table1.py --table      # prints the stored results as markdown
    python benchmarks/pushing_table1.py --plot docs/pushing_table1.png    # losses against iterations, Figure 6
    python benchmarks/pushing_table1.py --strips docs/pushing_strips.png  # goals and motions, Figure 7

It goes on from what is stored (see `trainings.py`). Architectures that end where others go on are taken on the way: a
run of NNM is one of NN too, one of DLM is one of MDR and CVX. Losses are means over a set's tasks, in squared
centimetres as the paper's code computes them (`envs/pushing_loss.py`), of contact without softness; networks are those
of the end of each stage. In `+ direct` no network is trained: the simulator's gradient improves actions, task by task.
"""

import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import imageio.v3 as imageio
import matplotlib.pyplot as plt
import numpy as np
import torch
from trainings import Benchmark, Row, table_line

from gradgym.agents.pushing.architectures import STAGES, Actions, Architecture
from gradgym.agents.pushing.dataset import Dataset
from gradgym.agents.pushing.execution import Execution
from gradgym.agents.pushing.generation import PAPER_SETS, TaskSet, TaskSettings, generate
from gradgym.agents.pushing.oracle import plan_contacts
from gradgym.agents.pushing.refinement import refine
from gradgym.agents.pushing.tasks import SmoothShapes
from gradgym.agents.pushing.trainer import PushingTrainer, TrainSettings
from gradgym.agents.training.configuration import load_dataset_preset

# Which architectures a run passes, and at the end of which stage.
RUNS = {
    "nnm": {"command": "nn", "simulation": "nnm"},
    "dlm": {"parameter": "mdr", "solution": "cvx", "simulation": "dlm"},
    "cvx": {"parameter": "mdr", "solution": "cvx"},
}
LABELS = {
    "nn": "NN",
    "nnm": "NNM",
    "mdr": "MDR",
    "cvx": "CVX",
    "dlm": "DLM",
    "cvx_direct": "CVX + direct",
    "dlm_direct": "DLM + direct",
    "oracle": "MIQP",
}
PAPER = {  # of the first four sets
    "nn": (8.5, None, 9.5, 10.0),
    "nnm": (None, 15.0, 11.0, 15.0),
    "mdr": (4.5, None, 7.5, 4.5),
    "cvx": (2.0, None, 4.0, 3.5),
    "dlm": (None, 1.5, 3.5, 3.5),
}
SETS = ("training", "finetuning", "test", "family", "smooth")
SEEDS = range(5)
_TRIED = 40  # tasks of a set, at most


@dataclass(frozen=True)
class Variant:
    """Data and settings of runs."""

    label: str
    changes: dict[str, Any] | None  # of the preset; None: the paper's settings
    data: TaskSettings = field(default_factory=TaskSettings)
    counts: dict[str, int] = field(default_factory=dict)  # of tasks, where they are not the paper's
    smooth: bool = False


_MANY = {
    "iterations": {"command": 1500, "parameter": 1500, "solution": 1000, "simulation": 100},
    "batch": 40,
    "dropout": 0.1,
}
VARIANTS = {
    "paper": Variant("the paper's 100 iterations a loss", None),
    "preset": Variant("the preset", {}, smooth=True),
    "thousand": Variant("1000 training tasks", _MANY, counts={"training": 1000, "finetuning": 100}, smooth=True),
    "three_fingers": Variant("the preset, three fingers", {}, TaskSettings(num_fingers=3)),
    "ten_knots": Variant("the preset, T = 10", {}, TaskSettings(knots=10)),
}


def data_sets(variant: str, work_dir: Path, quick: bool) -> dict[str, Dataset]:
    """Those of a variant, made where they are missing."""
    chosen = VARIANTS[variant]
    sets: Mapping[str, TaskSet] = {**PAPER_SETS, **({"smooth": TaskSet(40, SmoothShapes())} if chosen.smooth else {})}
    counts = dict.fromkeys(sets, 2) if quick else chosen.counts
    sets = {name: task_set._replace(tasks=counts.get(name, task_set.tasks)) for name, task_set in sets.items()}
    shared = [name for name, other in VARIANTS.items() if (other.data, other.counts) == (chosen.data, chosen.counts)]
    folder = work_dir / f"data-{shared[0]}"
    generate(folder, sets, chosen.data)
    return {name: Dataset.load(folder / f"{name}.npz") for name in sets}


@cache
def executions(variant: str, work_dir: Path, quick: bool) -> dict[str, Execution]:
    """Of the first tasks of each set."""
    sets = data_sets(variant, work_dir, quick)
    return {name: Execution(Dataset(data.tasks[:_TRIED])) for name, data in sets.items()}


def settings_of(variant: str, seed: int, quick: bool) -> tuple[TrainSettings, float, float]:
    """Of the training, softness of its simulator [m] and dropout of its networks."""
    chosen = VARIANTS[variant]
    preset = load_dataset_preset("pushing", chosen.changes or {})
    softness, dropout = preset.pop("contact_softness"), preset.pop("dropout")
    own = {name: value for name, value in preset.items() if name not in ("folder", "arch")}
    settings = TrainSettings(seed=seed) if chosen.changes is None else TrainSettings(seed=seed, **own)
    losses = settings.iterations
    iterations = dict.fromkeys(losses, 2) if quick else losses
    often = 2 if quick else 25 if chosen.changes is None else 250
    return replace(settings, iterations=iterations, evaluate_every=often), softness, dropout


def train(variant: str, run: str, seed: int, quick: bool, work_dir: Path) -> Row:
    """One training and the losses of the architectures that it passed."""
    torch.set_num_threads(1)
    tried, sets = executions(variant, work_dir, quick), data_sets(variant, work_dir, quick)
    fingers = sets["training"].tasks[0].plan.p.shape[1]
    settings, softness, dropout = settings_of(variant, seed, quick)
    architecture = Architecture(run, fingers, dropout=dropout, seed=seed)
    soft = Execution(sets["finetuning"], softness)
    run_dir = work_dir / f"{variant}-{run}-{seed}"
    shutil.rmtree(run_dir, ignore_errors=True)  # the curve is of one go
    trainer = PushingTrainer(
        architecture,
        settings,
        sets["training"].batch,
        run_dir,
        sets["finetuning"].batch,
        soft.simulate,
        {name: execution.loss for name, execution in tried.items()},
    )
    curve: list[dict[str, float]] = []
    begun = perf_counter()

    def keep(found: dict[str, float]) -> None:
        if any(name.startswith("evaluation/") for name in found):
            curve.append({name.removeprefix("evaluation/"): round(value, 4) for name, value in found.items()})

    trainer.train(progress=False, after_iteration=keep)
    seconds = perf_counter() - begun
    stages = dict(zip(trainer.ends, (RUNS[run][loss] for loss in STAGES[run]), strict=True))
    row: Row = {"variant": variant, "run": run, "seed": seed, "seconds": round(seconds, 1)}
    row["losses"] = {
        stages[int(found["iteration"])]: {name: found[name] for name in tried}
        for found in curve
        if found["iteration"] in stages
    }
    row["curve"] = curve
    row["mujoco"] = {}
    for name, execution in tried.items():
        twin = Execution(execution.data, backend="mujoco")
        row["mujoco"][name] = round(twin.loss(architecture), 4)
    if run in ("cvx", "dlm"):
        row["losses"][f"{run}_direct"] = direct(architecture, tried, softness, 2 if quick else 60)
    row["oracle"] = {name: _mean(task.losses.plan for task in e.data.tasks) for name, e in tried.items()}
    row["held"] = {name: _mean(task.losses.held for task in e.data.tasks) for name, e in tried.items()}
    row["times"] = times(architecture, trainer, soft)
    return row


def direct(
    architecture: Architecture, tried: dict[str, Execution], softness: float, iterations: int
) -> dict[str, float]:
    """Losses of actions that the simulator's gradient made of the networks' own, on the two test sets."""
    found = {}
    for name in ("test", "family"):
        soft = Execution(tried[name].data, softness)
        actions = refine(soft, tried[name].act(architecture), iterations, trial=tried[name])
        found[name] = round(float(tried[name].outcome(actions).losses.mean()), 4)
    return found


def times(architecture: Architecture, trainer: PushingTrainer, soft: Execution) -> dict[str, float]:
    """Seconds a task: of acting, and of the backward pass of each loss; of L_sim by differences too; of the oracle."""
    found: dict[str, float] = {}
    count = len(soft.simulators)
    which = torch.arange(count)
    video = soft.data.batch.video
    architecture.eval()
    with torch.no_grad():
        begun = perf_counter()
        for i in range(count):
            architecture.act(video[i : i + 1])
        found["forward"] = (perf_counter() - begun) / count
    differences = Execution(soft.data, gradient="differences")
    architecture.train()
    known = trainer.training[torch.arange(min(_TRIED // 2, len(trainer.training)))]
    for loss in architecture.stages:
        if loss == "simulation":
            continue
        value = architecture.label_loss(loss, known)
        begun = perf_counter()
        value.backward()
        found[loss] = (perf_counter() - begun) / len(known)
    for name, execution in (("simulation", soft), ("differences", differences)):
        value = execution.losses(architecture.act(video), which).mean()
        begun = perf_counter()
        value.backward()
        found[name] = (perf_counter() - begun) / count
    begun = perf_counter()
    for task in soft.data.tasks:
        plan_contacts(task.polygon, task.plan.r, task.plan.p.shape[1])
    found["oracle"] = (perf_counter() - begun) / count
    return {name: round(value, 5) for name, value in found.items()}


def _mean(values: Any) -> float:
    return round(float(np.mean(list(values))), 4)


def table(rows: list[Row]) -> str:
    """Markdown: mean and standard deviation over seeds of the losses on each set, the paper's means in brackets."""
    lines: list[str] = []
    for variant, chosen in VARIANTS.items():
        found = [row for row in rows if row["variant"] == variant]
        if not found:
            continue
        sets = [name for name in SETS if name in found[0]["oracle"]]
        lines += [f"**{chosen.label}**, {len({row['seed'] for row in found})} seeds", ""]
        lines += [table_line(["", *sets]), "|---|" + "---:|" * len(sets)]
        for arch, label in LABELS.items():
            by_seed = {row["seed"]: row["oracle"] if arch == "oracle" else row["losses"].get(arch) for row in found}
            by_seed |= {row["seed"]: row["losses"][arch] for row in found if arch in row["losses"]}
            losses = [one for one in by_seed.values() if one is not None]
            if losses:
                lines.append(table_line([label, *(_cell(arch, i, name, losses) for i, name in enumerate(sets))]))
        held = found[0]["held"]
        lines += [table_line(["fingers held", *(f"{held[name]:.1f}" for name in sets)]), ""]
    return "\n".join([*lines, *_speed(rows)]).strip()


def _speed(rows: list[Row]) -> list[str]:
    """Milliseconds a task, medians over the runs; and how far losses in MuJoCo are from ours."""
    kinds = {
        "command": ("backward, NN", "50"),
        "parameter": ("backward, MDR", "100"),
        "solution": ("backward, CVX", "230"),
        "simulation": ("backward, NNM and DLM, adjoint", "-"),
        "differences": ("the same by our central differences", "40000"),
        "forward": ("forward", "60 to 110"),
        "oracle": ("MIQP", "570"),
    }
    lines = [table_line(["milliseconds a task", "ours", "the paper's"]), "|---|---:|---:|"]
    for name, (label, paper) in kinds.items():
        values = [1e3 * row["times"][name] for row in rows if name in row["times"]] or [math.nan]
        lines.append(table_line([label, f"{np.median(values):.1f}", paper]))
    return lines


def _cell(arch: str, column: int, name: str, losses: list[dict[str, float]]) -> str:
    values = [one[name] for one in losses if name in one]
    if not values:
        return "-"
    paper = PAPER.get(arch, ())
    known = paper[column] if column < len(paper) else None
    spread = "" if arch == "oracle" else f" ± {np.std(values):.1f}"
    return f"{np.mean(values):.{2 if arch == 'oracle' else 1}f}{spread}" + ("" if known is None else f" ({known})")


def plot(rows: list[Row], file: Path) -> None:
    """Losses on the test sets against iterations; each seed a line, stages end at the dashes."""
    variants = [name for name in VARIANTS if any(row["variant"] == name for row in rows)]
    figure, axes = plt.subplots(2, len(variants), figsize=(3.6 * len(variants), 5.0), squeeze=False, sharex="col")
    for column, variant in enumerate(variants):
        for line, name in enumerate(("test", "family")):
            axis = axes[line, column]
            for color, run in enumerate(RUNS):
                found = [row for row in rows if (row["variant"], row["run"]) == (variant, run)]
                for i, row in enumerate(found):
                    x, y = zip(*((e["iteration"], e[name]) for e in row["curve"]), strict=True)
                    label = run.upper() if i == 0 else None
                    axis.semilogy(x, y, color=f"C{color}", linewidth=0.8, label=label)
            axis.set(title=f"{VARIANTS[variant].label}\n{name}", ylabel="loss [cm²]" if column == 0 else None)
            axis.title.set_fontsize(9)
        axes[1, column].set_xlabel("iterations")
    axes[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def strips(work_dir: Path, file: Path, tasks: int = 2) -> None:
    """Goals (outlines) and motions by NNM and DLM of the preset, first seed, of the first tasks of both test sets."""
    pictures = []
    for name in ("family", "test"):
        execution = executions("preset", work_dir, False)[name]
        actions: list[Actions] = []
        for run in ("nnm", "dlm"):
            settings, _, dropout = settings_of("preset", 0, False)
            network = Architecture(run, dropout=dropout)
            training = data_sets("preset", work_dir, False)["training"].batch
            run_dir = work_dir / f"preset-{run}-0"
            if not (run_dir / "checkpoint.safetensors").exists():
                raise SystemExit(f"{run_dir}: has no checkpoint, run the benchmark first")
            PushingTrainer(network, settings, training, run_dir, training, execution.simulate)
            actions.append(execution.act(network))
        pictures += [np.concatenate([execution.strips(one, tasks) for one in actions], axis=1)]
    imageio.imwrite(file, np.concatenate(pictures))


BENCHMARK = Benchmark("pushing_table1", ("variant", "run", "seed"), train, table, plot)


def main(argv: list[str] | None = None) -> int:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--strips", type=Path, metavar="FILE", help="draw goals and motions")
    arguments = parser.parse_args(argv)
    if arguments.strips is not None:
        strips(arguments.work_dir, arguments.strips)
        return 0
    jobs = [(v, run, seed) for v in arguments.variants for seed in arguments.seeds for run in arguments.runs]
    jobs = [("paper", "dlm", 0)] if arguments.quick else jobs
    if not (arguments.table or arguments.plot):
        arguments.work_dir.mkdir(parents=True, exist_ok=True)
        for variant in dict.fromkeys(variant for variant, *_ in jobs):
            data_sets(variant, arguments.work_dir, arguments.quick)  # before processes would make the same
    return BENCHMARK.main(arguments, jobs)


if __name__ == "__main__":
    sys.exit(main())
