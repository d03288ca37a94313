"""The commands that make data for the grasp network and train it.

gradgym-grasp data grasps/data --objects 500
gradgym-grasp train grasps/data --run-dir grasps/run
"""

import argparse
from pathlib import Path
from typing import Any

from .dataset import Source, generate
from .grasp_trainer import TrainSettings
from .grasp_training import GraspTraining
from .hand import Hand
from .network_losses import TABLE_I
from .resnet import ResNetConfig


def add_commands(commands: Any) -> None:
    """Adds them to the subparsers of `gradgym-grasp`."""
    data = commands.add_parser("data", help="make objects, depth views and grasps for the network")
    data.add_argument("folder", type=Path, help="of the data; what is there already is not made again")
    kind = data.add_mutually_exclusive_group()
    kind.add_argument("--objects", type=int, default=500, help="how many random ones")
    kind.add_argument("--meshes", type=Path, metavar="FOLDER", help="of closed meshes, in place of random objects")
    data.add_argument("--scale", type=float, default=1.0, help="from the meshes' unit to metres")
    data.add_argument("--num-grasps", type=int, default=100, help="of each object")
    data.add_argument("--size", type=int, default=224, help="of a view's side [pixels]")
    data.add_argument("--as-it-stands", action="store_true", help="no views of the object turned")
    train = commands.add_parser("train", help="train the network, or go on, and try it on unseen objects")
    train.add_argument("folder", type=Path, help="of the data")
    train.add_argument("--run-dir", type=Path, required=True, help="checkpoint and TensorBoard; goes on if there are")
    train.add_argument("--unseen", type=float, default=0.2, help="part of the objects that is kept for the trial")
    train.add_argument("--epochs", type=int, nargs=2, default=(35, 71), help="by known grasps alone, and with the rest")
    train.add_argument("--blocks", type=int, nargs="+", default=[3, 4, 6, 3], help="of each stage of the ResNet")
    train.add_argument("--width", type=int, default=64, help="channels of its first stage")
    train.add_argument("--plain-blocks", action="store_true", help="two convolutions in place of a bottleneck")
    train.add_argument("--weights", type=Path, metavar="FILE", help="its first weights; default: random")
    train.add_argument("--batch", type=int, default=16, help="samples of a step")
    train.add_argument("--learning-rate", type=float, default=1e-4, help="at first")
    train.add_argument("--data-alone", action="store_true", help="without the differentiable loss")
    train.add_argument("--lower", action="store_true", help="Q1 by its lower bound")
    train.add_argument("--device", default="cpu", help="torch's, of the network")
    for command in (data, train):
        command.add_argument("--hand", default="shadow", metavar="shadow|FILE.xml", help="the hand's MJCF")
        command.add_argument("--seed", type=int, default=0)


def make_data(arguments: argparse.Namespace, hand: Hand) -> None:
    """`gradgym-grasp data`."""
    if arguments.meshes is None:
        source = Source.random(arguments.objects, arguments.seed)
    else:
        source = Source.folder(arguments.meshes, arguments.scale)
    generate(arguments.folder, hand, source, arguments.num_grasps, arguments.size, not arguments.as_it_stands)


def train_network(arguments: argparse.Namespace, hand: Hand) -> None:
    """`gradgym-grasp train`."""
    settings = TrainSettings(
        resnet=ResNetConfig(tuple(arguments.blocks), not arguments.plain_blocks, arguments.width),
        epochs=tuple(arguments.epochs),
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        objective=None if arguments.data_alone else TABLE_I,
        lower=arguments.lower,
        seed=arguments.seed,
    )
    data, run_dir, unseen = arguments.folder, arguments.run_dir, arguments.unseen
    training = GraspTraining(data, hand, settings, run_dir, unseen, arguments.weights, arguments.device)
    print(f"Run folder: {run_dir}")
    training.train()
