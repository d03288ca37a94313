"""Gauss-Newton against scipy's least squares, its parts against dense linear algebra, and its rules."""

import doctest
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares as scipy_least_squares
from torch import Tensor

from gradgym.agents.optim import least_squares
from gradgym.agents.optim.conjugate_gradients import conjugate_gradients
from gradgym.agents.optim.gauss_newton import GaussNewton
from gradgym.agents.optim.kronecker import KroneckerPreconditioner
from gradgym.agents.optim.least_squares import TorchLinearized, gauss_newton


@pytest.fixture(autouse=True)
def double() -> Any:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def rosenbrock(theta: Tensor) -> Tensor:
    return torch.cat([10.0 * (theta[1:] - theta[:-1] ** 2), 1.0 - theta[:-1]])


TIMES = torch.linspace(0.0, 4.0, 40, dtype=torch.float64)


def two_exponentials(theta: Tensor) -> Tensor:
    """Rates of 1 and 1.6: the Jacobian's condition is about 500 at the solution."""
    model = theta[0] * torch.exp(-theta[1] * TIMES) + theta[2] * torch.exp(-theta[3] * TIMES)
    return model - 2.0 * torch.exp(-TIMES) - 3.0 * torch.exp(-1.6 * TIMES) - 0.01 * torch.sin(7.0 * TIMES)


GRID = torch.linspace(-2.0, 2.0, 30, dtype=torch.float64)[:, None]


def mlp_regression(theta: Tensor) -> Tensor:
    """One hidden layer of 2, with weight decay so that the minimum is one point."""
    W1, b1, W2, b2 = theta[:2].view(2, 1), theta[2:4], theta[4:6].view(1, 2), theta[6]
    y = torch.tanh(GRID @ W1.T + b1) @ W2.T + b2
    return torch.cat([(y - torch.sin(2.0 * GRID))[:, 0], 0.3 * theta])


