"""The relaxed trainer of physical consistency: its linear programs against differences, its parts by closed forms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from gradgym import evaluate, load_policy, train
from gradgym.agents import RelaxedConsistency
from gradgym.agents.consistency import rotations
from gradgym.agents.consistency.controller import Controller
from gradgym.agents.consistency.linearization import Linearization, weighted_loss
from gradgym.agents.consistency.relaxed import Relaxation, Relaxed
from gradgym.agents.consistency.residuals import Residuals, Weights
from gradgym.agents.consistency.scene import Scene
from gradgym.agents.training.policy_file import PolicyFile, PolicyHeader
from gradgym.envs.tasks.cube_reorient import CubeReorient
from gradgym.envs.tasks.manipulation import Manipulation
from gradgym.envs.tasks.shadow_hand_grasp import ShadowHandGrasp
from gradgym.envs.tasks.wheel_turn import WheelTurn

DOUBLE = torch.float64
TASKS: dict[str, Callable[..., Manipulation]] = {
    "two fingers": CubeReorient,
    "wheel": WheelTurn,
    "mesh": ShadowHandGrasp,
}


@pytest.fixture(scope="module", params=TASKS)
def linearized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A short rollout of a network that does something, in every state of contact that its residuals know."""
    file = tmp_path_factory.mktemp("mesh") / "brick.obj"
    trimesh.creation.box((0.05, 0.04, 0.06)).export(file)
    scene = Scene(TASKS[request.param](**({"object": file} if request.param == "mesh" else {})), DOUBLE)
    relaxed = Relaxed(scene, Relaxation(horizon=4), (6, 6))
    start = scene.start(scene.task.initial([np.random.default_rng(i) for i in range(3)]))
    generator = torch.Generator().manual_seed(0)
    parameters = relaxed.network.initial(generator).double()
    parameters = parameters + 0.3 * torch.randn(parameters.shape, generator=generator, dtype=DOUBLE)
    residuals = Residuals(relaxed, Weights(), torch.linspace(0.0, 1.0, 5, dtype=DOUBLE))
    weight = torch.tensor([1.0, 0.5, 2.0], dtype=DOUBLE)
    with torch.no_grad():
        path = relaxed.rollout(parameters, start)
        linear = Linearization(residuals, parameters, path, start, weight, np.random.default_rng(0))
    return linear, residuals, parameters, start, weight


def _differences(linearized: Any, v: Tensor, step: float = 1e-6) -> dict[str, Tensor]:
    """Central differences of all residuals along a change of the parameters."""
    _, residuals, parameters, start, _ = linearized
    with torch.no_grad():
        ends = [
            residuals.values(residuals.relaxed.rollout(parameters + sign * step * v, start), start) for sign in (1, -1)
        ]
    return {name: (ends[0][name] - ends[1][name]) / (2.0 * step) for name in ends[0]}


def _dot(a: dict[str, Tensor], b: dict[str, Tensor], weight: Tensor) -> float:
    return sum(float((a[k] * b[k] * weight.view(1, -1, *[1] * (a[k].ndim - 2))).sum()) for k in a)


