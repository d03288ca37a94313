"""What the grasps of a network are worth on objects that it has not seen: exact Q1, depths, held in physics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .contacts import measure
from .dataset import ObjectData
from .grasp_samples import Samples
from .grasps import Grasps
from .hand import Hand
from .judge import Report, validate
from .network import GraspNetwork, Prediction


@dataclass(frozen=True)
class Evaluation:
    """Of one object: the grasps that the network answered with, one for each rotation of the object, and their trial.

    Attributes:
        name: of the object.
        grasps: in the mesh's frame.
        report: of MuJoCo's trial.
    """

    name: str
    grasps: Grasps
    report: Report


def predict(network: GraspNetwork, data: ObjectData, hand: Hand) -> Grasps:
    """One grasp of an object for each of its rotations, in the mesh's frame, measured."""
    samples = Samples([data], hand)
    which = list(range(len(samples)))
    network.eval()
    with torch.no_grad():
        found = network(samples.views(which).to(network.last.weight.device))
        placed = samples.in_meshes(which, Prediction(*(x.cpu() for x in found)))
    return measure(data.mesh, hand, placed.pose(hand), placed.joints.numpy())


def evaluate(network: GraspNetwork, objects: Sequence[ObjectData], hand: Hand) -> list[Evaluation]:
    """The network's grasps of objects, measured and tried in MuJoCo."""
    found: list[Evaluation] = []
    for data in objects:
        grasps = predict(network, data, hand)
        found.append(Evaluation(data.name, grasps, validate(data.mesh, hand, grasps)))
    return found


def summary(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """Means over all grasps.

    Keys: `q1`, `closed` (the part with Q1 > 0), `penetration` [m], `self_penetration` [m], `held` (the part).
    """

    def mean(values: Sequence[np.ndarray]) -> float:
        return float(np.concatenate(values).mean())

    grasps = [one.grasps for one in evaluations]
    return {
        "q1": mean([g.q1 for g in grasps]),
        "closed": mean([g.q1 > 0.0 for g in grasps]),
        "penetration": mean([g.penetration for g in grasps]),
        "self_penetration": mean([g.self_penetration for g in grasps]),
        "held": mean([one.report.held for one in evaluations]),
    }
