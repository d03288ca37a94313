"""Whether grasps hold in physics: an object shaken by gravity from six sides.

The protocol is DexGraspBench's (Chen et al., "BODex: Scalable and Efficient Robotic Dexterous Grasp Synthesis Using
Bilevel Optimization", ICRA 2025): a free object of 100 g, a hand that stays where it is and squeezes by position
servos, then its weight along each axis of the object to both sides for 2 s, each from the same start; what starts
more than 1 cm inside the hand, or is ever farther than 5 cm or 15 degrees from where it began, is not held. Torsional
friction is theirs too. Ours are: sliding friction 0.7, as in the metric (theirs 0.6); gravity 9.81 m/s² (10); the
hand's own servos; and start and squeeze, which our grasps do not bring along and `scene.drive` makes of the contacts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import mujoco
import mujoco.rollout
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ... import sim
from .convex_pieces import convex_pieces
from .grasps import Grasps
from .scene import OBJECT, TIMESTEP, Drive, JointedHand, Solid, drive, touches, trial_model

AXES = ("+x", "-x", "+y", "-y", "+z", "-z")
GRAVITY = 9.81  # [m/s^2]
CLOSING, HOLDING, CHUNK = 0.4, 2.0, 0.1  # of a trial, and how often it is looked at [s]
DEEPEST = 0.01  # what starts farther inside the hand is not held [m]
_UNMOVED = (1e-7, 1e-6)  # [m], [rad]
HELD = "held"

Floats = NDArray[np.float64]
# States after controls (n, T, nu) that hold for so many steps each, forces (n, 3) pushing the object.
Run = Callable[[sim.State, Floats, int, Floats], sim.State]


class Squeeze(NamedTuple):
    """How the hand closes."""

    force: float = 20.0  # sum of the normal forces that servos lead for [N]
    clearance: float = 0.002  # of hand and object at the start [m]
    reach: float = 0.005  # surfaces that are so near the object are closed onto it [m]


SQUEEZE = Squeeze()


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of n grasps; gravity's directions, in the object's frame at the start, are those of `AXES`.

    Attributes:
        held: (n,) in all six directions.
        reasons: n texts, "held" or why not, such as "slipped 7 cm under gravity +x".
        displacement: (n, 6) of the centre of mass from the start [m], when the trial ended or the object was lost.
        angle: (n, 6) of the object's rotation, likewise [rad].
    """

    held: NDArray[np.bool_]
    reasons: tuple[str, ...]
    displacement: NDArray[np.float64]
    angle: NDArray[np.float64]


def validate(
    mesh: Solid,
    hand: JointedHand,
    grasps: Grasps,
    backend: Literal["mujoco", "sim"] = "mujoco",
    *,
    mass: float = 0.1,
    friction: tuple[float, float] = (0.7, 0.02),
    limits: tuple[float, float] = (0.05, 15.0),
    squeeze: Squeeze = SQUEEZE,
) -> Report:
    """Tries grasps by the protocol above.

    Args:
        mesh: closed, [m]; it collides by convex pieces.
        hand: whose grasps they are.
        grasps: in the mesh's frame.
        backend: MuJoCo, or this package's simulator on the same model.
        mass: of the object [kg], uniformly spread.
        friction: sliding, and torsional [m].
        limits: how far the object may move [m] and turn [degrees].
        squeeze: how the hand closes.

    Raises:
        ValueError: no such backend, grasps of another hand, a mesh without volume, or a hand without position servos.
    """
    if backend not in _BACKENDS:
        raise ValueError(f"backend={backend!r}: must be one of {tuple(_BACKENDS)}")
    pieces = convex_pieces(np.asarray(mesh.vertices, float), np.asarray(mesh.faces))
    model = trial_model(mesh, hand, pieces, mass, friction)
    start = drive(model, hand, grasps, squeeze.force, friction[0], squeeze.clearance, squeeze.reach)
    if len(grasps) == 0:
        return Report(held=np.zeros(0, bool), reasons=(), displacement=np.zeros((0, 6)), angle=np.zeros((0, 6)))
    run, begun = _BACKENDS[backend](model), _Pose.of(model, start.qpos)
    bounds = np.array([limits[0], np.radians(limits[1])])
    closed = _close(model, run, start)
    drift = _Pose.of(model, closed.qpos).since(begun)
    moved = _hold(model, run, closed, start, mass * GRAVITY, bounds)
    reasons = []
    for i in range(len(grasps)):
        if start.inside[i] > DEEPEST:
            reasons.append(f"starts {1e3 * start.inside[i]:.0f} mm inside the hand")
        elif (drift[i] < _UNMOVED).all() and not touches(model, closed.qpos[i]):
            reasons.append("never touched")
        elif (drift[i] > bounds).any():
            reasons.append(f"{_motion(drift[i], bounds)} while the hand closed")
        elif (moved[i] > bounds).any():
            worst = int((moved[i] / bounds).max(axis=-1).argmax())
            reasons.append(f"{_motion(moved[i, worst], bounds)} under gravity {AXES[worst]}")
        else:
            reasons.append(HELD)
    held = np.array([reason == HELD for reason in reasons], bool)
    return Report(held=held, reasons=tuple(reasons), displacement=moved[..., 0], angle=moved[..., 1])


