"""The grasp network and its losses, against closed forms, differences, and what torchvision's names are."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gradgym.agents.grasp.depth_views import surface_points
from gradgym.agents.grasp.hand import Hand
from gradgym.agents.grasp.network import GraspNetwork, Prediction
from gradgym.agents.grasp.network_losses import TABLE_I, DifferentiableLoss, chamfer, squared_distances
from gradgym.agents.grasp.object_mesh import ObjectMesh
from gradgym.agents.grasp.objective import Objective
from gradgym.agents.grasp.resnet import ResNet, ResNetConfig

Floats = NDArray[np.float64]
SMALL = ResNetConfig((1, 1), False, 4)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.shadow()


@pytest.fixture(scope="module")
def mesh() -> ObjectMesh:
    return ObjectMesh.from_trimesh(trimesh.creation.box((0.05, 0.06, 0.07)).apply_translation((0.01, 0.02, -0.03)))


def random_prediction(hand: Hand, n: int, seed: int, spread: float = 0.02) -> Prediction:
    rng = np.random.default_rng(seed)
    rotation = torch.from_numpy(Rotation.random(n, rng=rng).as_matrix())
    joints = torch.from_numpy(hand.middle + 0.1 * rng.standard_normal((n, len(hand.joint_names))))
    return Prediction(torch.from_numpy(spread * rng.standard_normal((n, 3))), rotation, joints)


def test_resnet_50_has_the_parameters_of_torchvision() -> None:
    network = ResNet(ResNetConfig())
    # torchvision's documentation: 25,557,032, of which its classifier has 2048 x 1000 + 1000
    assert sum(p.numel() for p in network.parameters()) == 25_557_032 - 2_049_000
    names = set(network.state_dict())
    assert {"layer4.2.conv3.weight", "layer3.0.downsample.0.weight", "layer1.0.downsample.1.bias"} <= names
    assert {"bn1.running_mean", "layer2.3.bn2.weight"} <= names and "layer1.1.downsample.0.weight" not in names
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2048)


def test_a_block_is_the_rectified_sum_of_its_branches() -> None:
    torch.manual_seed(0)
    network = ResNet(ResNetConfig((1, 1), True, 4)).eval()
    block = network.stages[1][0]
    x = torch.randn(2, 16, 8, 8)
    w = {name: value for name, value in block.state_dict().items() if "weight" in name and value.dim() == 4}
    conv, scale = torch.nn.functional.conv2d, (1.0 + 1e-5) ** -0.5  # of fresh batch norms in evaluation
    y = conv(x, w["conv1.weight"]).mul(scale).relu()
    y = conv(y, w["conv2.weight"], stride=2, padding=1).mul(scale).relu()
    y = conv(y, w["conv3.weight"]).mul(scale)
    torch.testing.assert_close(block(x), (y + conv(x, w["downsample.0.weight"], stride=2).mul(scale)).relu())


def test_weights_are_read_from_a_file(tmp_path: Path, hand: Hand) -> None:
    torch.manual_seed(0)
    source = ResNet(SMALL)
    torch.save(source.state_dict() | {"fc.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    network = GraspNetwork(hand, SMALL, tmp_path / "weights.pth")
    torch.testing.assert_close(network.resnet.conv1.weight, source.conv1.weight)
    with pytest.raises(ValueError, match=r"^'.*weights.pth': no weights of this network: [^\n]*$"):
        GraspNetwork(hand, ResNetConfig((1,), False, 4), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="there is no such file of weights"):
        GraspNetwork(hand, SMALL, tmp_path / "none.pth")


def test_sizes_are_checked(hand: Hand) -> None:
    with pytest.raises(ValueError, match="needs a stage or more"):
        ResNetConfig((2, 0))
    with pytest.raises(ValueError, match=re.escape("views have shape (1, 4, 16, 16): (n, 5, S, S) was expected")):
        GraspNetwork(hand, SMALL)(torch.zeros(1, 4, 16, 16))


def test_the_first_answer_is_a_hand_around_the_object_palm_down(hand: Hand) -> None:
    network = GraspNetwork(hand, SMALL)
    with torch.no_grad():
        network.last.weight.zero_()
        found = network(torch.zeros(2, 5, 16, 16))
    np.testing.assert_allclose(found.center, 0.0)
    np.testing.assert_allclose(found.rotation.numpy() @ hand.surface.approach, [[0.0, 0.0, -1.0]] * 2, atol=1e-6)
    inner = (hand.middle - hand.lower) / (hand.upper - hand.lower)
    chosen = (inner > 0.02) & (inner < 0.98)
    assert chosen.sum() > 9
    np.testing.assert_allclose(found.joints[0].numpy()[chosen], hand.middle[chosen], atol=1e-5)


def test_every_output_is_a_rotation_and_joints_in_their_range(hand: Hand) -> None:
    torch.manual_seed(1)
    network = GraspNetwork(hand, SMALL)
    with torch.no_grad():
        network.last.weight.mul_(1e3)
    found = network(0.5 * torch.rand(6, 5, 16, 16))
    rotation = found.rotation.detach().numpy()
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (6, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)
    joints = found.joints.detach().numpy()
    assert np.all(hand.lower - 1e-12 <= joints) and np.all(joints <= hand.upper + 1e-12)
    assert joints.std(axis=0).max() > 0.1


def test_the_answer_is_made_of_the_maximum_over_views_of_points(hand: Hand) -> None:
    """Each pixel is a point in space: views that swap cameras are another object."""
    torch.manual_seed(2)
    network = GraspNetwork(hand, SMALL).eval()
    views = 0.5 * torch.rand(1, 5, 16, 16)
    features = network.resnet(surface_points(views)[0] / 0.05)
    middle = network.last(features.amax(0))[:3] * 0.05
    torch.testing.assert_close(network(views).center[0], middle.double())
    assert (network(views).center - network(views.flip(1)).center).abs().max() > 1e-4


def test_bodies_are_where_the_hand_has_them_at_the_same_pose(hand: Hand) -> None:
    found = random_prediction(hand, 3, 0)
    pose = torch.from_numpy(found.pose(hand))
    ours, theirs = found.links(hand), hand.links(pose, found.joints)
    torch.testing.assert_close(ours.position, theirs.position)
    torch.testing.assert_close(ours.rotation, theirs.rotation)
    middle = Rotation.from_quat(pose[:, 3:].numpy(), scalar_first=True).apply(hand.surface.center) + pose[:, :3].numpy()
    np.testing.assert_allclose(middle, found.center.numpy(), atol=1e-12)


def test_grasps_turn_back_with_the_object(hand: Hand) -> None:
    """A point of the hand lies at the same place of the object before and after."""
    found = random_prediction(hand, 2, 1)
    turns = torch.from_numpy(Rotation.random(2, rng=np.random.default_rng(3)).as_matrix())
    center = torch.tensor([[0.1, 0.2, 0.3], [0.0, -0.1, 0.2]], dtype=torch.float64)
    seen, own = found.links(hand).position, found.in_mesh(turns, center).links(hand).position
    back = torch.einsum("nij,nbj->nbi", turns, own - center[:, None])
    torch.testing.assert_close(back, seen)


def test_distances_in_configuration_space_are_those_of_the_units(hand: Hand) -> None:
    one = random_prediction(hand, 1, 4)
    known = Prediction(one.center[:, None], one.rotation[:, None], one.joints[:, None])
    assert squared_distances(one, known).item() == pytest.approx(0.0, abs=1e-20)
    moved = known._replace(center=known.center + torch.tensor([0.03, 0.0, -0.04], dtype=torch.float64))
    assert squared_distances(one, moved).item() == pytest.approx(1.0)
    for angle in (1e-3, 1.0, np.pi):
        turn = torch.from_numpy(Rotation.from_rotvec([0.6 * angle, 0.0, 0.8 * angle]).as_matrix())
        turned = known._replace(rotation=known.rotation @ turn)
        assert squared_distances(one, turned).item() == pytest.approx(4.0 * np.sin(angle / 2) ** 2)
    bent = known._replace(joints=known.joints + 1.0)
    assert squared_distances(one, bent).item() == pytest.approx(4.0)


def test_chamfer_takes_the_nearest(hand: Hand) -> None:
    found, known = random_prediction(hand, 3, 5), [random_prediction(hand, 3, seed) for seed in (6, 7, 8, 9)]
    stacked = Prediction(*(torch.stack(parts, dim=1) for parts in zip(*known, strict=True)))
    by_hand = [
        [
            float((found.center[i] - k.center[i]).square().sum() / 0.05**2)
            + 2.0 * (1.0 - np.cos(Rotation.from_matrix((found.rotation[i].T @ k.rotation[i]).numpy()).magnitude()))
            + float((found.joints[i] - k.joints[i]).square().mean() / 0.5**2)
            for k in known
        ]
        for i in range(3)
    ]
    np.testing.assert_allclose(chamfer(found, stacked), np.min(by_hand, axis=1))


def test_the_differentiable_loss_is_the_planners(hand: Hand, mesh: ObjectMesh) -> None:
    other = ObjectMesh.from_trimesh(trimesh.creation.icosphere(2, 0.03))
    settings = replace(TABLE_I, samples=60)
    links = random_prediction(hand, 3, 10).links(hand)
    upper, lower = (DifferentiableLoss([other, mesh], hand, settings, low)(links, [1, 0, 1]) for low in (False, True))
    for i, thing in enumerate((mesh, other, mesh)):
        for found, low in ((upper, False), (lower, True)):
            whole = Objective(thing, hand, settings, 3)(links, 1.0, low)
            assert found[i].item() == pytest.approx(whole[i].item())
    assert (lower - upper).max() > 1e-3


def test_weights_of_table_1() -> None:
    assert (TABLE_I.beta, TABLE_I.friction, TABLE_I.directions, TABLE_I.guide) == (8.0, 0.7, 64, 0.1)
    assert TABLE_I.alpha == (6.0, 6.0)
    assert TABLE_I.collision[1] / TABLE_I.samples == TABLE_I.self_collision[1] / TABLE_I.samples == 1.0


@pytest.mark.parametrize("lower", [False, True])
def test_the_gradient_of_the_second_phase_reaches_the_network(hand: Hand, mesh: ObjectMesh, lower: bool) -> None:
    """Central differences by one weight of the first convolution and one of the last layer."""
    torch.manual_seed(3)
    network = GraspNetwork(hand, SMALL).double().eval()
    views = 0.47 + 0.02 * torch.rand(1, 5, 16, 16, dtype=torch.float64)
    # Looser contacts than Table I's, so that the metric itself has a part.
    settings = replace(TABLE_I, samples=100, quality=100.0, alpha=(0.5, 0.5), beta=0.5)
    loss = DifferentiableLoss([mesh], hand, settings, lower)
    turn, center = torch.eye(3, dtype=torch.float64)[None], torch.from_numpy(mesh.center_of_mass)[None]

    def value() -> torch.Tensor:
        return loss(network(views).in_mesh(turn, center).links(hand), [0]).sum()

    value().backward()
    for weight, place in ((network.resnet.conv1.weight, (1, 2, 3, 3)), (network.last.weight, (4, 5))):
        assert weight.grad is not None
        # The lower bound is solved to 1e-6.
        gradient, step = weight.grad[place].item(), 1e-4 if lower else 1e-6
        with torch.no_grad():
            weight[place] += step
            above = value().item()
            weight[place] -= 2.0 * step
            below = value().item()
            weight[place] += step
        assert abs(gradient) > 1e-6
        assert gradient == pytest.approx((above - below) / (2.0 * step), rel=2e-3 if lower else 1e-4)
