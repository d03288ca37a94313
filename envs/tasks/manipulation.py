"""What tasks have in common in which a hand moves an object to a goal pose.

After Ruppel, Hendrich and Zhang, "Learning Dexterous Manipulation with Differentiable Physical Consistency":
a robot is commanded by rates, commands are integrated, goals are squared errors of the object's pose.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import mujoco
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from ...sim import Model
from ..arrays import beside
from ..randomization import variants
from ..task import Task
from ..task_state import TaskState


def _bilinear(factor: float, *entries: str) -> Tensor:
    """Of entries such as "+01 -23", the sum p[0] q[1] - p[2] q[3] times a factor: (16, number of entries)."""
    form = torch.zeros(16, len(entries), dtype=torch.float64)
    for column, terms in enumerate(entries):
        for sign, i, j in terms.split():
            form[4 * int(i) + int(j), column] = float(f"{sign}{factor}")
    return form


# What is made of two quaternions is linear in the products of their entries: for a single world one matrix product
# costs a small part of the sums written out, of which each is a call of torch.
_FROM_TO = _bilinear(1.0, "+00 +11 +22 +33", "-01 +10 -23 +32", "-02 +13 +20 -31", "-03 -12 +21 +30")  # p q*
_EYE = torch.eye(3, dtype=torch.float64)
_ROTATION = _bilinear(  # less _EYE
    *(2.0, "-22 -33", "+12 -03", "+13 +02", "+12 +03", "-11 -33", "+23 -01", "+13 -02", "+23 +01", "-11 -22")
)


class Draw(NamedTuple):
    """What is drawn for one episode."""

    object: NDArray[np.float64]  # qpos of the object's joint: a free joint's 7, a hinge's 1
    mocap: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]  # position and quaternion of mocap bodies
    robot: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None  # joints, commands; None: keyframe "start"


class Contacts(NamedTuple):
    """Where fingertips (their sites) are asked to be: beside the object, then at its surface."""

    points: Tensor  # (..., number of tips, 3) from the object, world axes [m]
    weights: Tensor  # (..., number of tips) of each tip, with sum 1


class Observed(NamedTuple):
    """The parts of an observation, see `Manipulation.observation`."""

    joints: Tensor  # (..., J) [rad]
    joint_velocities: Tensor  # (..., J) [rad/s]
    commands: Tensor  # (..., n) [rad]
    position: Tensor  # (..., 3) of the object from `origin` [m]
    rotation: Tensor  # (..., 3, 3) of the object
    velocity: Tensor  # (..., 6) [m/s], [rad/s], or (..., 1) [rad/s]
    tips: Tensor  # (..., number of tips, 3) from the object [m]
    gaps: Tensor  # (..., number of tips, 3) from each tip to its point of `contacts` [m]
    goal_position: Tensor  # (..., 3) from the object [m]
    goal_rotation: Tensor  # (..., 3, 3) from the object
    time: Tensor  # (...) as a fraction of the episode


class Manipulation(Task):
    """A robot's servos follow commands, of which an action gives the rates; the mocap body "goal" shows the goal.

    Action: one number from -1 to 1 for each servo, times its greatest rate (see `envs.hand`). Commands are
    the state's `act`. The model has a keyframe "start", a body "object" with a geom or geoms of that name, its
    joint, a mocap body "goal", and sites "..._tip" at the fingers' tips.

    Args:
        model: compiled, with the object's joint.
        episode_steps: of which the observed time is a fraction.
        weights: of the reward's terms, by name, where they shall differ from `weights` of the class; 0 leaves one out.
        origin: the place that observed positions are relative to [m].
        contact_softness: distance [m] at which contacts begin to push, see `sim.Model`; 0 is the file's meaning.
        randomize: lowest and highest factors of the object's "friction", "mass" and "size", of which each episode has
            others, see `envs.randomization.variants`; None for the object as it is.
    """

    n_substeps = 10
    on_table = False  # whether the object lies on a table at the start
    rewarded_from = 0.0  # when the object's pose begins to be rewarded [s]
    goal_entries = slice(-13, -1)  # of the observation
    weights: ClassVar[dict[str, float]] = {"position": 100.0, "orientation": 4.0, "reach": 20.0, "ctrl": 0.001}

    def __init__(
        self,
        model: mujoco.MjModel,
        backend: str,
        episode_steps: int,
        weights: Mapping[str, float] | None,
        origin: Sequence[float] | NDArray[np.float64],
        contact_softness: float = 0.0,
        randomize: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        given = {} if weights is None else dict(weights)
        if unknown := given.keys() - self.weights.keys():
            raise ValueError(f"weights has no term {sorted(unknown)[0]!r}: the terms are {', '.join(self.weights)}")
        nominal = Model.from_mujoco(model, contact_softness)
        models = variants(nominal, "object", randomize, rng=0) if randomize else nominal
        super().__init__(models, {**self.weights, **given}, backend)
        m, self.episode_steps = model, episode_steps
        self.object_body, self.goal_body = m.body("object").id, m.body("goal").id
        self.tips = [i for i in range(m.nsite) if m.site(i).name.endswith("_tip")]
        if not self.tips:
            raise ValueError('the hand has no fingertips: give it sites whose names end in "_tip"')
        joint = m.jnt_qposadr[m.body_jntadr[self.object_body]]
        dof = m.body_dofadr[self.object_body]
        self._free = m.body_dofnum[self.object_body] == 6
        self._object_qpos = slice(joint, joint + (7 if self._free else 1))
        self._object_dofs = slice(dof, dof + m.body_dofnum[self.object_body])
        self.robot_qpos = np.delete(np.arange(m.nq), self._object_qpos)
        self._robot_dofs = np.delete(np.arange(m.nv), self._object_dofs)
        self.origin = torch.tensor(origin, dtype=torch.float64)
        data = mujoco.MjData(m)
        mujoco.mj_resetDataKeyframe(m, data, m.key("start").id)
        mujoco.mj_forward(m, data)
        self.start_tips = torch.from_numpy(data.site_xpos[self.tips] - data.xpos[self.object_body])
        geom = m.body_geomadr[self.object_body]
        sizes = [one.mj_model.geom_size[geom, 0] / m.geom_size[geom, 0] for one in self.models]
        self._sizes = torch.tensor(sizes, dtype=torch.float64)
        self._rates = torch.from_numpy(m.actuator_ctrlrange[:, 1].copy())
        self.action_space = spaces.Box(-1.0, 1.0, (m.nu,), np.float32)

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Draw:
        """The object's start and the goal of one episode."""

    @abstractmethod
    def success(self, state: TaskState) -> Tensor:
        """Whether the state counts as success, (...) bool."""

    def initial(self, rng: Sequence[np.random.Generator], params: None = None) -> TaskState:
        """All at rest: object and goal as they are drawn, the robot too or at the keyframe "start"."""
        m = self.model.mj_model
        start = self.model.initial_state("start")
        pos, quat = (np.repeat(np.asarray(x)[None], len(rng), axis=0) for x in self.model.mocap_poses)
        state = self.state_at(start._replace(mocap_pos=None, mocap_quat=None), len(rng))
        variant = self.draw_variants(rng) if len(self.models) > 1 else None
        for i, one in enumerate(rng):
            drawn = self.draw(one)
            state.qpos[i, self._object_qpos] = torch.from_numpy(drawn.object)
            if drawn.robot is not None:
                joints, commands = map(torch.from_numpy, drawn.robot)
                state.qpos[i, self.robot_qpos], state.act[i] = joints, commands
            for name, pose in drawn.mocap.items():
                number = m.body_mocapid[m.body(name).id]
                pos[i, number], quat[i, number] = pose
        mocap = torch.from_numpy(pos), torch.from_numpy(quat)
        started = TaskState(self.model, state.qpos, state.qvel, state.act, state.time, *mocap, variant=variant)
        if self.on_table:  # a larger one lies higher
            started.qpos[:, self._object_qpos.start + 2] += float(self.origin[2]) * (self.size(started) - 1.0)
        return started

    def size(self, state: TaskState) -> Tensor:
        """Of the object, as a factor of its usual one, (...) or ()."""
        sizes = beside(self._sizes, state.qpos)
        return sizes[0] if state.variant is None else sizes[state.variant]

    def control(self, action: Tensor) -> Tensor:
        """Rates of the commands, (..., nu) [rad/s]."""
        return super().control(action) * beside(self._rates, action)

    def position_error(self, state: TaskState) -> Tensor:
        """From the object to the goal, (..., 3) [m]."""
        return state.kinematics.xpos[..., self.goal_body, :] - state.kinematics.xpos[..., self.object_body, :]

    def rotation_error(self, state: TaskState) -> Tensor:
        """The rotation that takes the object to the goal, in world axes, as a quaternion (..., 4)."""
        xquat = state.kinematics.xquat
        return _products(xquat[..., self.goal_body, :], xquat[..., self.object_body, :]) @ beside(_FROM_TO, xquat)

    def orientation_error(self, state: TaskState) -> Tensor:
        """Angle of the rotation that takes the object to the goal, (...) from 0 to pi [rad]."""
        error = self.rotation_error(state)
        # At the goal the angle has a kink; its square has none.
        return 2.0 * torch.atan2((error[..., 1:].square().sum(-1) + 1e-12).sqrt(), error[..., 0].abs())

    def tips_from_object(self, state: TaskState) -> Tensor:
        """Fingertips relative to the object's centre, (..., number of tips, 3) [m], in world axes."""
        kin = state.kinematics
        return kin.site_xpos[..., self.tips, :] - kin.xpos[..., self.object_body, None, :]

    def contacts(self, state: TaskState) -> Contacts:
        """Where fingertips shall be, by the object's pose, the goal and time alone; here at the object's centre."""
        like = state.qpos[..., :1, None].detach()
        points = like.new_zeros(*state.qpos.shape[:-1], len(self.tips), 3)
        return Contacts(points, torch.full_like(points[..., 0], 1.0 / len(self.tips)))

    def gaps(self, state: TaskState) -> tuple[Tensor, Tensor]:
        """From tips to their points (..., number of tips, 3) [m], zero where they do not count, and their weights."""
        contacts = self.contacts(state)
        gaps = contacts.points - self.tips_from_object(state)
        return gaps * (contacts.weights > 0.0)[..., None], contacts.weights

    def seconds(self, state: TaskState) -> Tensor:
        """Time since the episode began, (...) [s]."""
        return state.time.double() * self.seconds_per_step

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        """Shape (..., n_obs), all in world axes.

        Of the robot joint angles [rad], velocities [rad/s] and commands [rad]; of the object the position (3) from
        a fixed point [m], rotation matrix (9), velocity (its joint's: 3 [m/s] and 3 [rad/s], or 1 [rad/s]); each
        fingertip (3) from the object [m], and the way (3) from it to its point of `contacts` [m]; the goal's position
        (3) and rotation matrix (9) relative to the object;
        time fraction.
        """
        rotation = matrix(state.kinematics.xquat[..., self.object_body, :])
        moves = state.qvel[..., self._object_dofs]
        if self._free:  # MuJoCo's angular velocity of a free joint is in the body's axes
            spin = (rotation @ moves[..., 3:, None]).squeeze(-1)
            moves = torch.cat([moves[..., :3], spin], dim=-1)
        robot = [state.qpos[..., self.robot_qpos], state.qvel[..., self._robot_dofs], state.act]
        place = state.kinematics.xpos[..., self.object_body, :] - beside(self.origin, state.qpos)
        tips = torch.cat([self.tips_from_object(state).flatten(-2), self.gaps(state)[0].flatten(-2)], dim=-1)
        goal = [self.position_error(state), matrix(self.rotation_error(state)).flatten(-2)]
        time = (state.time / self.episode_steps)[..., None]
        return torch.cat([*robot, place, rotation.flatten(-2), moves, tips, *goal, time], dim=-1)

    def observed(self, obs: Tensor) -> Observed:
        """The parts of observations (..., n_obs)."""
        joints, dofs, tips = len(self.robot_qpos), len(self._robot_dofs), len(self.tips)
        sizes = [
            joints,
            dofs,
            self.model.na,
            3,
            9,
            self._object_dofs.stop - self._object_dofs.start,
            3 * tips,
            3 * tips,
            3,
            9,
            1,
        ]
        q, v, act, pos, mat, moves, points, gaps, goal_pos, goal_mat, time = obs.split(sizes, dim=-1)
        square, points, gaps = (3, 3), points.unflatten(-1, (tips, 3)), gaps.unflatten(-1, (tips, 3))
        return Observed(
            *(q, v, act, pos, mat.unflatten(-1, square), moves, points, gaps),
            *(goal_pos, goal_mat.unflatten(-1, square), time.squeeze(-1)),
        )

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        """Each (...); terms of weight 0 are left out.

        Minus log(1 + weight * squared error) of the object's position [m] and angle [rad]: near the goal the weighted
        squared error, and where an object is lost no more than what counts for all others; both are 0 before
        `rewarded_from`. Minus the weighted mean distance of the fingertips from their points of `contacts` [m], and
        minus the weighted squared action.
        """
        w = self.constants
        gaps, share = self.gaps(next_state)
        counts = self.seconds(next_state) >= self.rewarded_from
        terms = {
            "position": (w["position"] * self.position_error(next_state).square().sum(-1)).log1p() * counts,
            "orientation": (w["orientation"] * self.orientation_error(next_state).square()).log1p() * counts,
            "reach": w["reach"] * ((gaps.square().sum(-1) + 1e-6).sqrt() * share).sum(-1),
            "ctrl": w["ctrl"] * action.square().sum(-1),
        }
        return {name: -x for name, x in terms.items() if w[name] != 0.0}

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Tensor]:
        """Whether this is success, and how far the object is from the goal, (...) [m] and [rad]."""
        return {
            "is_success": self.success(state),
            "position_error": torch.linalg.vector_norm(self.position_error(state), dim=-1),
            "orientation_error": self.orientation_error(state),
        }


def ramp(x: Tensor, start: float, end: float) -> Tensor:
    """0 until x is `start`, 1 from `end` on, linear between."""
    return ((x - start) / (end - start)).clamp(0.0, 1.0)


def matrix(quat: Tensor) -> Tensor:
    """The rotation of a unit quaternion (..., 4), (..., 3, 3)."""
    return (_products(quat, quat) @ beside(_ROTATION, quat)).unflatten(-1, (3, 3)) + beside(_EYE, quat)


def _products(p: Tensor, q: Tensor) -> Tensor:
    """Each entry of p times each of q, (..., 4) both, as (..., 16)."""
    return (p[..., :, None] * q[..., None, :]).flatten(-2)


def turned(quat: NDArray[np.float64], axis: Sequence[float], angle: float) -> NDArray[np.float64]:
    """A quaternion turned by an angle [rad] about a unit axis of the world."""
    result, turn = np.empty(4), np.array([np.cos(angle / 2), *(np.sin(angle / 2) * np.asarray(axis))])
    mujoco.mju_mulQuat(result, turn, quat)
    return result
