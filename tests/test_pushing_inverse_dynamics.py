"""The program of equation 6 against the oracle's plans, another solver, and central differences of that solver."""

from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import clarabel as untyped_clarabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pushing_tasks import pushed_squares
from scipy import sparse
from torch import Tensor

from gradgym.agents.pushing import quadratic_program
from gradgym.agents.pushing.inverse_dynamics import InverseDynamics, Solution, Weights, accelerations
from gradgym.agents.pushing.mechanics import DT
from gradgym.agents.pushing.mechanics import accelerations as numpy_accelerations
from gradgym.agents.pushing.parameters import MechanicalParameters
from gradgym.agents.pushing.quadratic_program import Bounds, minimize

Floats = NDArray[np.float64]
clarabel: Any = untyped_clarabel


def disturbed(number: int, seed: int, size: float = 0.2, num_fingers: int = 2) -> MechanicalParameters:
    """As a network predicts them: no more consistent, so that forces miss the motion and positions leave facets."""
    known = pushed_squares(number, seed, num_fingers).parameters.flatten()
    generator = torch.Generator().manual_seed(seed)
    spread = known.std((0, 1)).clamp(min=0.02)
    noise = size * spread * torch.randn(known.shape, generator=generator, dtype=torch.float64)
    return MechanicalParameters.unflatten(known + noise, num_fingers)


