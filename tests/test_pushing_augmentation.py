"""Symmetries of planar pushing are exact: of pictures, of mechanical parameters, and of the program that uses them."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from pushing_tasks import pushed_squares

from gradgym.agents.pushing.augmentation import COLUMN, Symmetries
from gradgym.agents.pushing.inverse_dynamics import InverseDynamics
from gradgym.agents.pushing.parameters import Batch, MechanicalParameters
from gradgym.envs.polygon import Polygon
from gradgym.envs.pushing_video import video


@pytest.fixture(scope="module")
def tasks() -> Batch:
    return pushed_squares(6, 0)


def symmetries(columns: int = 2) -> Symmetries:
    """Of six tasks: every second is mirrored; moved to either side or not at all."""
    mirrored = torch.tensor([False, True] * 3)
    return Symmetries(mirrored, columns * torch.tensor([0, 0, 1, 1, -1, -1]))


def test_a_mirror_seen_in_a_mirror_is_the_task(tasks: Batch) -> None:
    mirror = symmetries(0)
    once, twice = mirror(tasks), mirror(mirror(tasks))
    assert not torch.equal(once.video[1], tasks.video[1]) and torch.equal(once.video[0], tasks.video[0])
    for field in fields(MechanicalParameters):
        assert torch.equal(getattr(twice.parameters, field.name), getattr(tasks.parameters, field.name)), field.name
    for name in ("video", "p", "lam"):
        assert torch.equal(getattr(twice, name), getattr(tasks, name)), name


def test_pictures_are_those_of_the_symmetric_tasks(tasks: Batch) -> None:
    square = Polygon(0.06 * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]))  # its own mirror image
    seen = symmetries()(tasks)
    for i in range(6):
        drawn = video(square, seen.parameters.r[i].numpy()).astype(int)
        difference = np.abs(drawn - seen.video[i].numpy().astype(int))
        # A raster of 8 by 8 to a pixel rounds a mirrored edge the other way.
        assert difference.max() <= (0 if i % 2 == 0 else 60), i
        assert difference.mean() < 0.3, i


def test_inverse_dynamics_commutes_with_them(tasks: Batch) -> None:
    flat = tasks.parameters.flatten()
    noise = 0.01 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameters = MechanicalParameters.unflatten(flat + noise, 2)
    dynamics = InverseDynamics(limit=4.0)
    found = dynamics(parameters)
    predicted = Batch(video=tasks.video, parameters=parameters, p=found.p, lam=found.lam)
    seen = symmetries()(predicted)
    again = dynamics(seen.parameters)
    torch.testing.assert_close(again.p, seen.p, atol=1e-9, rtol=0.0)
    torch.testing.assert_close(again.lam, seen.lam, atol=1e-7, rtol=0.0)
    assert float(found.slack.abs().max()) > 1e-3


def test_commands_come_back(tasks: Batch) -> None:
    both = symmetries(3)
    seen = both(tasks)
    torch.testing.assert_close(both.back(seen.p), tasks.p, atol=1e-15, rtol=0.0)
    assert float((seen.p - tasks.p)[4:, ..., 0].mean()) != 0.0
    assert COLUMN == pytest.approx(0.012)


def test_conventions_hold_in_the_mirror(tasks: Batch) -> None:
    """Fingers from left to right, the facet's vertices counterclockwise, the clockwise ray first."""
    seen = symmetries()(tasks)
    assert bool((seen.p[..., 0].mean(1).diff(dim=-1) >= 0.0).all())
    along = seen.parameters.facets[..., 1, :] - seen.parameters.facets[..., 0, :]
    outward = torch.stack([along[..., 1], -along[..., 0]], dim=-1)
    first, second = seen.parameters.cones.unbind(-2)
    assert bool((first[..., 0] * second[..., 1] > first[..., 1] * second[..., 0]).all())
    ground, ground_second = seen.parameters.cones_e.unbind(-2)
    turn = ground[..., 0] * ground_second[..., 1] - ground[..., 1] * ground_second[..., 0]
    assert bool((turn > -1e-12).all()) and bool((turn[symmetries().mirrored] > 0.1).any())
    assert bool(((first + second) * outward).sum(-1).lt(0.0).all())


def test_objects_stay_in_the_picture_and_go_as_far_as_they_may(tasks: Batch) -> None:
    many = tasks.video.repeat(100, 1, 1, 1, 1)
    for mirror in (False, True):
        drawn = Symmetries.draw(many, torch.Generator().manual_seed(0), mirror=mirror, columns=30)
        assert bool(drawn.mirrored.any()) is mirror and not bool(drawn.mirrored.all())
        columns = (drawn._video(many) < 255).any(-1).any(2).any(1)  # (B, W)
        before = (many < 255).any(-1).any(2).any(1)
        assert torch.equal(columns.sum(-1), before.sum(-1))
        # Nothing went round: what is seen is one interval of columns, as before.
        edges = columns.long().diff(dim=-1).abs().sum(-1) + columns[:, 0].long() + columns[:, -1].long()
        assert int(edges.max()) == 2
        assert bool(columns[:, 0].any()) and bool(columns[:, -1].any())
    few = Symmetries.draw(many, torch.Generator().manual_seed(0), mirror=False, columns=1)
    assert set(few.columns.tolist()) == {-1, 0, 1}