def test_gradient_is_that_of_differences(linearized: Any) -> None:
    linear, *_, weight = linearized
    v = torch.randn(linear.gradient.shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    expected = _dot(linear.values, _differences(linearized, v), weight) / linear.count
    assert float(linear.gradient @ v) == pytest.approx(expected, rel=1e-6)
    assert linear.loss == pytest.approx(weighted_loss(linear.values, weight) / linear.count)


def test_product_is_that_of_differences(linearized: Any) -> None:
    linear, *_, weight = linearized
    generator = torch.Generator().manual_seed(2)
    v, w = (torch.randn(linear.gradient.shape, generator=generator, dtype=DOUBLE) for _ in range(2))
    of_v, of_w = _differences(linearized, v), _differences(linearized, w)
    assert float(w @ linear.product(v)) == pytest.approx(_dot(of_w, of_v, weight) / linear.count, rel=1e-5, abs=1e-5)
    assert float(v @ linear.product(v)) == pytest.approx(_dot(of_v, of_v, weight) / linear.count, rel=1e-6)


@pytest.mark.parametrize("linearized", ["two fingers", "wheel"], indirect=True)  # meshes have no forward mode in torch
def test_product_is_that_of_torch(linearized: Any) -> None:
    """The same linear programs as torch's forward and reverse mode make them."""
    linear, residuals, parameters, start, weight = linearized

    def stacked(p: Tensor) -> Tensor:
        values = residuals.values(residuals.relaxed.rollout(p, start), start)
        return torch.cat([(y * weight.sqrt().view(1, -1, *[1] * (y.ndim - 2))).flatten() for y in values.values()])

    v = torch.randn(parameters.shape, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    forward = torch.func.jvp(stacked, (parameters,), (v,))[1]
    reverse: Any = torch.func.vjp(stacked, parameters)[1]
    (expected,) = reverse(forward)
    assert torch.allclose(
        linear.product(v), expected / linear.count, rtol=0.0, atol=1e-6 * float((expected / linear.count).abs().max())
    )


def test_preconditioner_is_positive(linearized: Any) -> None:
    linear, *_ = linearized
    v = torch.randn(linear.gradient.shape, generator=torch.Generator().manual_seed(4), dtype=DOUBLE)
    with torch.no_grad():
        assert float(v @ linear.preconditioner(0.1)(v)) > 0.0


def test_a_network_that_proposes_nothing_leaves_the_cube_at_rest() -> None:
    """The table's force is the weight at the start, and nothing else acts."""
    scene = Scene(CubeReorient(), DOUBLE)
    relaxed = Relaxed(scene, Relaxation(horizon=5), (4,))
    start = scene.start(scene.task.initial([np.random.default_rng(0)]))
    with torch.no_grad():
        path = relaxed.rollout(torch.zeros(relaxed.network.n_parameters, dtype=DOUBLE), start)
    assert torch.allclose(path.pos, start.pos.expand_as(path.pos), atol=1e-9)
    assert torch.allclose(path.mat, start.mat.expand_as(path.mat), atol=1e-9)
    values = Residuals(relaxed, Weights(), torch.ones(6, dtype=DOUBLE)).values(path, start)
    for name in ("gap", "surface", "robot_surface", "overlap", "limit", "command", "object_table"):
        assert float(values[name].abs().max()) < 1e-3, name


def test_forces_are_the_ones_that_servos_make() -> None:
    """Servos whose commands are ahead by J' f / kp push with f: torque kp (command - angle) is J' f."""
    scene = Scene(CubeReorient(), DOUBLE)
    relaxed = Relaxed(scene, Relaxation(), (4,))
    controller, task = Controller(relaxed), scene.task
    state = task.initial([np.random.default_rng(1)])
    obs = task.observation(state)
    memory = controller.begin(obs)
    x = memory.x.clone()
    x[:, -9:-3] = torch.tensor([0.1, -0.2, 0.05, 0.0, 0.15, -0.1], dtype=DOUBLE)
    parameters = torch.zeros(relaxed.network.n_parameters, dtype=DOUBLE)
    action, _, used = controller.act(relaxed.network.unpack(parameters), memory._replace(x=x), obs)
    torque = scene.stiffness * controller.period * scene.rate * action
    links = scene.links(state.act)
    tips = links.pos[:, scene.pair_body[:2]] + rotations.apply(
        links.mat[:, scene.pair_body[:2]], relaxed.split(used.x)[1][:, :2]
    )
    jacobian = scene.point_jacobian(tips, scene.pair_mask[:2], links)
    expected = (jacobian * relaxed.split(x)[3][:, :2, :, None]).sum((1, 2))
    assert torch.allclose(torque, expected, rtol=1e-5)


def test_rotations_are_inverse_and_their_derivative_is_that_of_differences() -> None:
    v = torch.tensor([[0.3, -1.2, 2.0], [1e-9, 0.0, 0.0], [3.0, 0.2, -0.5]], dtype=DOUBLE)
    matrix = rotations.exp(v)
    assert torch.allclose(matrix @ matrix.transpose(-1, -2), torch.eye(3, dtype=DOUBLE).expand(3, 3, 3), atol=1e-12)
    assert torch.allclose(rotations.log(matrix), v, atol=1e-9)
    dv, step = torch.tensor([0.2, 0.7, -0.4], dtype=DOUBLE), 1e-6
    turned = rotations.log(rotations.exp(v + step * dv) @ rotations.exp(v - step * dv).transpose(-1, -2)) / (2 * step)
    assert torch.allclose(turned, rotations.apply(rotations.left_jacobian(v), dv.expand(3, 3)), atol=1e-6)


def test_training_goes_down_and_a_saved_policy_acts_the_same(tmp_path: Path) -> None:
    found = RelaxedConsistency(
        "ConsistencyPolicy",
        "gradgym/CubeReorient-v0",
        batch_size=8,
        seed=0,
        policy_kwargs={"relaxation": {"horizon": 8}},
    )
    found.learn(8 * 8)
    first = found.loss
    found.learn(8 * 8 * 12)
    assert found.loss < 0.7 * first
    found.save(tmp_path / "policy.zip")
    path = tmp_path / "policy.safetensors"
    PolicyFile(PolicyHeader("relaxed_consistency", "gradgym/CubeReorient-v0", {}, 0), found.policy_state()).write(path)
    obs = np.stack([gymnasium.make("gradgym/CubeReorient-v0").reset(seed=i)[0] for i in range(2)])
    action, memory = found.predict(obs)
    for other in (RelaxedConsistency.load(tmp_path / "policy.zip"), load_policy(path)):
        again, kept = other.predict(obs)
        assert np.array_equal(action, again)
        assert kept is not None and memory is not None and all(map(np.array_equal, kept, memory))
    later, _ = found.predict(obs, memory, np.array([True, False]))
    assert np.array_equal(later[0], action[0])
    assert not np.array_equal(later[1], action[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizer": "sgd"}, "optimizer='sgd'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"ramp": 0.0}, "ramp=0.0"),
        ({"weights": {"gpa": 1.0}}, "no 'gpa'"),
    ],
)
def test_errors_are_one_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        RelaxedConsistency("ConsistencyPolicy", "gradgym/CubeReorient-v0", **arguments)
    assert "\n" not in str(caught.value)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(TypeError, match="no manipulation task"):
        RelaxedConsistency("ConsistencyPolicy", "gradgym/NLinkPendulum-v0")


def test_the_command_line_trains_and_evaluates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["--algo", "relaxed_consistency", "--env", "gradgym/CubeReorient-v0", "--env-kwargs", "backend:mujoco"]
    words += ["--total-timesteps", "1280", "--run-dir", str(run), "--hyperparams", "eval_episodes:1", "batch_size:16"]
    assert train.main(words) == 0
    assert evaluate.main([str(run), "--backend", "mujoco", "--episodes", "1"]) == 0
    assert "over 1 episodes" in capsys.readouterr().out