def _motion(moved: Floats, bounds: Floats) -> str:
    if moved[0] / bounds[0] >= moved[1] / bounds[1]:
        return f"slipped {1e2 * moved[0]:.1f} cm"
    return f"turned {np.degrees(moved[1]):.0f} degrees"


class _Pose(NamedTuple):
    """Of the object's centre of mass."""

    position: Floats  # (..., 3) [m]
    rotation: Rotation  # (...)

    @staticmethod
    def of(model: mujoco.MjModel, qpos: Floats) -> "_Pose":
        """Of the object, whose joint is the last, in states (..., nq)."""
        rotation = Rotation.from_quat(qpos[..., -4:], scalar_first=True)
        flat = rotation.apply(model.body_ipos[model.body(OBJECT).id])
        return _Pose(qpos[..., -7:-4] + flat, rotation)

    def since(self, begun: "_Pose") -> Floats:
        """Distance [m] and angle [rad] to where it was, (..., 2)."""
        way = np.linalg.norm(self.position - begun.position, axis=-1)
        return np.stack([way, (self.rotation * begun.rotation.inv()).magnitude()], axis=-1)


def _close(model: mujoco.MjModel, run: Run, start: Drive) -> sim.State:
    """The states after the commands went to those that squeeze, in three quarters of the time."""
    n, steps = len(start.qpos), round(CLOSING / TIMESTEP)
    way = np.minimum(np.arange(1, steps + 1) / (0.75 * steps), 1.0)[:, None]
    ctrls = start.before[:, None] + way * (start.after - start.before)[:, None]
    rest = sim.State(start.qpos, np.zeros((n, model.nv)), np.zeros((n, model.na)))
    return run(rest, ctrls, 1, np.zeros((n, 3)))


def _hold(model: mujoco.MjModel, run: Run, closed: sim.State, start: Drive, weight: float, bounds: Floats) -> Floats:
    """How far the object came and turned, (n, 6, 2), each trial until the object was lost or time over."""
    n = len(start.qpos)
    axes = Rotation.from_quat(start.qpos[:, -4:], scalar_first=True).as_matrix().transpose(0, 2, 1)
    push = weight * np.stack([axes, -axes], axis=2).reshape(6 * n, 3)
    which = np.arange(6 * n)
    state = sim.State(*(np.repeat(part, 6, axis=0) for part in closed[:3]))
    moved = np.zeros((6 * n, 2))
    for _ in range(round(HOLDING / CHUNK)):
        state = run(state, start.after[which // 6, None], round(CHUNK / TIMESTEP), push[which])
        begun = _Pose.of(model, start.qpos[which // 6])
        moved[which] = _Pose.of(model, state.qpos).since(begun)
        kept = (moved[which] <= bounds).all(axis=-1)
        which, state = which[kept], sim.State(*(part[kept] for part in state[:3]))
        if len(which) == 0:
            break
    return moved.reshape(n, 6, 2)


def _mujoco(model: mujoco.MjModel) -> Run:
    data, full = mujoco.MjData(model), mujoco.mjtState.mjSTATE_FULLPHYSICS
    inputs = mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_XFRC_APPLIED
    at = model.nu + 6 * model.body(OBJECT).id
    ends = np.cumsum([1, model.nq, model.nv, model.na])

    def run(state: sim.State, ctrls: Floats, steps: int, push: Floats) -> sim.State:
        n, controls = ctrls.shape[:2]
        begin = np.zeros((n, mujoco.mj_stateSize(model, full)))
        begin[:, 1 : ends[-1]] = np.concatenate(state[:3], axis=1)
        given = np.zeros((n, controls, model.nu + 6 * model.nbody))
        given[..., : model.nu], given[..., at : at + 3] = ctrls, push[:, None]
        given = np.repeat(given, steps, axis=1)
        path = mujoco.rollout.rollout(model, data, begin, given, control_spec=int(inputs))
        end = np.asarray(path[0], np.float64)[:, -1]
        return sim.State(*np.split(end[:, : ends[-1]], ends[:-1], axis=1)[1:])

    return run


def _sim(model: mujoco.MjModel) -> Run:
    own, body = sim.Model.from_mujoco(model), model.body(OBJECT).id

    def run(state: sim.State, ctrls: Floats, steps: int, push: Floats) -> sim.State:
        forces = np.zeros((len(push), model.nbody, 6))
        forces[:, body, :3] = push
        return sim.rollout(own, state, ctrls, steps, ctrls.shape[1], xfrc_applied=forces).state(-1)

    return run


_BACKENDS: dict[str, Callable[[mujoco.MjModel], Run]] = {"mujoco": _mujoco, "sim": _sim}
