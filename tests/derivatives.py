"""One check for every derivative: a function on manifolds, its vector-Jacobian product, differences.

A `Map` says how to evaluate a function, how to move its argument along a tangent vector and how to
take the difference of two results; tangent vectors are plain arrays. The simulator's step,
rollout, poses and rotations are all checked through it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from gradgym import sim

Floats = NDArray[np.float64]
EPSILON = float(np.finfo(float).eps)


class Map(NamedTuple):
    """A function f between manifolds. `move(x, t)`: x moved along t; `difference(a, b)`: from a to b."""

    value: Callable[[Any], Any]
    move: Callable[[Any, Floats], Any]
    difference: Callable[[Any, Any], Floats]


class Difference(NamedTuple):
    """Derivative along a direction from values at five points."""

    value: Floats  # extrapolated from both step sizes
    roughness: Floats  # what a kink between the points would add to it
    rounding: float  # what the finite precision of the values adds to it


def central(f: Map, x: Any, direction: Floats, h: float) -> Floats:
    """(f(x + h d) - f(x - h d)) / 2h, its error falls with h^2."""
    return f.difference(f.value(f.move(x, -h * direction)), f.value(f.move(x, h * direction))) / (2.0 * h)


def differentiate(f: Map, x: Any, direction: Floats, h: float = 3e-4) -> Difference:
    """Derivative of `f` at `x` along `direction`.

    Central differences at h and 2h, extrapolated (Richardson), leave an error of h^4 where f is
    smooth. A kink (a clamp that switches) leaves a fourth difference of the order of h instead.
    """
    center = f.value(x)
    near = [f.difference(center, f.value(f.move(x, s * h * direction))) for s in (-1.0, 1.0)]
    far = [f.difference(center, f.value(f.move(x, s * h * direction))) for s in (-2.0, 2.0)]
    one, two = (near[1] - near[0]) / (2.0 * h), (far[1] - far[0]) / (4.0 * h)
    fourth = (far[0] + far[1]) - 4.0 * (near[0] + near[1])
    scale = max(np.abs(part).max(initial=0.0) for part in _parts(center))
    return Difference((4.0 * one - two) / 3.0, np.abs(fourth) / h, 20.0 * EPSILON * scale / h)


def _parts(value: Any) -> list[Floats]:
    arrays = value if isinstance(value, tuple) else (np.asarray(value),)
    return [part for part in arrays if isinstance(part, np.ndarray)]


def is_smooth(found: Difference, tolerance: float = 1e-6) -> bool:
    """Whether no clamp switched between the points, as far as `tolerance` can tell."""
    return bool((found.roughness <= tolerance * np.abs(found.value).max(initial=0.0) + found.rounding).all())


def assert_derivative(exact: Floats, found: Difference, tolerance: float = 1e-6) -> None:
    """`exact` agrees with the difference relative to the largest entry of the latter."""
    bound = tolerance * np.abs(found.value).max(initial=0.0) + found.rounding
    error = np.abs(exact - found.value).max(initial=0.0)
    assert error <= bound, f"derivative is off by {error:.2e}, more than {bound:.2e}"


def assert_error_falls_with_the_square(f: Map, x: Any, direction: Floats, exact: Floats) -> None:
    """Central differences approach `exact` with slope 2 as h falls, until rounding.

    A derivative that is off by a little could pass a tolerance, it cannot pass this: its error
    would stay where it is.
    """
    steps = 0.1 * 2.0 ** -np.arange(12.0)
    errors = np.array([np.abs(central(f, x, direction, h) - exact).max() for h in steps])
    scale = max(np.abs(part).max(initial=0.0) for part in _parts(f.value(x)))
    floor = 100.0 * EPSILON * max(scale, 1.0) / steps
    slopes = np.log2(errors[:-1] / errors[1:])[(errors[:-1] > 8.0 * floor[:-1]) & (errors[1:] > 8.0 * floor[1:])]
    if slopes.size == 0:  # no third derivative to speak of: every difference is exact already
        assert (errors <= 8.0 * floor).all()
        return
    # The first steps may be too large for the leading term of the error to rule.
    assert slopes.size >= 4, f"differences never settle: errors {errors}"
    np.testing.assert_allclose(slopes[-2:], 2.0, atol=0.1)


def tangent_between(model: sim.Model, start: sim.State, end: sim.State) -> Floats:
    """The tangent vector (position, velocity, activation) from `start` to `end`."""
    shift = np.empty(model.nv)
    mujoco.mj_differentiatePos(model.mj_model, shift, 1.0, start.qpos, end.qpos)
    return np.concatenate([shift, end.qvel - start.qvel, end.act - start.act])


def moved(model: sim.Model, state: sim.State, tangent: Floats) -> sim.State:
    """`state` moved along a tangent vector."""
    qpos, nv = state.qpos.copy(), model.nv
    mujoco.mj_integratePos(model.mj_model, qpos, np.ascontiguousarray(tangent[:nv]), 1.0)
    return sim.State(qpos, state.qvel + tangent[nv : 2 * nv], state.act + tangent[2 * nv :])


def step_map(model: sim.Model, n_steps: int = 1) -> Map:
    """`sim.step` as a function of (state, control); its argument's tangent is (state, control) in one array."""
    nx = 2 * model.nv + model.na

    def move(x: tuple[sim.State, Floats], t: Floats) -> tuple[sim.State, Floats]:
        return moved(model, x[0], t[:nx]), x[1] + t[nx:]

    return Map(
        lambda x: sim.step(model, x[0], x[1], n_steps),
        move,
        lambda a, b: tangent_between(model, a, b),
    )


