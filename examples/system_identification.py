"""System identification: masses, centres of mass, damping and friction of a robot, all at once.

An arm wipes a table. Its motion is recorded in MuJoCo, with noise of the sensors if asked for; from
the recording alone 13 parameters are estimated. The recording is cut into short windows, each
predicted from its own measured start (multiple shooting): over the whole length a prediction would
part from the recording, and the loss have many minima.

`rollout_vjp(..., params=True)` pulls a cotangent of the predicted states back to all parameters, for
each window, at a price that does not depend on how many parameters there are. The residuals make the
gradient of the loss. Random signs v in their place make J'v, and since E[J'v v'J] = J'J, some hundreds
of windows tell also the Gauss-Newton matrix, without a Jacobian ever being made.

    python examples/system_identification.py --noise 1
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from gradgym import sim

Floats = NDArray[np.float64]

MJCF = """
<mujoco>
  <option timestep="0.002" cone="elliptic"/>
  <default><geom contype="0" conaffinity="0"/></default>
  <worldbody>
    <geom type="plane" size="1 1 0.1" contype="1" rgba="0.7 0.7 0.7 1"/>
    <body name="turret" pos="0 0 0.3">
      <joint name="turret" axis="0 0 1" damping="0.25" frictionloss="0.2"/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.004 0.004 0.004"/>
      <geom type="cylinder" size="0.05 0.06" mass="0" rgba="0.3 0.3 0.3 1"/>
      <body name="upper arm">
        <joint name="shoulder" axis="0 1 0" damping="0.3" frictionloss="0.25"/>
        <inertial pos="0.13 0 0.02" mass="1.2" diaginertia="0.001 0.009 0.009"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.03" mass="0" rgba="0.9 0.6 0.2 1"/>
        <body name="forearm" pos="0.3 0 0">
          <joint name="elbow" axis="0 1 0" damping="0.15" frictionloss="0.12"/>
          <inertial pos="0.12 0 -0.015" mass="0.7" diaginertia="0.0004 0.005 0.005"/>
          <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="0" rgba="0.9 0.7 0.3 1"/>
          <geom name="finger" pos="0.3 0 0" size="0.03" conaffinity="1" priority="1" friction="0.4" mass="0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="turret"/>
    <motor joint="shoulder"/>
    <motor joint="elbow"/>
  </actuator>
