"""Gauss-Newton steps against a second solver, and each of their parts against dense algebra."""

import doctest
import math

import numpy as np
import pytest
import torch
from gradgym.agents.optim import gauss_newton as module
from gradgym.agents.optim.conjugate_gradients import conjugate_gradients
from gradgym.agents.optim.gauss_newton import GaussNewton, gauss_newton
from gradgym.agents.optim.kronecker import KroneckerPreconditioner
from torch import Tensor

optimize = pytest.importorskip("scipy.optimize")


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _rosenbrock(p: Tensor) -> Tensor:
    return torch.cat([10.0 * (p[1:] - p[:-1] ** 2), 1.0 - p[:-1]])


def _exponentials(p: Tensor) -> Tensor:
    x = torch.linspace(0.0, 2.0, 60)
    y = 3.0 * torch.exp(-0.5 * x) + torch.exp(-4.0 * x) + 0.01 * torch.sin(40.0 * x)
    return p[0] * torch.exp(p[1] * x) + p[2] * torch.exp(p[3] * x) - y


def _network(p: Tensor) -> Tensor:
    x = torch.linspace(-1.0, 1.0, 30)[:, None]
    hidden = torch.tanh(x * p[:4] + p[4:8])
    return torch.cat([(hidden @ p[8:12] - torch.sin(3.0 * x[:, 0])), 1e-3 * p])


@pytest.mark.parametrize(
    ("residual", "start"),
    [
        (_rosenbrock, torch.tensor([-1.2, 1.0, -0.5, 2.0], dtype=torch.float64)),
        (_exponentials, torch.tensor([2.0, -1.0, 2.0, -2.0], dtype=torch.float64)),
        (_network, torch.linspace(-1.0, 1.3, 12, dtype=torch.float64)),
    ],
)
def test_minima_are_scipys(residual, start):
    found = gauss_newton(residual, start, max_steps=500)
    other = optimize.least_squares(
        lambda p: residual(torch.from_numpy(p)).numpy(), found.parameters.numpy() + 1e-3, xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert found.converged
    assert found.loss == pytest.approx(2.0 * other.cost, rel=1e-8, abs=1e-18)
    assert np.abs(found.parameters.numpy() - other.x).max() < 1e-4


def test_docstring():
    assert doctest.testmod(module).failed == 0


def test_linear_problem_takes_one_step():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(12, 5, generator=generator), torch.randn(12, generator=generator)
    solver = GaussNewton(1e-12, 1e-12, cg_iterations=20, cg_tolerance=1e-14)
    found = gauss_newton(lambda p: a @ p - b, torch.zeros(5), max_steps=1, solver=solver)
    assert torch.allclose(found.parameters, torch.linalg.lstsq(a, b[:, None]).solution[:, 0], atol=1e-9)


def test_conjugate_gradients_solve_and_count():
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(8, 8, generator=generator)
    a, b = root @ root.T + torch.eye(8), torch.randn(8, generator=generator)
    plain = conjugate_gradients(lambda v: a @ v, b, iterations=50, tolerance=1e-12)
    assert torch.allclose(plain.x, torch.linalg.solve(a, b), atol=1e-9)
    exact = conjugate_gradients(lambda v: a @ v, b, lambda v: torch.linalg.solve(a, v), tolerance=1e-10)
    assert exact.iterations == 1
    assert torch.allclose(exact.x, torch.linalg.solve(a, b), atol=1e-9)


class _Quadratic:
    """|p|^2 with a model that is right."""

    loss, gradient = 4.0, torch.tensor([2.0], dtype=torch.float64)

    def product(self, v):
        return v

    def preconditioner(self, damping):
        return None


@pytest.mark.parametrize("bad", [math.nan, math.inf, 5.0])
def test_a_step_that_fails_changes_nothing_but_the_damping(bad):
    solver, start = GaussNewton(damping=1.0, tries=2), torch.tensor([2.0])
    step = solver.step(start, _Quadratic(), lambda p: bad)
    assert not step.accepted
    assert torch.equal(step.parameters, start)
    assert step.loss == 4.0
    assert solver.damping == 64.0


def test_damping_follows_the_ratio():
    solver = GaussNewton(damping=1.0)
    step = solver.step(torch.tensor([2.0]), _Quadratic(), lambda p: float(p.square()))
    assert step.accepted
    assert step.ratio == pytest.approx(1.0)
    assert solver.damping == 0.5
    # Of the foreseen decrease, 2 g d + d^2 with d = g / (1 + damping), a tenth comes true.
    move = 2.0 / 1.5
    solver.step(torch.tensor([2.0]), _Quadratic(), lambda p: 4.0 - 0.1 * (4.0 * move - move**2))
    assert solver.damping == 1.5


def test_kronecker_factors_are_exact_for_one_layer():
    """J' J of r = C W x~ for one x~ is the Kronecker product of C' C and x~ x~'."""
    generator = torch.Generator().manual_seed(2)
    n_in, n_out, damping = 3, 4, 0.1
    c, x = torch.randn(6, n_out, generator=generator), torch.randn(n_in, generator=generator)
    signs = 6**0.5 * torch.eye(6)  # whose mean of squares is the identity, as that of random signs is
    adjoints = signs @ c
    found = KroneckerPreconditioner([x.expand(6, n_in)], [adjoints], damping, 1.0 / 6.0)
    ones = torch.cat([x, torch.ones(1)])
    a, g = torch.outer(ones, ones), c.T @ c
    share = (a.diagonal().mean() / g.diagonal().mean()).sqrt()
    damped = torch.kron(
        g + damping**0.5 / share * torch.eye(n_out), a + damping**0.5 * share * torch.eye(n_in + 1)
    )
    v = torch.randn(n_out, n_in + 1, generator=generator)
    expected = torch.linalg.solve(damped, v.flatten()).view(n_out, n_in + 1)
    result = found(torch.cat([v[:, :-1].flatten(), v[:, -1]]))
    assert torch.allclose(result, torch.cat([expected[:, :-1].flatten(), expected[:, -1]]), atol=1e-7)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gauss_newton(lambda p: p.flatten(), torch.zeros(2, 2)), "one vector"),
        (lambda: GaussNewton(damping=0.0), "damping=0.0"),
        (lambda: GaussNewton(cg_iterations=0), "cg_iterations=0"),
        (lambda: gauss_newton(lambda p: p / 0.0, torch.ones(2)), "begin elsewhere"),
    ],
)
def test_errors_are_one_line(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