PROBLEMS: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "rosenbrock 2": (rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64)),
    "rosenbrock 6": (rosenbrock, torch.full((6,), 0.5, dtype=torch.float64)),
    "exponentials": (two_exponentials, torch.tensor([1.0, 0.5, 1.0, 2.0], dtype=torch.float64)),
    "mlp": (mlp_regression, torch.tensor([-0.6, 1.5, 0.1, -0.1, 3.0, 2.0, 0.1], dtype=torch.float64)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_ends_where_scipy_ends(name: str) -> None:
    residual, theta0 = PROBLEMS[name]
    ours = gauss_newton(residual, theta0)
    jacobian = torch.func.jacrev(residual)
    jac: Any = lambda x: jacobian(torch.as_tensor(x)).numpy()  # noqa: E731
    theirs = scipy_least_squares(
        lambda x: residual(torch.as_tensor(x)).numpy(),
        theta0.numpy(),
        jac,
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-13,
    )
    assert ours.loss == pytest.approx(2.0 * theirs.cost, rel=1e-9, abs=1e-18)
    np.testing.assert_allclose(ours.theta.numpy(), theirs.x, rtol=1e-5, atol=1e-6)
    assert ours.gradient_norm < 1e-6
    assert ours.steps < 100


def test_the_example_runs() -> None:
    result = doctest.testmod(least_squares)
    assert result.attempted >= 5
    assert result.failed == 0


def test_conjugate_gradients_solve_what_torch_solves() -> None:
    Q = torch.linalg.qr(torch.randn(20, 20)).Q
    A, b = Q @ torch.diag(torch.logspace(0, 3, 20)) @ Q.T, torch.randn(20)
    x, taken = conjugate_gradients(lambda v: A @ v, b, iterations=200, tolerance=1e-12)
    torch.testing.assert_close(x, torch.linalg.solve(A, b), rtol=1e-8, atol=1e-8)
    assert taken < 200
    M = torch.linalg.inv(A)
    x, taken = conjugate_gradients(lambda v: A @ v, b, lambda v: M @ v, iterations=200, tolerance=1e-6)
    torch.testing.assert_close(x, torch.linalg.solve(A, b), rtol=1e-8, atol=1e-8)
    assert taken == 1


def test_conjugate_gradients_stop() -> None:
    x, taken = conjugate_gradients(lambda v: v, torch.zeros(3))
    assert taken == 0 and not x.any()
    x, taken = conjugate_gradients(lambda v: -v, torch.ones(3))  # no positive curvature
    assert taken == 1 and not x.any()
    x, taken = conjugate_gradients(lambda v: math.nan * v, torch.ones(3))
    assert taken == 1 and not x.any()
    Q = torch.randn(9, 9)
    x, taken = conjugate_gradients(lambda v: Q.T @ (Q @ v), torch.ones(9), iterations=4, tolerance=0.0)
    assert taken == 4


@pytest.mark.parametrize("name", PROBLEMS)
def test_products_are_those_of_the_dense_jacobian(name: str) -> None:
    residual, theta0 = PROBLEMS[name]
    J, r = torch.func.jacrev(residual)(theta0), residual(theta0)
    linearized, v = TorchLinearized(residual, theta0), torch.randn(len(theta0))
    assert linearized.loss == pytest.approx(float(r @ r), rel=1e-14)
    torch.testing.assert_close(linearized.gradient, J.T @ r, rtol=1e-12, atol=1e-12)
    for _ in range(2):  # the programs may be run again
        torch.testing.assert_close(linearized.product(v), J.T @ (J @ v), rtol=1e-12, atol=1e-12)


def test_a_quadratic_problem_takes_one_step() -> None:
    A, b = torch.randn(12, 5), torch.randn(12)
    solver = GaussNewton(damping=1e-12, min_damping=1e-12, cg_iterations=50, cg_tolerance=1e-14)
    linearized = TorchLinearized(lambda theta: A @ theta - b, torch.zeros(5))
    step = solver.step(torch.zeros(5), linearized, lambda x: float((A @ x - b).square().sum()))
    assert step.accepted
    assert step.ratio == pytest.approx(1.0, abs=1e-9)
    torch.testing.assert_close(step.theta, torch.linalg.lstsq(A, b[:, None]).solution[:, 0], rtol=1e-8, atol=1e-8)


class Line:
    """Residual r = theta, normalised by 1, in n = 1: every quantity of a step is known."""

    def __init__(self, theta: float, gradient: float | None = None, loss: float | None = None) -> None:
        self.loss = theta**2 if loss is None else loss
        self.gradient = torch.tensor([theta if gradient is None else gradient])
        self.products = 0

    def product(self, v: Tensor) -> Tensor:
        self.products += 1
        return v

    def preconditioner(self, damping: float) -> Callable[[Tensor], Tensor]:
        return lambda v: v / (1.0 + damping)


def predicted(damping: float) -> float:
    d = -1.0 / (1.0 + damping)
    return -2.0 * d - d * d


@pytest.mark.parametrize(
    ("ratio", "damping"), [(1.0, 0.5), (0.61, 0.5), (0.59, 1.0), (0.31, 1.0), (0.29, 3.0), (0.01, 3.0)]
)
def test_damping_follows_the_ratio(ratio: float, damping: float) -> None:
    solver = GaussNewton(damping=1.0)
    step = solver.step(torch.ones(1), Line(1.0), lambda _: 1.0 - ratio * predicted(1.0))
    assert step.accepted
    assert step.ratio == pytest.approx(ratio, rel=1e-12)
    assert step.loss == pytest.approx(1.0 - ratio * predicted(1.0))
    assert step.theta.item() == pytest.approx(0.5)  # (1 + 1) d = -1
    assert solver.damping == damping


def test_damping_stays_in_its_bounds() -> None:
    solver = GaussNewton(damping=1.0, min_damping=0.8, max_damping=2.0)
    solver.step(torch.ones(1), Line(1.0), lambda x: float(x @ x))
    assert solver.damping == 0.8
    solver.step(torch.ones(1), Line(1.0), lambda _: 0.999)
    assert solver.damping == 2.0
    solver.step(torch.ones(1), Line(1.0), lambda _: 2.0)
    assert solver.damping == 2.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1.0, 5.0])
