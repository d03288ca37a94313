"""Models that differ between the worlds of a batch: one for each, all of one structure.

They differ in numbers: masses, friction, sizes, gains. What kernels are compiled for and arrays are
sized by is one for all, so that they run the same kernels in the same workspaces. Kernels take a
model as an address, and the addresses of all worlds' models beside it: a loop over worlds costs
what it costs with one model.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from .kernels.record import addresses_of, kept_with
from .model.model import Model
from .pipeline.parts import parts_of


class Models:
    """A model for each world of a batch; ValueError where one differs in structure from the first.

    TypeError where something else is given. Functions take any sequence of models; who calls them often
    makes a `Models` of it once.
    """

    def __init__(self, each: Sequence[Model]) -> None:
        self.each: tuple[Model, ...] = (
            tuple(each) if isinstance(each, Iterable) and not isinstance(each, str | bytes) else ()
        )
        if not self.each or not all(isinstance(model, Model) for model in self.each):
            raise TypeError(
                f"model: expected a sim.Model, or a sequence of them, one for each world, got {_described(each)}; "
                "Model.from_xml_path, from_xml_string and from_mujoco make one"
            )
        self.first = self.each[0]
        expected = _structure(self.first)
        for number, model in enumerate(self.each):
            if model is not self.first and _structure(model) != expected:
                raise ValueError(f"models[{number}] differs from models[0] in {_difference(model, self.first)}")

    @cached_property
    def addresses(self) -> Any:
        """For kernels."""
        return addresses_of(self.each)

    def chosen(self, places: Sequence[int]) -> "Models":
        """Those at some places, of which a model may be at several; costs no new check."""
        other = object.__new__(Models)
        other.each, other.first = tuple([self.each[i] for i in places]), self.first
        return other

    def repeated(self, times: int) -> "Models":
        """For a batch that repeats this one `times` times."""
        return self.chosen([*range(len(self.each))] * times)


def _described(given: Any) -> str:
    """What was given in place of models."""
    if type(given) in (list, tuple):
        wrong = [type(entry).__name__ for entry in given if not isinstance(entry, Model)]
        return f"a {type(given).__name__} with {wrong[0]}" if wrong else f"an empty {type(given).__name__}"
    return type(given).__name__


_NONE = addresses_of(())
AnyModel: TypeAlias = Model | Sequence[Model] | Models


def models_of(model: AnyModel) -> Model | Models:
    """The argument of a public function: a model for all worlds, or one for each."""
    return model if isinstance(model, (Model, Models)) else Models(model)


def one_of(model: Model | Models) -> Model:
    """The model that tells what is one for all: sizes, kernels, coordinates."""
    return model if isinstance(model, Model) else model.first


def check_count(model: Model | Models, worlds: int) -> None:
    """ValueError unless there is a model for each of the worlds."""
    if isinstance(model, Models) and len(model.each) != worlds:
        raise ValueError(f"{len(model.each)} models for a batch of {worlds} worlds: give one, or one for each world")


def addresses(model: Model | Models) -> Any:
    """What kernels take besides the model: the addresses of those of the worlds, none where one serves all."""
    return _NONE if isinstance(model, Model) else model.addresses


def spans(model: Model | Models, begin: int, end: int) -> Iterator[tuple[int, int, Model]]:
    """The worlds of range(begin, end) in stretches that have one model."""
    if isinstance(model, Model):
        yield begin, end, model
        return
    each = model.each
    while begin < end:
        last = begin + 1
        while last < end and each[last] is each[begin]:
            last += 1
        yield begin, last, each[begin]
        begin = last


def _structure(model: Model) -> tuple[Any, ...]:
    """What must be one for all, in the order of `_difference`."""
    return kept_with(model, "structure", lambda: _find_structure(model))


def _find_structure(model: Model) -> tuple[Any, ...]:
    coordinates = model.jnt_type.tobytes(), model.jnt_qposadr.tobytes(), model.jnt_dofadr.tobytes()
    poses = b"".join(pose.tobytes() for pose in model.mocap_poses)
    return parts_of(model), tuple(model.sizes.values()), coordinates, poses


def _difference(model: Model, first: Model) -> str:
    parts, _, coordinates, _ = (a != b for a, b in zip(_structure(model), _structure(first), strict=True))
    sizes = [f"{name} ({n}, not {first.sizes[name]})" for name, n in model.sizes.items() if n != first.sizes[name]]
    if sizes:
        return f"size: {', '.join(sizes)}"
    if parts:
        return "integrator, solver or the kinds of its contacts"
    return "joints" if coordinates else "where its mocap bodies are: give the states mocap_pos and mocap_quat"
