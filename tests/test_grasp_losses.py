"""Terms of the grasp's loss: closed forms, and central differences of all that a descent adds up."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from gradgym.agents.grasp import Hand, ObjectMesh, PlanSettings
from gradgym.agents.grasp.losses import contact_weights, guide
from gradgym.agents.grasp.objective import Depths, Objective
from gradgym.agents.grasp.starts import start_poses

BOX_FACES = [
    *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
    *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
]


def box(half: float) -> ObjectMesh:
    """A cube about the origin."""
    corners = [[x, y, z] for x in (-half, half) for y in (-half, half) for z in (-half, half)]
    return ObjectMesh(np.array(corners), np.array(BOX_FACES))


def test_weights_of_contacts() -> None:
    """1 at the surface with opposed normals; e^-6 a centimetre away; e^-16 where both normals agree."""
    distance = torch.tensor([0.0, 0.01, -0.01, 0.0], dtype=torch.float64)
    normal = torch.tensor([[0.0, 0.0, 1.0]] * 4, dtype=torch.float64)
    own = torch.tensor([[0.0, 0.0, -1.0]] * 3 + [[0.0, 0.0, 1.0]], dtype=torch.float64)
    found = contact_weights(distance, normal, own, alpha=6.0, beta=8.0)
    expected = torch.tensor([1.0, math.exp(-6.0), math.exp(-6.0), math.exp(-16.0)], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_guide_is_in_square_centimetres() -> None:
    assert float(guide(torch.tensor([0.01, -0.02], dtype=torch.float64))) == 5.0


def test_depths_by_hand_and_after_moves() -> None:
    """Points in a cube of 4 cm; what is far is not asked again, and found when it has come inside."""
    depths = Depths(box(0.02), 1, 3)
    points = torch.tensor([[[0.0, 0.0, 0.015], [0.05, 0.0, 0.0], [0.0, 0.019, 0.0]]], dtype=torch.float64)
    expected = torch.tensor([(0.5**2 + 0.1**2) / 3.0], dtype=torch.float64)
    torch.testing.assert_close(depths.mean_square(points), expected)
    asked = depths.asked.clone()
    points[0, 1, 0] = 0.04
    torch.testing.assert_close(depths.mean_square(points), expected)
    assert torch.equal(depths.asked[0, 1], asked[0, 1])
    points[0, 1, 0] = 0.01
    torch.testing.assert_close(depths.mean_square(points), expected + 1.0 / 3.0)


def test_gradient_of_the_whole() -> None:
    """By all numbers of three grasps of a cube; there are contacts, depths and links in each other."""
    mesh, hand, settings = box(0.03), Hand.shadow(), PlanSettings(samples=200)
    rng = np.random.default_rng(0)
    pose, joints = (torch.from_numpy(x) for x in start_poses(*mesh.sample(3, 0), hand, rng))
    joints = joints + 0.3
    for done in (0.0, 1.0):

        def loss(inputs: Sequence[torch.Tensor], done: float = done) -> torch.Tensor:
            p, j = inputs
            return Objective(mesh, hand, settings, 3)(hand.links(p, j), done)

        inputs = (pose.clone().requires_grad_(), joints.clone().requires_grad_())
        value = loss(inputs)
        assert (value > 0.0).all()
        found = torch.autograd.grad(value.sum(), inputs)
        for which, gradient in enumerate(found):
            numeric = torch.empty_like(gradient)
            for k in range(gradient.shape[1]):
                moved = [[pose.clone(), joints.clone()] for _ in range(2)]
                for sign, each in zip((1.0, -1.0), moved, strict=True):
                    each[which][:, k] += sign * 1e-7
                numeric[:, k] = (loss(moved[0]) - loss(moved[1])) / 2e-7
            scale = float(numeric.abs().max())
            torch.testing.assert_close(gradient / scale, numeric / scale, rtol=1e-5, atol=1e-5)


def test_what_is_below_the_ground_counts_as_inside() -> None:
    """A hand far from the object: the loss grows by the mean squared depth below [cm²], times its weight."""
    mesh, hand, settings = box(0.03), Hand.shadow(), PlanSettings(samples=200)
    pose = torch.tensor([[0.5, 0.0, 0.1, 0.6, 0.8, 0.0, 0.0]], dtype=torch.float64)
    links = hand.links(pose, torch.from_numpy(hand.middle)[None])
    body, position = (torch.from_numpy(x[:200]) for x in (hand.surface.body, hand.surface.position))
    height = links.points(body, position)[0, :, 2]
    ground = float(height.median())
    free, cut = (Objective(mesh, hand, settings, 1, at)(links, 0.0) for at in (-math.inf, ground))
    expected = settings.collision[0] * ((ground - height).clamp(min=0.0) * 100.0).square().mean()
    torch.testing.assert_close((cut - free)[0], expected)
