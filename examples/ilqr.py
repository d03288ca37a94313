"""iLQR, and model-predictive control by it: a cart swings a pole up, and keeps it up when it is pushed.

iLQR (Li and Todorov 2004) solves a linear-quadratic problem along the present path, again and again. All it needs
of a simulator are steps and their Jacobians, and those of a whole path are one batched call of `sim.step_jacobian`.

    python examples/ilqr.py
"""

import numpy as np
from numpy.typing import NDArray

from gradgym import sim

Floats = NDArray[np.float64]

MJCF = """
<mujoco>
  <option timestep="0.01"/>
  <worldbody>
    <body name="cart">
      <joint name="slide" type="slide" axis="1 0 0" damping="0.1"/>
      <geom type="box" size="0.1 0.05 0.05" mass="1"/>
      <body name="pole">
        <joint name="hinge" axis="0 1 0" damping="0.001"/>
        <geom type="capsule" fromto="0 0 0 0 0 0.6" size="0.02" mass="0.1"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slide" ctrlrange="-10 10"/></actuator>
</mujoco>
"""
SUBSTEPS, STEPS = 2, 100  # a control holds for 0.02 s, a plan for 2 s
LIMIT = 10.0  # [N]
LENGTHS = 0.5 ** np.arange(10)  # of a step, all tried at once
# Of cart [m], pole [rad, 0 is upright] and their velocities, a cost per second and one at the end; of the force [N].
RUNNING, FINAL, EFFORT = np.diag([1.0, 2.0, 0.1, 0.1]), np.diag([100.0, 500.0, 10.0, 10.0]), 0.01
DT = 0.02

model = sim.Model.from_xml_string(MJCF)


def rows(state: sim.State) -> Floats:
    """States (..., 4): both joints are plain coordinates, so the tangent of a state is their difference."""
    return np.concatenate([state.qpos, state.qvel], axis=-1)


def cost(xs: Floats, us: Floats) -> Floats:
    """Cost (...) of paths (..., T + 1, 4) under controls (..., T, 1)."""
    running = np.einsum("...ti,ij,...tj->...", xs[..., :-1, :], RUNNING, xs[..., :-1, :])
    end = np.einsum("...i,ij,...j->...", xs[..., -1, :], FINAL, xs[..., -1, :])
    return 0.5 * (DT * (running + EFFORT * np.square(us).sum((-2, -1))) + end)


def simulate(state: sim.State, us: Floats) -> Floats:
    """The path (T + 1, 4) from a state under controls (T, 1)."""
    path = sim.rollout(model, state, us, SUBSTEPS)
    return np.concatenate([path.qpos, path.qvel], axis=-1)


def gains(xs: Floats, us: Floats, damping: float) -> tuple[Floats, Floats]:
    """Changes (T, 1) of the controls, and feedback (T, 1, 4), by dynamic programming from the end."""
    at = sim.State(xs[:-1, :2], xs[:-1, 2:], np.zeros((len(us), 0)))
    A, B = sim.step_jacobian(model, at, us, SUBSTEPS)  # (T, 4, 4), (T, 4, 1) in one call
    changes, feedback = np.zeros_like(us), np.zeros((len(us), 1, 4))
    value_x, value_xx = FINAL @ xs[-1], FINAL
    for t in reversed(range(len(us))):
        q_x, q_u = DT * RUNNING @ xs[t] + A[t].T @ value_x, DT * EFFORT * us[t] + B[t].T @ value_x
        q_xx, q_ux = DT * RUNNING + A[t].T @ value_xx @ A[t], B[t].T @ value_xx @ A[t]
        q_uu = DT * EFFORT + B[t].T @ value_xx @ B[t] + damping
        changes[t] = np.clip(-q_u / q_uu[0], -LIMIT - us[t], LIMIT - us[t])
        if np.abs(us[t] + changes[t]) < LIMIT:  # at its limit a control does not answer
            feedback[t] = -q_ux / q_uu
        k, K = changes[t], feedback[t]
        value_x = q_x + K.T @ (q_uu @ k + q_u) + q_ux.T @ k
        value_xx = q_xx + K.T @ q_uu @ K + K.T @ q_ux + q_ux.T @ K
    return changes, feedback


def improve(state: sim.State, us: Floats, damping: float) -> tuple[Floats, float]:
    """One iteration: the best controls of several lengths of a step, and the damping of the next iteration."""
    xs = simulate(state, us)
    changes, feedback = gains(xs, us, damping)
    n = len(LENGTHS)
    tried, paths = np.zeros((n, *us.shape)), np.zeros((n, *xs.shape))
    now = sim.State(*(np.repeat(x[None], n, axis=0) for x in state[:3]))
    for t in range(len(us)):
        paths[:, t] = rows(now)
        tried[:, t] = us[t] + LENGTHS[:, None] * changes[t] + (paths[:, t] - xs[t]) @ feedback[t].T
        tried[:, t] = np.clip(tried[:, t], -LIMIT, LIMIT)
        now = sim.step(model, now, tried[:, t], SUBSTEPS)
    paths[:, -1] = rows(now)
    costs = cost(paths, tried)
    best = int(np.argmin(costs))
    if costs[best] < cost(xs, us):
        return tried[best], damping / 3
    return us, damping * 10


def swing_up(state: sim.State) -> Floats:
    """Controls that bring the hanging pole up; prints their cost on the way."""
    us, damping = np.zeros((STEPS, 1)), 1e-2
    us[:10] = 1.0  # hanging still is a place where nothing has a gradient to one side
    for iteration in range(81):
        xs = simulate(state, us)
        if iteration % 20 == 0:
            print(f"iteration {iteration:2d}: cost {cost(xs, us):8.3f}, at the end {xs[-1, 1]:+.4f} rad from upright")
        us, damping = improve(state, us, damping)
    return us


def follow(state: sim.State, us: Floats, seconds: float) -> None:
    """Applies the first control of a plan, then plans again from where that led; a push comes in between."""
    for step in range(round(seconds / DT)):
        if step == STEPS + 50:
            state = state._replace(qvel=state.qvel + np.array([0.0, 2.0]))
            print(f"push: the pole turns at {state.qvel[1]:+.2f} rad/s")
        state = sim.step(model, state, us[0], SUBSTEPS)
        us, _ = improve(state, np.append(us[1:], us[-1:], axis=0), 1e-3)
    print(f"after {seconds:.0f} s: {state.qpos[1]:+.4f} rad from upright, cart at {state.qpos[0]:+.3f} m")


def main() -> None:
    hanging = model.initial_state()._replace(qpos=np.array([0.0, np.pi]))
    follow(hanging, swing_up(hanging), 6.0)


if __name__ == "__main__":
    main()
