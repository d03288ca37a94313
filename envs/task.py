"""`Task`: one definition of an environment, from which values and gradients both come.

A task is Gymnasium's functional environment written in torch over batched states; the adapters
(`single.py`, `vector.py`) turn any task into a `gymnasium.Env` and a `gymnasium.vector.VectorEnv`.
One whose functions also take numpy's arrays (`arrays.py`) says so, and is stepped without torch.
A task does not end by time: the environments made from it do, by the limit that they were made with.
In shapes `...` stands for the leading batch axes. Tensors are float64.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from operator import add
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from gymnasium.experimental.functional import FuncEnv
from numpy.typing import NDArray
from torch import Tensor

from .. import sim
from ..sim import Model, Models, State, mujoco_twin, placement, torch_bridge
from .arrays import Array, as_numpy
from .task_state import ContactForces, TaskState

Floats = NDArray[np.float64]

BACKENDS: dict[str, ModuleType] = {"sim": sim, "mujoco": mujoco_twin}


class Task(FuncEnv[TaskState, Tensor, Tensor, Tensor, Tensor, Any, None], ABC):
    """Base class: a task defines `observation`, `reward_terms`, and where needed `initial` and `terminal`.

    Constants are baked into the model, so a task has one set of them, `constants`; FuncEnv's
    `params` arguments stay None, and `rng` is used by `initial` only. Where a task is given several
    models of one structure (`randomization.variants`), each episode has one of them.
    """

    # Whether all functions of this very class, inherited ones included, also take numpy's arrays and `Dual`s. Looked
    # up in the class itself and not in its bases: a subclass may add a function that is torch's alone.
    serves_numpy: ClassVar[bool] = False
    # Whether they also take tensors of a GPU: constants in them are `arrays.beside` what they meet.
    serves_gpu: ClassVar[bool] = True
    n_substeps: int = 1
    pays_for_contact_forces: bool = False  # whether the reward asks for `contact_forces` of every next state
    max_return: float | None = None
    render_options: Mapping[str, Any] = MappingProxyType({})  # those of `StateRenderer`, unless others are asked for

    def __init__(self, model: Model | Sequence[Model], constants: Any = None, backend: str = "sim") -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend={backend!r}: choose one of {', '.join(map(repr, BACKENDS))}")
        super().__init__()
        self._pool = Models((model,) if isinstance(model, Model) else model)
        self.models = self._pool.each
        self.model = self.models[0]
        self.constants = constants
        self.backend_name = backend

    @cached_property
    def observation_space(self) -> spaces.Box:  # pyright: ignore[reportIncompatibleVariableOverride] (always a vector)
        """Of the observation's size and without bounds, unless a task sets another."""
        start = self.observation(self.state_at(self.model.initial_state(), 1))
        return spaces.Box(-np.inf, np.inf, start.shape[1:], np.float32)

    @cached_property
    def action_space(self) -> spaces.Box:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The actuators' control ranges, unless a task sets another."""
        m = self.model.mj_model
        limited = m.actuator_ctrllimited.astype(bool)[:, None]
        low, high = np.where(limited, m.actuator_ctrlrange, [-np.inf, np.inf]).astype(np.float32).T
        return spaces.Box(low, high, dtype=np.float32)

    @property
    def backend(self) -> ModuleType:
        """The module that steps the model. Looked up by name, because modules do not pickle."""
        return BACKENDS[self.backend_name]

    @property
    def seconds_per_step(self) -> float:
        return self.model.timestep * self.n_substeps

    @property
    def counterpart(self) -> tuple[str, dict[str, Any]] | None:
        """Id and arguments of the environment of Gymnasium's own that is the same task, if there is one."""
        return None

    def initial(self, rng: Sequence[np.random.Generator], params: None = None) -> TaskState:
        """Start states, one for each generator: shapes (len(rng), ...)."""
        return self.state_at(self.model.initial_state(), len(rng))

    def initial_tensors(self, still: TaskState, generator: torch.Generator) -> TaskState:
        """`initial` on a GPU: one start for each of `still`, the model's initial states there, which stay as they are.

        Of the same distribution, drawn by torch. Where a task defines `initial` and not this, environments on a GPU
        draw their starts on the host, whenever they are reset.
        """
        return still

    @property
    def draws_tensors(self) -> bool:
        """Whether `initial_tensors` is about the same starts as `initial`: defined with it, or further down."""
        of = [next(c for c in type(self).__mro__ if name in vars(c)) for name in ("initial_tensors", "initial")]
        return issubclass(*of)

    def start_tensors(self, still: TaskState, generator: torch.Generator) -> TaskState:
        """`start`, as `initial_tensors` is `initial`."""
        state = self.initial_tensors(still, generator)
        if state is not still:
            state = replace(state, known_kinematics=None)  # which may be those of `still`
        if len(self.models) == 1 or state.variant is not None:
            return state
        shape, device = state.time.shape, state.time.device
        return replace(state, variant=torch.randint(len(self.models), shape, generator=generator, device=device))

    def start(self, rng: Sequence[np.random.Generator]) -> TaskState:
        """`initial`, with a model drawn for each episode where there are several and `initial` chose none."""
        state = self.initial(rng)
        if len(self.models) == 1 or state.variant is not None:
            return state
        return replace(state, variant=self.draw_variants(rng))

    def draw_variants(self, rng: Sequence[np.random.Generator]) -> Tensor:
        """A place in `models` for each generator, (len(rng),)."""
        return torch.tensor([int(one.integers(len(self.models))) for one in rng])

    def models_at(self, state: TaskState) -> Model | Models:
        """What steps these states: the model, or one for each of them."""
        if state.variant is None:
            return self.model
        return self._pool.chosen(state.variant.flatten().tolist())

    def state_at(self, state: State, batch: int) -> TaskState:
        """The same physical state `batch` times, at time 0."""
        qpos, qvel, act = (_repeated(x, batch) for x in state[:3])
        mocap = []
        for given, own in zip(state[3:], self.model.mocap_poses, strict=True):
            still = given is None or own.size == 0 or np.array_equal(given, own)
            mocap.append(None if still else _repeated(given, batch))
        return TaskState(self.model, qpos, qvel, act, torch.from_numpy(np.zeros(batch, np.int64)), *mocap)

    @property
    def is_numpy(self) -> bool:
        """Whether this task is stepped without torch."""
        return type(self).__dict__.get("serves_numpy", False)

    def control(self, action: Array) -> Array:
        """Action (..., n_act) to the model's ctrl (..., nu): clipped to the action space.

        On the bound the derivative is that of the inside, beyond it zero.
        """
        if type(action) is np.ndarray:  # with single actions `clip` takes numpy longer
            low, high = self._action_limits
            return np.minimum(np.maximum(action, low), high)
        if isinstance(action, Tensor):
            return action.clip(*(bound.to(action.device) for bound in self._action_bounds))
        return action.clip(*self._action_limits)

    @cached_property
    def _action_limits(self) -> tuple[Floats, Floats]:
        return self.action_space.low.astype(np.float64), self.action_space.high.astype(np.float64)

    @cached_property
    def _action_bounds(self) -> tuple[Tensor, Tensor]:
        low, high = map(torch.from_numpy, self._action_limits)
        return low, high

    def transition(self, state: TaskState, action: Array, rng: Any = None, params: None = None) -> TaskState:
        """The state after one environment step; with backend "sim" differentiable by torch.

        Under `torch.no_grad()` torch is left out, which saves more time than a small model costs.
        """
        ctrl = self.control(action)
        torches = isinstance(ctrl, Tensor)
        if torches and self.backend is sim and (torch.is_grad_enabled() or placement.is_on_gpu(ctrl)):
            numbers = state.qpos, state.qvel, state.act, ctrl
            mocap = {"mocap_pos": state.mocap_pos, "mocap_quat": state.mocap_quat}
            after, unconverged = torch_bridge.counted_step(self.models_at(state), *numbers, self.n_substeps, **mocap)
            return state.after(*after, unconverged)
        models, numbers = self.models_at(state), as_numpy(ctrl)
        forces, given = None, (models, state.numpy(), numbers, self.n_substeps)
        if self.pays_for_contact_forces and self.backend is sim and numbers.ndim > 1:
            after, unconverged, forces = sim.step_with_cfrc_ext(*given)
        else:
            after, unconverged = self.backend.counted_step(*given)
        if forces is not None:
            forces = ContactForces(ctrl, torch.from_numpy(forces) if torches else forces)
        return _arrived(state, after, unconverged, torches, forces)

    def linearize(self, state: TaskState, action: Array, by_state: bool) -> tuple[TaskState, sim.Linearization]:
        """`transition` without torch's gradients, and the simulator's Jacobians of it, from one simulation."""
        ctrl = self.control(action)
        numbers = self.models_at(state), state.numpy(), as_numpy(ctrl), self.n_substeps
        found = self.backend.linearize(*numbers, by_state)
        return _arrived(state, found.state, found.unconverged, isinstance(ctrl, Tensor)), found

    def contact_forces(self, state: TaskState, action: Array) -> Array:
        """MuJoCo's `cfrc_ext` of contacts, (..., nbody, 6), in a state under an action; differentiable by torch.

        For each body torque [N m] and force [N] at the centre of mass of its tree, in world axes.
        """
        ctrl, known, recording = self.control(action), state.known_forces, torch.is_grad_enabled()
        if not isinstance(ctrl, Tensor):
            if known is None or not (ctrl == known.ctrl).all():
                found = self.backend.cfrc_ext(self.models_at(state), state.numpy(), ctrl)
                known = ContactForces(ctrl, found)
                object.__setattr__(state, "known_forces", known)
            return known.cfrc_ext
        # While torch records, numbers from before are constants to it, and only a leaf stands for itself.
        if known is not None and (known.cfrc_ext.requires_grad or not recording) and torch.equal(known.ctrl, ctrl):
            return known.cfrc_ext
        if recording or placement.is_on_gpu(ctrl):
            numbers = state.qpos, state.qvel, state.act, ctrl
            mocap = {"mocap_pos": state.mocap_pos, "mocap_quat": state.mocap_quat}
            return torch_bridge.cfrc_ext(self.models_at(state), *numbers, self.backend, **mocap)
        found = torch.from_numpy(self.backend.cfrc_ext(self.models_at(state), state.numpy(), ctrl.numpy()))
        object.__setattr__(state, "known_forces", ContactForces(ctrl, found))
        return found

    def pictured(self, state: TaskState, i: int) -> tuple[Floats, Floats | None, Floats | None, Model]:
        """What a picture shows of the i-th of N states: qpos (nq,), mocap poses where they are given, the model."""
        pos, quat = (None if x is None else as_numpy(x[i]) for x in (state.mocap_pos, state.mocap_quat))
        return as_numpy(state.qpos[i]), pos, quat, self.models[0 if state.variant is None else int(state.variant[i])]

    @abstractmethod
    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Array:
        """What the agent sees of a state, (..., n_obs)."""

    @abstractmethod
    def reward_terms(self, state: TaskState, action: Array, next_state: TaskState) -> dict[str, Array]:
        """The summands of the reward by name, each (...)."""

    def reward(
        self, state: TaskState, action: Array, next_state: TaskState, rng: Any = None, params: None = None
    ) -> Array:
        """Reward (...) of a transition: the sum of its terms."""
        return reduce(add, self.reward_terms(state, action, next_state).values())

    def transition_info(
        self, state: TaskState, action: Array, next_state: TaskState, params: None = None
    ) -> dict[str, Array]:
        """What `info` holds of a transition, each (...): the reward's terms under `reward_<name>`.

        A task may add to it, under other names: the entries `reward_*` sum to the reward.
        """
        return {f"reward_{k}": v for k, v in self.reward_terms(state, action, next_state).items()}

    def terminal(self, state: TaskState, rng: Any = None, params: None = None) -> Array:
        """Whether the state ends the task, (...) bool; never, unless a task says otherwise."""
        return state.time < 0