def solved(quadratic: Floats, linear: Floats, rows: list[tuple[Floats, float, str]]) -> Tensor:
    rows = sorted(rows, key=lambda entry: entry[2], reverse=True)
    equal = sum(kind == "=" for _, _, kind in rows)
    cones = [clarabel.ZeroConeT(equal), clarabel.NonnegativeConeT(len(rows) - equal)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-14
    matrix = sparse.csc_matrix(np.stack([line for line, _, _ in rows]))
    bounds = np.array([value for _, value, _ in rows])
    hessian = sparse.csc_matrix(np.triu(quadratic))
    solver = clarabel.DefaultSolver(hessian, linear, matrix, bounds, cones, settings)
    return torch.from_numpy(np.array(solver.solve().x))


def clarabel_solution(parameters: MechanicalParameters, dynamics: InverseDynamics) -> Solution:
    """Of one task: the whole program at once, in positions and forces themselves, as the paper writes it.

    Variables, knot by knot: p (N, 2), shares s (N,), ray coefficients (N, 2) and (2,), slack (3,), its size (3,).
    """
    known = {field.name: getattr(parameters, field.name)[0].detach().numpy() for field in fields(parameters)}
    knots, n = known["facets"].shape[:2]
    w, size, ridge = dynamics.weights, 5 * n + 8, 1e-4
    quadratic, linear = np.zeros((knots * size, knots * size)), np.zeros(knots * size)
    rows: list[tuple[Floats, float, str]] = []

    def row(t: int, entries: dict[int, float], value: float, kind: str) -> None:
        line = np.zeros(knots * size)
        for at, number in entries.items():
            line[t * size + at] = number
        rows.append((line, value, kind))

    acceleration = np.zeros_like(known["r"])
    acceleration[1:-1] = (known["r"][2:] - 2.0 * known["r"][1:-1] + known["r"][:-2]) / DT**2
    for t in range(knots):
        wrench = acceleration[t] * [1.0, 1.0, known["inertia"][t]] + [0.0, dynamics.gravity, 0.0]
        maps: list[tuple[int, Floats]] = []
        for c in range(n):
            first, second = known["facets"][t, c]
            arms = known["jacobian"][t, 2, 2 * c : 2 * c + 2]
            wanted = known["r"][t, :2] + np.array([arms[1], -arms[0]])
            for k in range(2):
                at = t * size + 2 * c + k
                quadratic[at, at] += 2.0 * w.arm
                linear[at] -= 2.0 * w.arm * wanted[k]
                row(t, {2 * c + k: 1.0, 2 * n + c: first[k] - second[k]}, first[k], "=")
                for inner in range(1, knots - 1):
                    if inner == t:
                        line = np.zeros(knots * size)
                        line[[(t + i) * size + 2 * c + k for i in (-1, 0, 1)]] = np.array([1.0, -2.0, 1.0]) / DT**2
                        quadratic += 2.0 * w.acceleration * np.outer(line, line)
            at = t * size + 2 * n + c
            quadratic[at, at] += 1e-7
            linear[at] -= 0.5e-7
            row(t, {2 * n + c: -1.0}, 0.0, "<")
            row(t, {2 * n + c: 1.0}, 1.0, "<")
            for i, ray in enumerate(known["cones"][t, c]):
                maps.append((3 * n + 2 * c + i, known["jacobian"][t, :, 2 * c : 2 * c + 2] @ ray))
                row(t, {3 * n + 2 * c + i: -1.0}, 0.0, "<")
            at = t * size + 3 * n + 2 * c
            rays = known["cones"][t, c]
            quadratic[at : at + 2, at : at + 2] += 2.0 * w.force * (rays @ rays.T + ridge * np.eye(2))
            row(t, {3 * n + 2 * c: 1.0, 3 * n + 2 * c + 1: 1.0}, dynamics.limit, "<")
        x, y = known["p_e"][t] - known["r"][t, :2]
        for i, ray in enumerate(known["cones_e"][t]):
            maps.append((5 * n + i, np.array([ray[0], ray[1], x * ray[1] - y * ray[0]])))
            row(t, {5 * n + i: -1.0}, 0.0, "<")
            row(t, {5 * n + i: 1.0}, dynamics.limit_e, "<")
        at, rays = t * size + 5 * n, known["cones_e"][t]
        quadratic[at : at + 2, at : at + 2] += 2.0 * w.external * (rays @ rays.T + ridge * np.eye(2))
        for k, unit in enumerate((1.0, 1.0, 10.0)):
            entries = {index: unit * column[k] for index, column in maps}
            row(t, entries | {5 * n + 2 + k: 1.0}, unit * wrench[k], "=")
            for sign in (-1.0, 1.0):
                row(t, {5 * n + 2 + k: sign, 5 * n + 5 + k: -1.0}, 0.0, "<")
            linear[t * size + 5 * n + 5 + k] = w.slack
    x = solved(quadratic / (2.0 * w.force), linear / (2.0 * w.force), rows).reshape(knots, size)
    rays, rays_e = parameters.cones[0].detach(), parameters.cones_e[0].detach()
    lam = torch.einsum("tnik,tni->tnk", rays, x[:, 3 * n : 5 * n].unflatten(-1, (n, 2)))
    lam_e = torch.einsum("tik,ti->tk", rays_e, x[:, 5 * n : 5 * n + 2])
    return Solution(
        p=x[None, :, : 2 * n].unflatten(-1, (n, 2)),
        lam=lam[None],
        lam_e=lam_e[None],
        slack=x[None, :, 5 * n + 2 : 5 * n + 5],
    )


def test_true_parameters_give_the_oracles_plan() -> None:
    for fingers in (2, 3):
        tasks = pushed_squares(15, fingers, fingers)
        found = InverseDynamics()(tasks.parameters)
        assert float(found.slack.abs().max()) < 1e-9
        torch.testing.assert_close(found.p, tasks.p, atol=5e-5, rtol=0.0)
        torch.testing.assert_close(found.lam, tasks.lam, atol=0.02, rtol=0.0)


@pytest.mark.parametrize(("gravity", "fingers"), [(9.81, 2), (0.0, 2), (9.81, 3)])
def test_solutions_are_those_of_clarabel(gravity: float, fingers: int) -> None:
    dynamics = InverseDynamics(gravity=gravity, limit=6.0, limit_e=9.0)
    parameters = disturbed(8, 3, 0.4, fingers)
    found = dynamics(parameters)
    assert float(found.slack.abs().max()) > 0.5 and float(found.slack.abs().min()) < 1e-9
    assert float((found.lam.norm(dim=-1) < 1e-9).double().mean()) > 0.02
    for i in range(8):
        one = clarabel_solution(parameters[torch.tensor([i])], dynamics)
        for field in fields(Solution):
            got, want = getattr(found, field.name)[i], getattr(one, field.name)[0]
            torch.testing.assert_close(got, want, atol=2e-6, rtol=1e-6, msg=lambda text, f=field: f"{f.name}: {text}")


@pytest.mark.parametrize("name", [field.name for field in fields(MechanicalParameters)])
def test_derivatives_are_differences_of_clarabels_solutions(name: str) -> None:
    dynamics = InverseDynamics(limit=12.0, weights=Weights(acceleration=1e-6))
    generator = torch.Generator().manual_seed(1)
    for seed in (4, 5):
        parameters = disturbed(1, seed, 0.3)
        value = getattr(parameters, name)
        way = torch.randn(value.shape, generator=generator, dtype=torch.float64) * value.abs().mean()
        weights = [torch.randn(parameters.p_e.shape[:2], generator=generator, dtype=torch.float64) for _ in range(3)]

        def score(solution: Solution, weights: list[Tensor] = weights) -> Tensor:
            parts = (100.0 * solution.p).sum((-2, -1)), solution.lam.square().sum((-2, -1)), solution.slack.sum(-1)
            return torch.stack([(w * part).sum() for w, part in zip(weights, parts, strict=True)]).sum()

        leaf = value.clone().requires_grad_()
        score(dynamics(replace(parameters, **{name: leaf}))).backward()
        assert leaf.grad is not None
        derivative, step = float((leaf.grad * way).sum()), 1e-5
        shifted = [replace(parameters, **{name: value + sign * step * way}) for sign in (1.0, -1.0)]
        for solver, tolerance in ((dynamics, 1e-6), (lambda x: clarabel_solution(x, dynamics), 1e-5)):
            ahead, behind = (float(score(solver(x))) for x in shifted)
            assert derivative == pytest.approx((ahead - behind) / (2.0 * step), rel=tolerance, abs=1e-6)
        assert abs(derivative) > 1e-3


def test_accelerations_are_those_of_the_oracle() -> None:
    r = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 6, 3)))
    expected = np.stack([numpy_accelerations(one) for one in r.numpy()])
    np.testing.assert_allclose(accelerations(r).numpy(), expected, atol=1e-10)


