"""`TaskState`: where a task is, in tensors or numpy's arrays over leading batch axes `...`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim import Model, State, placement, poses
from ..sim.tangent import gradient_to_tangent
from ..sim.torch_bridge import Kinematics, kinematics
from .arrays import Array, as_numpy, as_tensor, namespace

Floats = NDArray[np.float64]


class ContactForces(NamedTuple):
    """Forces of the contacts in a state, and the control that they belong to."""

    ctrl: Array  # (..., nu)
    cfrc_ext: Array  # (..., nbody, 6)


@dataclass(frozen=True, eq=False)
class TaskState:
    """Physical state and task time; immutable, so what is derived from it is kept.

    Mocap bodies stay where the state has them, until an episode starts: they are goals, say. All are tensors, or
    numpy's arrays while a task that serves those is stepped.
    """

    model: Model
    qpos: Array  # (..., nq)
    qvel: Array  # (..., nv)
    act: Array  # (..., na)
    time: Array  # (...) int64, transitions since the start of the episode
    mocap_pos: Array | None = None  # (..., nmocap, 3) [m]; None: where the model has them
    mocap_quat: Array | None = None  # (..., nmocap, 4); None: as the model has them
    variant: Array | None = None  # (...) int64, place of the model in `Task.models`; None: the first
    known_kinematics: Kinematics | None = field(default=None, repr=False)
    known_forces: ContactForces | None = field(default=None, repr=False)
    # (...) int32, simulation steps of the transition to here whose constraint solver was stopped; None: not counted
    unconverged: Array | None = field(default=None, repr=False)

    @property
    def kinematics(self) -> Kinematics:
        """Poses of bodies, geoms and sites in this state, differentiable by qpos and mocap poses."""
        known, given = self.known_kinematics, (self.qpos, self.mocap_pos, self.mocap_quat)
        if not isinstance(self.qpos, Tensor):
            if known is None:
                known = Kinematics(*_pose_arrays(self.model, *given))
                object.__setattr__(self, "known_kinematics", known)
            return known
        recording = torch.is_grad_enabled()
        # Poses that were computed under no_grad are constants to torch.
        varying = recording and any(x is not None and x.requires_grad for x in given)
        if known is None or (varying and not known.xpos.requires_grad):
            graph = recording or placement.is_on_gpu(self.qpos)
            known = kinematics(self.model, *given) if graph else _poses(self.model, *given)
            object.__setattr__(self, "known_kinematics", known)
        return known

    @cached_property
    def pose_rates(self) -> list[Floats]:
        """Derivatives of `kinematics` by the tangent of qpos, for N states: (N nv, ...) each field.

        In forward mode: nv directions are fewer than an observation's entries.
        """
        qpos, nq, nv = as_numpy(self.qpos), self.model.nq, self.model.nv
        if nq == nv:
            directions = np.tile(np.eye(nv), (len(qpos), 1))
        else:
            eye = np.broadcast_to(np.eye(nq), (len(qpos), nq, nq))
            by_tangent = gradient_to_tangent(self.model, qpos[:, None], eye)  # (N, nq, nv): dqpos by tangent
            directions = by_tangent.swapaxes(1, 2).reshape(len(qpos) * nv, nq)
        mocap = (None if x is None else as_numpy(x).repeat(nv, axis=0) for x in (self.mocap_pos, self.mocap_quat))
        return poses.push_forward(self.model, qpos.repeat(nv, axis=0), directions, *mocap)

    def map(self, function: Callable[[Any], Array]) -> "TaskState":
        """Applies a function of the batch axes (a selection, an expansion) to every tensor."""
        known = None if self.known_kinematics is None else Kinematics(*map(function, self.known_kinematics))
        given: dict[str, Any] = {name: function(x) for name in _ENTRY_AXES if (x := getattr(self, name)) is not None}
        return TaskState(self.model, **given, known_kinematics=known)

    def arrays(self) -> "TaskState":
        """The same in numpy's arrays, which share memory with the tensors."""
        return self._converted(Tensor, as_numpy)

    def tensors(self) -> "TaskState":
        """The same in tensors, which share memory with the arrays."""
        return self._converted(np.ndarray, as_tensor)

    def _converted(self, kind: type, convert: Callable[[Any], Any]) -> "TaskState":
        if not isinstance(self.qpos, kind):
            return self
        known, forces = self.known_kinematics, self.known_forces
        given = {name: convert(x) for name in _CONVERTED if (x := getattr(self, name)) is not None}
        given["known_kinematics"] = None if known is None else Kinematics(*map(convert, known))
        given["known_forces"] = None if forces is None else ContactForces(*map(convert, forces))
        return self.changed(given)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What is derived from this state and asked for more than once: made at the first call."""
        known = self.__dict__.get("_kept")
        if known is None:
            known = self.__dict__["_kept"] = {}
        if name not in known:
            known[name] = make()
        return known[name]

    def kept_truths(self) -> dict[str, Any]:
        """Of what is `kept` here the truth values, which do not change while the state moves a little."""
        known = self.__dict__.get("_kept", {})
        return {name: x for name, x in known.items() if np.asarray(x).dtype.kind == "b"}

    def changed(self, values: Mapping[str, Any], kind: "type[TaskState] | None" = None) -> Any:
        """A copy with some fields changed, past __init__, which for a frozen class takes 4 µs; it is of a `kind`."""
        other = object.__new__(kind or TaskState)
        other.__dict__.update(self.__dict__)
        for derived in ("pose_rates", "_kept"):
            other.__dict__.pop(derived, None)
        other.__dict__.update(values)
        return other

    def batched(self) -> "TaskState":
        """A single state as a batch of one, which shares its memory."""
        known, forces = self.known_kinematics, self.known_forces
        given = {name: x[None] for name in _CONVERTED if (x := getattr(self, name)) is not None}
        given["known_kinematics"] = None if known is None else Kinematics(*(x[None] for x in known))
        given["known_forces"] = None if forces is None else ContactForces(*(x[None] for x in forces))
        return self.changed(given)

    def where(self, keep: Array, other: "TaskState") -> "TaskState":
        """This state where `keep` (...) is true, `other` elsewhere."""
        chosen: dict[str, Any] = {}
        xp = namespace(self.qpos)
        for name, axes in _ENTRY_AXES.items():
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None or theirs is not None:
                mine, theirs = (self._default(name) if x is None else x for x in (mine, theirs))
                chosen[name] = xp.where(keep[(..., *(None,) * axes)], mine, theirs)
        return TaskState(self.model, **chosen)

    def _default(self, name: str) -> Array:
        """What stands for None: poses (nmocap, n) of the model's mocap bodies, the first variant."""
        pos, quat = self.model.mocap_poses
        default = {"variant": np.zeros((), np.int64), "mocap_pos": pos, "mocap_quat": quat}[name]
        return as_tensor(default).to(self.qpos.device) if isinstance(self.qpos, Tensor) else default

    def after(
        self, qpos: Array, qvel: Array, act: Array, unconverged: Array | None, forces: ContactForces | None = None
    ) -> "TaskState":
        """The state that a transition from here leads to, with the contact forces in it where they are known."""
        moved = {"qpos": qpos, "qvel": qvel, "act": act, "time": self.time + 1, "unconverged": unconverged}
        return self.changed({**moved, "known_kinematics": None, "known_forces": forces})

    def numpy(self) -> State:
        """The physical state for the simulator; shares memory with the tensors."""
        if not isinstance(self.qpos, Tensor):
            return State(self.qpos, self.qvel, self.act, self.mocap_pos, self.mocap_quat)
        mocap = (None if x is None else x.numpy() for x in (self.mocap_pos, self.mocap_quat))
        return State(self.qpos.numpy(), self.qvel.numpy(), self.act.numpy(), *mocap)


# Tensors of a state that have a value at each entry of the batch, and how many axes that has.
_ENTRY_AXES = {"qpos": 1, "qvel": 1, "act": 1, "time": 0, "mocap_pos": 2, "mocap_quat": 2, "variant": 0}
_CONVERTED = (*_ENTRY_AXES, "unconverged")


def _poses(model: Model, qpos: Tensor, *mocap: Tensor | None) -> Kinematics:
    """`kinematics` without torch's part in it, which for a single small model costs more than the poses."""
    given = (None if x is None else as_numpy(x) for x in (qpos, *mocap))
    return Kinematics(*map(torch.from_numpy, _pose_arrays(model, *given)))


def _pose_arrays(model: Model, qpos: Any, *mocap: Any) -> list[Any]:
    """The fields of `Kinematics` (..., n, m) from arrays."""
    batch = qpos.shape[:-1]
    given = (None if x is None else x.reshape(-1, *x.shape[-2:]) for x in mocap)
    return [x.reshape(*batch, *x.shape[1:]) for x in poses.evaluate(model, qpos.reshape(-1, model.nq), *given)]