def test_a_bad_trial_is_rejected_and_damping_raised(bad: float) -> None:
    solver, theta, seen = GaussNewton(damping=1.0), torch.ones(1), []

    def loss_at(x: Tensor) -> float:
        seen.append(x.item())
        return bad if len(seen) < 3 else float(x @ x)

    step = solver.step(theta, Line(1.0), loss_at)
    assert seen == pytest.approx([1.0 - 1.0 / (1.0 + k) for k in (1.0, 8.0, 64.0)])
    assert step.accepted and step.theta.item() == seen[-1]
    assert step.cg_iterations == 3
    assert solver.damping == 32.0  # eightfold twice, then halved: the third try kept its promise
    assert theta.item() == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1.0])
def test_a_step_without_an_acceptable_try_keeps_theta(bad: float) -> None:
    solver, theta = GaussNewton(damping=1.0, tries=3), torch.ones(1)
    step = solver.step(theta, Line(1.0), lambda _: bad)
    assert not step.accepted and not step.ratio > 0.0
    assert step.theta is theta and theta.item() == 1.0 and step.loss == 1.0
    assert solver.damping == 512.0


@pytest.mark.parametrize("line", [Line(1.0, loss=math.nan), Line(1.0, gradient=math.inf), Line(0.0)])
def test_nothing_is_tried_where_there_is_no_direction(line: Line) -> None:
    solver = GaussNewton(damping=1.0)
    line.gradient = line.gradient.double()
    step = solver.step(torch.ones(1), line, lambda _: pytest.fail("tried"))
    assert not step.accepted and step.cg_iterations == 0 and solver.damping == 1.0 and line.products == 0


def test_a_function_that_overflows_is_minimised() -> None:
    """Steps of little damping reach where the residual is infinite: log of what is not positive is nan."""
    result = gauss_newton(lambda x: torch.log(x) - 1.0, torch.tensor([9.0]))
    assert result.theta.item() == pytest.approx(math.e, rel=1e-6)


def test_every_stop_has_its_reason() -> None:
    assert gauss_newton(rosenbrock, torch.ones(2)).reason == "gradient"
    assert gauss_newton(rosenbrock, torch.zeros(2), steps=2).reason == "steps"
    assert gauss_newton(rosenbrock, torch.zeros(2), decrease_tolerance=0.9).reason == "decrease"
    lies = gauss_newton(lambda x: 2.0 * x.detach() - x, torch.ones(1))  # a gradient of the wrong sign
    assert lies.reason == "rejected" and lies.theta.item() == 1.0


# --- Kronecker factors


def hadamard(k: int) -> Tensor:
    """Orthogonal columns of entries ±1 (2^k, 2^k)."""
    signs = torch.ones(1, 1)
    for _ in range(k):
        signs = torch.cat([torch.cat([signs, signs], 1), torch.cat([signs, -signs], 1)])
    return signs


