"""The grasp network with and without the differentiable loss, on objects that it has not seen; Liu et al., VI.B.

    python benchmarks/grasp_network.py              # makes the data, runs what is missing, writes results/...json
    python benchmarks/grasp_network.py --table      # prints the stored results as markdown

Both go on from the same first phase and have the same epochs. Seconds are those of one core's work, whatever else the
core did. The run "full" measures one step of the paper's configuration, of which the table says what the whole costs.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from trainings import Benchmark, Row, table_line

from gradgym.agents.grasp import Hand, PlanSettings, plan
from gradgym.agents.grasp.dataset import ObjectData, Source, eight_rotations, generate, load_dataset
from gradgym.agents.grasp.depth_views import depth_views
from gradgym.agents.grasp.grasp_trainer import GraspTrainer, TrainSettings
from gradgym.agents.grasp.network_evaluation import evaluate, summary
from gradgym.agents.grasp.network_losses import TABLE_I
from gradgym.agents.grasp.resnet import ResNetConfig

OBJECTS = {"training": 40, "unseen": 10}
GRASPS, SIZE = 24, 64
SEEDS = range(3)
EPOCHS = (20, 8)
SETTINGS = TrainSettings(
    resnet=ResNetConfig(blocks=(1, 1, 1), bottleneck=False, width=16),
    epochs=EPOCHS,
    learning_rate=1e-3,
    picture_epochs=0,
    # Chosen on ten of the training objects: a network is millimetres wrong, and where the guide weighs less, or depth
    # more, its hand goes away from all objects rather than into some.
    objective=replace(TABLE_I, quality=10.0, collision=(200.0, 200.0), self_collision=(400.0, 400.0)),
)
LOSSES = ("without", "with")
FULL = {"objects": 400, "grasps": 100, "size": 224}  # and ResNet-50, and 35 and 71 epochs of 9 samples an object


def make_data(work_dir: Path, quick: bool) -> None:
    """Of both kinds of objects, in folders of their own; what is there is not made again."""
    for seed, (name, count) in enumerate(OBJECTS.items()):
        source = Source.random(2 if quick else count, seed)
        settings = PlanSettings(starts=4, iterations=2) if quick else PlanSettings(starts=36, iterations=120)
        generate(work_dir / name, Hand.shadow(), source, 4 if quick else GRASPS, 16 if quick else SIZE, True, settings)


def train(run: str, quick: bool, work_dir: Path) -> Row:
    """One row: of the seeds' runs the three trainings of a seed."""
    torch.set_num_threads(1)
    hand = Hand.shadow()
    if run == "full":
        return {"run": run, **full_costs(hand, quick)}
    data, unseen = (load_dataset(work_dir / name, hand) for name in OBJECTS)
    unseen = unseen[:1] if quick else unseen
    unseen = [replace(one, rotations=one.rotations[::2], views=one.views[::2]) for one in unseen]  # five of nine
    settings = replace(SETTINGS, epochs=(1, 1) if quick else EPOCHS, seed=int(run.split()[1]))
    first = work_dir / f"{run}-first".replace(" ", "-")
    shutil.rmtree(first, ignore_errors=True)
    begin = replace(settings, epochs=(settings.epochs[0], 0), objective=None)
    row: Row = {"run": run, "first": one_training(GraspTrainer(data, hand, begin, first))}
    for loss in LOSSES:
        folder = work_dir / f"{run}-{loss}".replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(first, folder)
        own = settings if loss == "with" else replace(settings, objective=None)
        trainer = GraspTrainer(data, hand, own, folder)
        row[loss] = one_training(trainer)
        result = evaluate(trainer.network, unseen, hand)
        row[loss]["grasps"] = sum(len(one.grasps) for one in result)
        row[loss] |= {name: round(value, 6) for name, value in summary(result).items()}
    return row