</mujoco>
"""

ARM = mujoco.MjModel.from_xml_string(MJCF)
SECONDS, WINDOW = 8.0, 20  # length of the recording; time steps in a window
NOISE = np.repeat([1e-5, 2e-3], 3)  # deviation of measured angles [rad] and velocities [rad/s]


class Parameter(NamedTuple):
    """One number of the model; positive ones are estimated by their logarithm."""

    name: str
    field: str
    place: tuple[int, ...]
    positive: bool
    guess: float  # where the estimation begins


class Recording(NamedTuple):
    """N windows of W time steps."""

    start: sim.State  # (N, ...) measured
    ctrl: Floats  # (N, W, 3) torques [N m]
    states: Floats  # (N, W, 6) measured angles and velocities after each step


def parameters() -> list[Parameter]:
    """What is estimated.

    The rest is known, and has to be: not every number of a robot shows in its motion. The turret turns
    about the vertical only, so that neither its mass nor its centre of mass matters. A link on a hinge
    shows three numbers of its plane of motion, m c (two) and I + m c^2; with its inertia I about the
    centre of mass from the drawings, they give m and c. Without, I and m could only be told together.
    """
    body, dof = (lambda name: int(ARM.body(name).id)), (lambda name: int(ARM.joint(name).dofadr[0]))
    found = [
        Parameter("mass of the upper arm [kg]", "body_mass", (body("upper arm"),), True, 0.7),
        Parameter("mass of the forearm [kg]", "body_mass", (body("forearm"),), True, 1.2),
    ]
    for link, along, across in (("upper arm", 0.10, 0.0), ("forearm", 0.15, 0.0)):
        for axis, name, guess in ((0, "along", along), (2, "across", across)):
            found.append(
                Parameter(f"centre of mass {name} the {link} [m]", "body_ipos", (body(link), axis), False, guess)
            )
    for joint, damping, friction in (("turret", 0.15, 0.1), ("shoulder", 0.2, 0.4), ("elbow", 0.25, 0.2)):
        found.append(Parameter(f"damping of the {joint} [N m s]", "dof_damping", (dof(joint),), True, damping))
        found.append(Parameter(f"friction of the {joint} [N m]", "dof_frictionloss", (dof(joint),), True, friction))
    return [*found, Parameter("friction of the finger", "geom_friction", (int(ARM.geom("finger").id), 0), True, 0.7)]


def make_model(values: Floats) -> mujoco.MjModel:
    """The arm with other values of `parameters()`."""
    m = copy.copy(ARM)
    for parameter, value in zip(parameters(), values, strict=True):
        getattr(m, parameter.field)[parameter.place] = value
    # How soft MuJoCo makes constraints depends on the inertia that they see, so it follows the estimate. Our
    # gradient does not know it, which slows the search a little: where residuals vanish, so does what is missing.
    mujoco.mj_setConst(m, mujoco.MjData(m))
    return m


def true_values() -> Floats:
    return np.array([getattr(ARM, p.field)[p.place] for p in parameters()])


def wiping(t: float) -> Floats:
    """Joint angles of a finger that wanders about the table, and half the time above it.

    A recording shows only what the motion excites: centres of mass by links that rise and fall.
    """
    x, y = 0.36 + 0.07 * np.sin(2.1 * t) + 0.04 * np.sin(5.3 * t), 0.13 * np.sin(1.7 * t) + 0.06 * np.sin(6.1 * t)
    z = -0.2 + 0.08 * np.sin(3.3 * t)  # from the shoulder, 0.3 m above the table
    ahead = np.hypot(x, y)
    elbow = np.arccos((ahead**2 + z**2 - 0.18) / 0.18)
    shoulder = np.arctan2(-z, ahead) - 0.5 * elbow  # both links are 0.3 m long
    return np.array([np.arctan2(y, x), shoulder, elbow])


def record(noise: float, seed: int = 0) -> Recording:
    """Runs the true arm in MuJoCo under a controller that makes it wipe."""
    rng = np.random.default_rng(seed)
    d, states, torques = mujoco.MjData(ARM), [], []
    d.qpos[:] = wiping(0.0)
    for _ in range(round(SECONDS / ARM.opt.timestep)):
        states.append(np.concatenate([d.qpos, d.qvel]))
        d.ctrl[:] = [60, 90, 60] * (wiping(d.time) - d.qpos) - [1.0, 1.5, 0.6] * d.qvel
        torques.append(d.ctrl.copy())
        mujoco.mj_step(ARM, d)
    states.append(np.concatenate([d.qpos, d.qvel]))
    measured = np.array(states) + noise * NOISE * rng.normal(size=(len(states), 6))
    starts = measured[:-1].reshape(-1, WINDOW, 6)[:, 0]
    start = sim.State(starts[:, :3].copy(), starts[:, 3:].copy(), np.zeros((len(starts), 0)))
    return Recording(start, np.array(torques).reshape(-1, WINDOW, 3), measured[1:].reshape(-1, WINDOW, 6))


def deviations() -> Floats:
    """Deviation of what noise leaves between prediction and measurement, (W, 6): that of both, and of time.

    Were a prediction trusted like a measurement, the noise of its first velocities would count many times.
    """
    angle, velocity = NOISE[:3], NOISE[3:]
    seconds = 0.002 * np.arange(1, WINDOW + 1)[:, None]
    of_angles = np.sqrt(2.0 * angle**2 + (velocity * seconds) ** 2)
    return np.concatenate([of_angles, np.tile(np.sqrt(2.0) * velocity, (WINDOW, 1))], axis=1)


def residuals(trajectory: sim.Trajectory, recording: Recording) -> Floats:
    """Prediction minus measurement by its deviation, (N, W, 6)."""
    predicted = np.concatenate([trajectory.qpos, trajectory.qvel], axis=-1)[:, 1:]
    return (predicted - recording.states) / deviations()


class Fit(NamedTuple):
    """Gradient and Gauss-Newton matrix of the weighted squares of the residuals, by the parameters."""

    gradient: Floats
    curvature: Floats


def by_adjoints(
    values: Floats,
    recording: Recording,
    found: Floats,
    trajectory: sim.Trajectory,
    weight: Floats,
    rng: np.random.Generator,
) -> Fit:
    """From the residuals `found` and two draws of random signs, new ones in each iteration, pulled back together."""
    signs = rng.choice([-1.0, 1.0], (2, *found.shape))
    cotangents = np.zeros((3, *trajectory.qpos.shape[:-1], 6))
    cotangents[:, :, 1:] = np.concatenate([weight * found[None], np.sqrt(weight) * signs]) / deviations()
    arrays = ("qpos", "qvel", "act", "ctrl")
    paths = trajectory._replace(**{name: np.stack([getattr(trajectory, name)] * 3) for name in arrays})
    params = sim.rollout_vjp(sim.Model.from_mujoco(make_model(values)), paths, cotangents, params=True).params
    assert params is not None
    pulled = np.stack([params[p.field][:, :, *p.place] for p in parameters()], axis=-1)  # (3, N, parameters)
    return Fit(pulled[0].sum(0), np.einsum("kni,knj->ij", pulled[1:], pulled[1:]) / 2)


def estimate(
    recording: Recording, iterations: int, derivatives: Callable[..., Fit] = by_adjoints, seed: int = 0
) -> Iterator[tuple[Floats, float]]:
    """Levenberg and Marquardt's method; yields values and loss, first those of the guess.

    The loss of a window grows with the logarithm of its squares: where the finger lands a moment
    earlier than it did, or a joint sticks that slid, the prediction is far off, and says little.
    """
    chosen, rng = parameters(), np.random.default_rng(seed)
    positive, values = np.array([p.positive for p in chosen]), np.array([p.guess for p in chosen])

    def predict(values: Floats) -> tuple[sim.Trajectory, Floats]:
        trajectory = sim.rollout(sim.Model.from_mujoco(make_model(values)), recording.start, recording.ctrl)
        found = residuals(trajectory, recording)
        return trajectory, found

    def squares(found: Floats) -> Floats:
        return np.square(found).mean((1, 2), keepdims=True)

    trajectory, found = predict(values)
    damping = 1e-2
    for _ in range(iterations):
        scale = np.median(squares(found))
        loss = scale * np.log1p(squares(found) / scale).mean()
        yield values, loss
        weight = 1.0 / (1.0 + squares(found) / scale)
        gradient, curvature = derivatives(values, recording, found, trajectory, weight, rng)
        chain = np.where(positive, values, 1.0)
        gradient, curvature = chain * gradient, chain * curvature * chain[:, None]
        while damping < 1e6:
            step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), -gradient)
            step = np.where(positive, np.clip(step, -1.0, 1.0), np.clip(step, -0.1, 0.1))
            tried = np.where(positive, values * np.exp(step), values + step)
            trajectory_tried, found_tried = predict(tried)
            if scale * np.log1p(squares(found_tried) / scale).mean() < loss:
                values, trajectory, found, damping = tried, trajectory_tried, found_tried, max(damping / 3, 1e-4)
                break
            damping *= 4
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--noise", type=float, default=0.0, help="of the sensors: 1 is 1e-5 rad and 2e-3 rad/s")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--iterations", type=int, default=20)
    arguments = parser.parse_args()
    recording, true, values = record(arguments.noise, arguments.seed), true_values(), true_values()
    for iteration, (values, loss) in enumerate(estimate(recording, arguments.iterations)):
        error = np.abs(values / true - 1.0).max()
        print(f"iteration {iteration:2d}: loss {loss:.3e}, largest error {100 * error:.3f} %")
    print(f"{'parameter':42s}{'true':>9s}{'guess':>9s}{'estimate':>10s}{'error %':>9s}")
    for p, a, b in zip(parameters(), true, values, strict=True):
        print(f"{p.name:42s}{a:9.4f}{p.guess:9.4f}{b:10.4f}{100 * abs(b / a - 1):9.3f}")


if __name__ == "__main__":
    main()
