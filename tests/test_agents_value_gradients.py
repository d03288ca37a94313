import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.func import jacrev

import gradgym  # noqa: F401 (registers the environments) # pyright: ignore[reportUnusedImport]
from gradgym.agents.mbpo.value_gradients import Trajectory, balance, one_step, whole_episode

GAMMA = 0.9


def test_one_step_is_equation_13() -> None:
    dr, jacobian, dv = torch.randn(3, 2), torch.randn(3, 5, 2), torch.randn(3, 5)
    got = one_step(dr, jacobian, dv, torch.tensor([GAMMA, GAMMA, 0.0]))
    assert torch.allclose(got[0], dr[0] + GAMMA * dv[0] @ jacobian[0])
    assert torch.equal(got[2], dr[2])


class SmoothTask:
    """x' = tanh(A x + B a), obs = sin(C x), reward = -|x'|^2 - a.x, a = tanh(K obs + noise)."""

    def __init__(self, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        shapes = {"A": (3, 3), "B": (3, 2), "C": (4, 3), "K": (2, 4), "V": (4,)}
        self.w = {k: torch.randn(s, generator=draw, dtype=torch.float64) for k, s in shapes.items()}
        self.start = torch.randn(3, generator=draw, dtype=torch.float64)

    def step(self, x: Tensor, a: Tensor) -> Tensor:
        return torch.tanh(self.w["A"] @ x + self.w["B"] @ a)

    def obs(self, x: Tensor) -> Tensor:
        return torch.sin(self.w["C"] @ x)

    def reward(self, x: Tensor, a: Tensor) -> Tensor:
        return -self.step(x, a).square().sum() - (a.sum() * x).sum()

    def policy(self, obs: Tensor) -> Tensor:
        return torch.tanh(self.w["K"] @ obs)

    def value(self, obs: Tensor) -> Tensor:
        return (self.w["V"] * obs).sum()

    def total(self, offsets: Tensor) -> Tensor:
        """Discounted return with the policy's actions moved by `offsets` (T, 2), and the last value."""
        x, total = self.start, torch.zeros((), dtype=torch.float64)
        for t, offset in enumerate(offsets):
            a = self.policy(self.obs(x)) + offset
            total = total + GAMMA**t * self.reward(x, a)
            x = self.step(x, a)
        return total + GAMMA ** len(offsets) * self.value(self.obs(x))

    def trajectory(self, offsets: Tensor) -> tuple[Trajectory, np.ndarray, Tensor]:
        """What an environment reports of the same episode, the policy's derivatives, and the last state."""
        x, rows, reactions = self.start, [], []
        for offset in offsets:
            a = self.policy(self.obs(x)) + offset
            by_x, by_a = jacrev(self.step, (0, 1))(x, a)
            dr_x, dr_a = jacrev(self.reward, (0, 1))(x, a)
            h = jacrev(self.obs)(self.step(x, a))
            rows.append((self.obs(x), a, h @ by_a, h @ by_x, dr_a, dr_x, by_a, by_x))
            reactions.append(jacrev(self.policy)(self.obs(x)))
            x = self.step(x, a)
        columns = [np.stack([v.numpy() for v in column]) for column in zip(*rows, strict=True)]
        return Trajectory(*columns), torch.stack(reactions).numpy(), x


def test_whole_episode_is_the_derivative_of_the_return() -> None:
    task = SmoothTask(0)
    offsets = 0.1 * torch.randn(6, 2, dtype=torch.float64)
    exact = jacrev(task.total)(offsets).numpy()
    trajectory, reactions, last = task.trajectory(offsets)
    end = jacrev(task.value)(task.obs(last)).numpy()
    got = whole_episode(trajectory, reactions, GAMMA, end)
    # A return-to-go is discounted from its own step.
    assert np.allclose(got, exact / GAMMA ** np.arange(6)[:, None], rtol=1e-9, atol=1e-12)


def test_whole_episode_limits_what_it_carries() -> None:
    task = SmoothTask(1)
    trajectory, reactions, _ = task.trajectory(torch.zeros(6, 2, dtype=torch.float64))
    got = whole_episode(trajectory, reactions, GAMMA, np.zeros(4), limit=0.0)
    assert np.allclose(got, trajectory.dreward_daction)


def test_pendulum_return_by_differences() -> None:
    """Open loop on the real environment: dG/da_t from info against differences of whole episodes."""
    env = gymnasium.make("gradgym/NLinkPendulum-v0", n_links=2, gradients="full")
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 2))

    def play(chosen: np.ndarray) -> tuple[float, list[dict[str, np.ndarray]]]:
        env.reset()
        steps = [env.step(a) for a in chosen]
        return sum(float(s[1]) for s in steps), [s[4]["gradients"] for s in steps]

    _, infos = play(actions)
    fields = [np.stack([info[name] for info in infos]) for name in Trajectory._fields[2:]]
    trajectory = Trajectory(np.zeros((100, 12)), actions, *fields)
    got = whole_episode(trajectory, np.zeros((100, 2, 12)), 1.0, np.zeros(12), limit=np.inf)
    for t, joint in ((3, 0), (60, 1), (99, 0)):
        moved = np.zeros_like(actions)
        moved[t, joint] = 1e-5
        difference = (play(actions + moved)[0] - play(actions - moved)[0]) / 2e-5
        assert np.isclose(got[t, joint], difference, rtol=1e-5, atol=1e-7)


def test_balance_keeps_directions_and_bounds_lengths() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.001], [1e6, 0.0]])
    balanced = balance(rows)
    lengths = np.linalg.norm(rows, axis=1)
    assert np.allclose(np.linalg.norm(balanced, axis=1), lengths / (lengths + lengths.mean()))
    assert np.allclose(balanced[0] / np.linalg.norm(balanced[0]), [0.6, 0.8])