def test_one_linear_layer_is_inverted_exactly() -> None:
    """Residual = output: J^T J = sum of a a^T, times the identity; ±1 adjoints with orthogonal columns meet it."""
    N, n_in, n_out = 64, 5, 3
    a, d = torch.randn(N, n_in), hadamard(6)[:, 1 : 1 + n_out]
    theta = torch.randn(n_out * (n_in + 1))

    def output(theta: Tensor) -> Tensor:
        W, b = theta[: n_out * n_in].view(n_out, n_in), theta[n_out * n_in :]
        return (a @ W.T + b).reshape(-1)

    J = torch.func.jacrev(output)(theta)
    H = J.T @ J / N
    inverse = KroneckerPreconditioner([a], [d], N).inverse
    v = torch.randn(len(theta))
    torch.testing.assert_close(inverse(1e-18)(H @ v), v, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(inverse(1e12)(v) * 1e12, v, rtol=1e-5, atol=1e-5)
    x, taken = conjugate_gradients(lambda u: H @ u + 1e-18 * u, v, inverse(1e-18), tolerance=1e-6)
    assert taken == 1
    torch.testing.assert_close(x, torch.linalg.solve(H, v), rtol=1e-6, atol=1e-6)


def test_damping_is_split_over_the_factors() -> None:
    a, d, damping = 3.0 * torch.randn(40, 4), 0.1 * torch.randn(40, 2), 0.3
    one = torch.cat([a, torch.ones(40, 1)], 1)
    A, G = one.T @ one / 40, d.T @ d / 7.0
    pi = torch.sqrt((A.trace() / 5) / (G.trace() / 2))
    dense = torch.kron(G + damping**0.5 / pi * torch.eye(2), A + pi * damping**0.5 * torch.eye(5))
    W, b = torch.randn(2, 4), torch.randn(2)
    expected = torch.linalg.solve(dense, torch.cat([W, b[:, None]], 1).reshape(-1)).view(2, 5)
    out = KroneckerPreconditioner([a], [d], 7.0).inverse(damping)(torch.cat([W.reshape(-1), b]))
    torch.testing.assert_close(out, torch.cat([expected[:, :4].reshape(-1), expected[:, 4]]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e8])
def test_singular_factors_do_no_harm(dtype: torch.dtype, scale: float) -> None:
    a = torch.ones(3, 2, 5).to(dtype)  # rank one, samples in two axes
    d = scale * torch.ones(3, 2, 4).to(dtype)
    apply = KroneckerPreconditioner([a, a[..., :4]], [d, d[..., :1]], 6).inverse(1e-4)
    v = torch.randn(6 * 4 + 5).to(dtype)
    out = apply(v)
    assert out.dtype == dtype and bool(out.isfinite().all()) and float(out @ v) > 0.0
    if scale == 0.0:  # a layer that reaches nothing
        torch.testing.assert_close(out, v / 1e-4, rtol=1e-4, atol=1e-4)


class Recurrent:
    """x <- x + 0.2 B net(x), 15 times from 20 starts; residual: states. Inputs and actions are of very unlike scale."""

    SIZES = (6, 24, 24, 3)

    def __init__(self) -> None:
        self.x0 = torch.randn(20, 6) * torch.logspace(-1.5, 0.5, 6)
        self.B = 0.5 * torch.tensor([0.1, 1.0, 10.0])[:, None] * torch.randn(3, 6)
        shapes = zip(self.SIZES[:-1], self.SIZES[1:], strict=True)
        self.theta = torch.cat([torch.cat([torch.randn(o * i) / i**0.5, torch.zeros(o)]) for i, o in shapes])
        self.count = 20 * 15

    def rollout(self, theta: Tensor, inputs: list[list[Tensor]], outputs: list[list[Tensor]]) -> Tensor:
        x, residuals = self.x0, []
        for _ in range(15):
            h, start = x, 0
            for layer, (i, o) in enumerate(zip(self.SIZES[:-1], self.SIZES[1:], strict=True)):
                inputs[layer].append(h)
                h = h @ theta[start : start + o * i].view(o, i).T + theta[start + o * i : start + o * (i + 1)]
                outputs[layer].append(h)
                h = torch.tanh(h) if layer < 2 else h
                start += o * (i + 1)
            x = x + 0.2 * h @ self.B
            residuals.append(x)
        return torch.cat(residuals).reshape(-1)

    def residual(self, theta: Tensor) -> Tensor:
        return self.rollout(theta, [[], [], []], [[], [], []])

    def preconditioner(self) -> KroneckerPreconditioner:
        inputs: list[list[Tensor]] = [[], [], []]
        outputs: list[list[Tensor]] = [[], [], []]
        r = self.rollout(self.theta.clone().requires_grad_(), inputs, outputs)
        y = 2.0 * torch.randint(0, 2, r.shape) - 1.0
        flat = torch.autograd.grad(r, [z for layer in outputs for z in layer], y)
        adjoints = [torch.stack(flat[15 * k : 15 * (k + 1)]) for k in range(3)]
        return KroneckerPreconditioner([torch.stack(x) for x in inputs], adjoints, self.count)


def test_it_cuts_the_iterations_of_a_recurrent_network() -> None:
    """To 99 % of the best decrease of the damped model: measured 34 -> 13 at damping 1e-3, 55 -> 15 at 1e-4."""
    problem = Recurrent()
    J, r = torch.func.jacfwd(problem.residual)(problem.theta), problem.residual(problem.theta)
    H, b, kronecker = J.T @ J / problem.count, -J.T @ r / problem.count, problem.preconditioner()
    for damping, factor in ((1e-3, 2.0), (1e-4, 3.0)):
        A = H + damping * torch.eye(len(b))
        best = float(b @ torch.linalg.solve(A, b))

        def needed(preconditioner: Callable[[Tensor], Tensor] | None, A: Tensor = A, best: float = best) -> int:
            for iterations in range(1, 100):
                x, _ = conjugate_gradients(lambda v: A @ v, b, preconditioner, iterations, 0.0)
                if 2.0 * float(b @ x) - float(x @ (A @ x)) > 0.99 * best:
                    return iterations
            return 100

        assert factor * needed(kronecker.inverse(damping)) < needed(None)


# --- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussNewton(damping=0.0), "damping=0.0: needs 0 < min_damping"),
        (lambda: GaussNewton(min_damping=0.0), "min_damping=0.0"),
        (lambda: GaussNewton(damping=math.nan), "damping=nan"),
        (lambda: GaussNewton(damping=1e7), "max_damping"),
        (lambda: GaussNewton(cg_tolerance=1.0), "cg_tolerance=1.0: must be"),
        (lambda: GaussNewton(cg_iterations=0), "cg_iterations=0: must be a positive integer"),
        (lambda: GaussNewton(tries=1.5), "tries=1.5: must be"),  # type: ignore[arg-type]
        (lambda: GaussNewton().step(torch.ones(1, 1), Line(1.0), float), "flatten it"),
        (lambda: GaussNewton().step(torch.ones(2), Line(1.0), float), "must agree"),
        (lambda: gauss_newton(rosenbrock, torch.ones(2, 2)), "theta0 has shape .2, 2.: must be a vector"),
        (lambda: gauss_newton(lambda x: x[:, None], torch.ones(2)), "residual has shape .2, 1.: must be a vector"),
        (lambda: gauss_newton(torch.log, torch.zeros(2)), "is inf: must be finite, start elsewhere"),
        (lambda: gauss_newton(torch.log, -torch.ones(2)), "is nan: must be finite, start elsewhere"),
        (lambda: KroneckerPreconditioner([torch.ones(2, 3)], [], 1.0), "inputs of 1 layers, adjoints of 0"),
        (lambda: KroneckerPreconditioner([torch.ones(2, 3)], [torch.ones(3, 3)], 1.0), "layer 0: .*other samples"),
        (lambda: KroneckerPreconditioner([math.nan * torch.ones(2, 3)], [torch.ones(2, 3)], 1.0), "not finite"),
        (lambda: KroneckerPreconditioner([], [], 0.0), "normalizer=0.0: must be"),
        (lambda: KroneckerPreconditioner([], [], 1.0).inverse(0.0), "damping=0.0: must be positive"),
        (lambda: KroneckerPreconditioner([], [], 1.0).inverse(1.0)(torch.ones(1)), "have 0 parameters"),
    ],
)
def test_errors_say_what_to_do(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