def test_parallel_rays_no_ground_and_facets_without_length_have_finite_derivatives() -> None:
    flat = pushed_squares(4, 0).parameters.flatten()
    flat[..., 7:15] = 0.03  # facets
    flat[..., 17:25] = 1.0  # cones
    flat[..., 25:29] = 0.0  # the ground's
    flat.requires_grad_()
    found = InverseDynamics()(MechanicalParameters.unflatten(flat, 2))
    assert float(found.lam_e.detach().abs().max()) == 0.0
    (found.p.sum() + found.lam.square().sum() + found.slack.sum()).backward()
    assert flat.grad is not None and bool(flat.grad.isfinite().all()) and float(flat.grad.abs().max()) < 1e6


def test_parameters_that_are_not_finite_end_in_one_line() -> None:
    parameters = pushed_squares(2, 0).parameters
    r = parameters.r.clone()
    r[1, 2, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        InverseDynamics()(replace(parameters, r=r))


def test_dependent_active_constraints_are_solved_and_differentiated() -> None:
    """x >= 1 twice, and the sum of both given: three active constraints on two numbers."""
    bounds = Bounds(matrix=np.eye(2)[[0, 0, 1]], lower=np.array([1.0, 1.0, -10.0]), upper=np.full(3, np.inf))
    target = torch.tensor([[4.0]], dtype=torch.float64, requires_grad=True)
    hessian = torch.diag(torch.tensor([10.0, 1.0], dtype=torch.float64))[None]
    equality = torch.ones(1, 1, 2, dtype=torch.float64)
    x = minimize(hessian, torch.zeros(1, 2, dtype=torch.float64), equality, target, bounds)
    torch.testing.assert_close(x.detach(), torch.tensor([[1.0, 3.0]], dtype=torch.float64), atol=1e-9, rtol=0.0)
    x[0, 1].backward()
    assert target.grad is not None and float(target.grad) == pytest.approx(1.0, abs=1e-6)


def test_a_program_on_which_penalties_cycle_is_solved_with_the_other_update(monkeypatch: pytest.MonkeyPatch) -> None:
    proxqp = quadratic_program.solver()

    class Cycling(proxqp.dense.QP):
        def solve(self) -> None:
            limit, self.settings.max_iter = self.settings.max_iter, 0 if self.settings.bcl_update else 1000
            super().solve()
            self.settings.max_iter = limit

    parameters = disturbed(2, seed=4)
    known = InverseDynamics()(parameters)
    monkeypatch.setattr(
        quadratic_program, "solver", lambda: SimpleNamespace(**{**vars(proxqp), "dense": SimpleNamespace(QP=Cycling)})
    )
    found = InverseDynamics()(parameters)
    for field in fields(known):
        torch.testing.assert_close(getattr(found, field.name), getattr(known, field.name), rtol=1e-6, atol=1e-6)
    monkeypatch.setattr(quadratic_program, "_TOLERANCES", ())
    with pytest.raises(ArithmeticError, match="quadratic program 0 of 10 was not solved"):
        InverseDynamics()(parameters)