def one_training(trainer: GraspTrainer) -> Row:
    """Trains to the end; what it took."""
    curve: list[dict[str, float]] = []
    begun = process_time()
    trainer.train(progress=False, after_epoch=curve.append)
    seconds = process_time() - begun
    return {
        **{"epochs": trainer.epoch, "seconds": round(seconds, 1)},
        "seconds_a_sample": round(seconds / (len(curve) * len(trainer.samples)), 5),
        "curve": [{name: round(value, 4) for name, value in row.items()} for row in curve],
    }


def full_costs(hand: Hand, quick: bool) -> dict[str, Any]:
    """Seconds of one object's data and of one sample in each phase, in the paper's configuration."""
    size, grasps = (16, 2) if quick else (FULL["size"], FULL["grasps"])
    mesh = Source.random(1, 5).makers[0]()
    begun = process_time()
    views = depth_views(mesh, size, eight_rotations())
    rendered = process_time()
    found = plan(mesh, hand, grasps, settings=PlanSettings(starts=round(1.5 * grasps)), progress=False)
    planned = process_time()
    data = [ObjectData("object", mesh, eight_rotations(), views, found)]
    settings = TrainSettings(resnet=SETTINGS.resnet if quick else ResNetConfig())
    trainer, batch, seconds = GraspTrainer(data, hand, settings, Path("not written to")), [0, 1, 2, 3], []
    for second in (True, False, True):  # the first step also allocates, and does not count
        begin = process_time()
        first, then = trainer.losses(batch, second)
        (first + then).backward()
        seconds.append((process_time() - begin) / len(batch))
    costs = {
        "views": rendered - begun,
        "plan": planned - rendered,
        "first_phase": seconds[1],
        "second_phase": seconds[2],
    }
    return {name: round(value, 3) for name, value in costs.items()}


def table(rows: list[Row]) -> str:
    """Markdown: unseen objects by loss, mean over seeds and their range, and what the whole would cost."""
    titles = ["differentiable loss", "epochs", "Q1", "force closure", "inside object", "inside itself", "held"]
    lines = [table_line(titles), "|---|" + "---|" * 6]
    seeds = [row for row in rows if row["run"] != "full"]
    for loss in LOSSES if seeds else ():
        found = [row[loss] for row in seeds]
        cells = [
            *(_spread(found, "q1", 1.0, ".3f"), _spread(found, "closed", 1e2, ".0f") + " %"),
            *(_spread(found, key, 1e3, ".1f") + " mm" for key in ("penetration", "self_penetration")),
            _spread(found, "held", 1e2, ".1f") + " %",
        ]
        lines.append(table_line([loss, found[0]["epochs"], *cells]))
    return "\n".join([*lines, *("\n" + _whole(row) for row in rows if row["run"] == "full")])


def _spread(found: list[Row], key: str, factor: float, form: str) -> str:
    values = [factor * row[key] for row in found]
    return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _whole(row: Row) -> str:
    """A sentence of what the paper's configuration would take one core."""
    objects, epochs = FULL["objects"], TrainSettings().epochs
    samples = objects * len(eight_rotations())
    data = objects * (row["views"] + row["plan"]) / 3600.0
    first, second = (
        epochs[i] * samples * row[name] / 86400.0 for i, name in enumerate(("first_phase", "second_phase"))
    )
    return (
        f"The paper's configuration would take one core {data:.1f} hours for the data ({row['plan']:.0f} s for the "
        f"grasps and {row['views']:.1f} s for the views of an object) and {first:.0f} and {second:.0f} days for the "
        f"phases ({row['first_phase']:.2f} and {row['second_phase']:.2f} s a sample, {samples} samples, {epochs[0]} "
        f"and {epochs[1]} epochs)."
    )


BENCHMARK = Benchmark("grasp_network", ("run",), train, table)


def main(argv: list[str] | None = None) -> int:
    arguments = BENCHMARK.parser(__doc__).parse_args(argv)
    if not arguments.table:
        make_data(arguments.work_dir, arguments.quick)
    jobs = [(f"seed {seed}",) for seed in SEEDS]
    return BENCHMARK.main(arguments, [*(jobs[:1] if arguments.quick else jobs), ("full",)])


if __name__ == "__main__":
    sys.exit(main())