def assert_constrained_step(model: sim.Model, state: sim.State, ctrl: Floats, seed: int, directions: int = 3) -> int:
    """Step Jacobian times random directions, and vector-Jacobian product; returns how many directions were smooth.

    Constraints at solver tolerance 1e-16 leave 1e-5 of a difference over 1e-5.
    """
    rng, smooth = np.random.default_rng(seed), 0
    jac = sim.step_jacobian(model, state, ctrl)
    whole = np.hstack([jac.A, jac.B])
    for _ in range(directions):
        direction = rng.normal(size=whole.shape[1])
        found = differentiate(step_map(model), (state, ctrl), direction, h=1e-5)
        if is_smooth(found, 1e-5):  # no row or clamp switches between the points
            assert_derivative(whole @ direction, found, 1e-5)
            smooth += 1
    cotangent = rng.normal(size=len(jac.A))
    vjp = sim.step_vjp(model, state, ctrl, cotangent)
    scale = max(1.0, np.abs(whole).max())
    np.testing.assert_allclose(vjp.state, cotangent @ jac.A, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(vjp.ctrl, cotangent @ jac.B, rtol=0, atol=1e-10 * scale)
    return smooth


def smooth_parameters(model: sim.Model, state: sim.State, ctrl: Floats, names: tuple[str, ...], seed: int) -> set[str]:
    """Check gradients of parameters along random directions; returns those where no row switches on the way."""
    rng, smooth = np.random.default_rng(seed), set()
    cotangent = rng.normal(size=2 * model.nv + model.na)
    params = sim.step_vjp(model, state, ctrl, cotangent, params=True).params
    assert params is not None
    for name in names:
        m = model.mj_model
        value = np.array(getattr(m.opt if hasattr(m.opt, name) else m, name))
        direction = rng.normal(size=value.shape) * (np.abs(value) + 0.1 * np.abs(value).mean())

        def end(x: Floats, name: str = name) -> sim.State:
            changed: dict[str, Any] = {name: x}
            return sim.step(model.replace(**changed), state, ctrl)

        by_value = Map(end, lambda x, t: x + t, lambda a, b: tangent_between(model, a, b))
        found = differentiate(by_value, value, direction, h=1e-5)
        if is_smooth(found, 1e-5):
            error = abs(np.sum(params[name] * direction) - cotangent @ found.value)
            bound = 1e-5 * np.abs(cotangent) @ np.abs(found.value) + np.abs(cotangent).sum() * found.rounding
            assert error <= bound, f"gradient of {name} is off by {error:.2e}, more than {bound:.2e}"
            smooth.add(name)
    return smooth