def _arrived(
    state: TaskState, after: State, unconverged: Any, torches: bool, forces: ContactForces | None = None
) -> TaskState:
    """The task's state where the simulation is after a transition from `state`, in tensors if `torches`."""
    qpos, qvel, act = after[:3]
    if torches:
        qpos, qvel, act = map(torch.from_numpy, (qpos, qvel, act))
        unconverged = None if unconverged is None else torch.from_numpy(np.asarray(unconverged))
    return state.after(qpos, qvel, act, unconverged, forces)


def _repeated(numbers: Any, batch: int) -> Tensor:
    """Copies of an array along a new first axis; made by numpy, which starts sooner than torch."""
    return torch.from_numpy(np.repeat(np.asarray(numbers)[None], batch, axis=0))


def place_on_ground(name: str, value: Any) -> tuple[float, float]:
    """An argument of a task that gives x and y [m]; ValueError if it is anything else."""
    try:
        place = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        place = np.empty(0)
    if place.shape != (2,) or not np.isfinite(place).all():
        raise ValueError(f"{name}={value!r}: must be two finite numbers, x and y [m]")
    return float(place[0]), float(place[1])


def load_task(entry_point: str, backend: str, **arguments: Any) -> Task:
    """Makes the task that "module:Class" names."""
    make: Any = load_env_creator(entry_point)
    return make(backend=backend, **arguments)


@runtime_checkable
class OwnTime(Protocol):
    """A task whose problem takes so many steps; of them observations hold the fraction that has passed."""

    episode_steps: int


@runtime_checkable
class EndFromObservations(Protocol):
    """What a task also offers if observations tell its end, as rollouts of learned models need it.

    Shapes: obs and next_obs (..., n_obs), action (..., n_act), of any float type; results (...).
    """

    def observed_terminal(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """Whether the transition ends the task (not whether its time is over), bool."""
        ...


@runtime_checkable
class RewardFromObservations(EndFromObservations, Protocol):
    """What a task also offers if observations determine its reward too; otherwise models learn it."""

    def observed_reward(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """The environment's reward for a transition between observations."""
        ...
