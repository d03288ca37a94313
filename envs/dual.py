"""`Dual`: numpy arrays that carry their rates of change in several directions, for the gradients in `info`.

Forward mode: every operation on values is one on rates too, in the same order of magnitude of time, with
neither a graph nor a backward pass. For one environment that costs a tenth of torch's reverse mode. What has
no rule here raises `NoRuleError`, and the gradients come from torch.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class NoRuleError(Exception):
    """An operation whose derivative is not known here. No TypeError, which others take for one of their own."""


class Dual:
    """Values (...) and their rates (..., K) in K directions.

    Where values are chosen or compared (`where`, `clip`, `<`), the choice is that of the values. On a bound of
    `clip` the rate is that of the inside, as in torch.
    """

    __slots__ = "rate", "value"
    __hash__: ClassVar[None]  # pyright: ignore[reportIncompatibleMethodOverride] (comparisons are entry by entry)

    def __init__(self, value: Floats, rate: Floats) -> None:
        self.value, self.rate = value, rate

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> "Dual":
        at = index if isinstance(index, tuple) else (index,)
        # An ellipsis would also take the axis of directions.
        lanes = (*at, slice(None)) if any(i is Ellipsis for i in at) else at
        return Dual(self.value[index], self.rate[lanes])

    def __array__(self, *_: Any, **__: Any) -> Floats:
        raise NoRuleError("a value whose rate is wanted cannot become a plain array")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        rule = _UFUNCS.get(ufunc)
        if rule is None or method != "__call__" or options:
            raise NoRuleError(f"np.{ufunc.__name__} has no rule")
        return rule(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = _FUNCTIONS.get(function)
        if rule is None:
            raise NoRuleError(f"np.{function.__name__} has no rule")
        return rule(*args, **kwargs)

    def __add__(self, other: Any) -> "Dual":
        return _add(self, other)

    def __sub__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(self.value - other.value, self.rate - other.rate)
        value = self.value - other
        return Dual(value, _spread(self.rate, value))

    def __rsub__(self, other: Any) -> "Dual":
        return _add(-self, other)

    def __mul__(self, other: Any) -> "Dual":
        if type(other) is float:
            return Dual(self.value * other, self.rate * other)
        return _multiply(self, other)

    def __truediv__(self, other: Any) -> "Dual":
        if type(other) is float:
            return Dual(self.value / other, self.rate / other)
        return _divide(self, other)

    def __rtruediv__(self, other: Any) -> "Dual":
        return _divide(other, self)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.rate)

    def __pow__(self, power: Any) -> "Dual":
        if not isinstance(power, int | float):
            raise NoRuleError("powers other than constant numbers have no rule")
        return _chain(self, self.value**power, power * self.value ** (power - 1))

    def __abs__(self) -> "Dual":
        return _chain(self, np.abs(self.value), np.sign(self.value))

    def __lt__(self, other: Any) -> Any:
        return self.value < _value(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= _value(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > _value(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= _value(other)

    def __eq__(self, other: object) -> Any:
        return self.value == _value(other)

    def __ne__(self, other: object) -> Any:
        return self.value != _value(other)

    def sum(self, axis: Any = None) -> "Dual":
        lanes = _lane_axes(axis, self.value.ndim)
        return Dual(np.add.reduce(self.value, axis), np.add.reduce(self.rate, lanes))

    def mean(self, axis: Any = None) -> "Dual":
        return Dual(self.value.mean(axis), self.rate.mean(_lane_axes(axis, self.value.ndim)))

    def reshape(self, *shape: Any) -> "Dual":
        value = self.value.reshape(*shape)
        return Dual(value, self.rate.reshape(*value.shape, self.rate.shape[-1]))

    def clip(self, low: Any, high: Any) -> "Dual":
        value = np.minimum(np.maximum(self.value, low), high)
        inside = value == self.value
        return Dual(value, self.rate if inside.all() else self.rate * inside[..., None])


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Dual) else x


def _lanes(x: Any) -> Any:
    """A factor of values as one of rates."""
    return x[..., None] if type(x) is np.ndarray and x.ndim else x


def _chain(x: Dual, value: Any, slope: Any) -> Dual:
    return Dual(value, x.rate * _lanes(slope))


def _lane_axes(axis: Any, ndim: int) -> Any:
    """The axes of values among those of rates."""
    if type(axis) is int:
        return axis - 1 if axis < 0 else axis
    if axis is None:
        return tuple(range(ndim))
    return tuple(a - 1 if a < 0 else a for a in axis)


def _spread(rate: Floats, value: Any) -> Floats:
    """The rates of values that were repeated to the shape of `value`."""
    if rate.shape[:-1] == value.shape:
        return rate
    return np.broadcast_to(rate, (*value.shape, rate.shape[-1]))


def _add(a: Any, b: Any) -> Dual:
    if isinstance(a, Dual) and isinstance(b, Dual):
        return Dual(a.value + b.value, a.rate + b.rate)
    moving, still = (a, b) if isinstance(a, Dual) else (b, a)
    value = moving.value + still
    return Dual(value, _spread(moving.rate, value))


def _multiply(a: Any, b: Any) -> Dual:
    if isinstance(a, Dual) and isinstance(b, Dual):
        return Dual(a.value * b.value, a.rate * _lanes(b.value) + b.rate * _lanes(a.value))
    moving, still = (a, b) if isinstance(a, Dual) else (b, a)
    value = moving.value * still
    return Dual(value, _spread(moving.rate * _lanes(still), value))


def _divide(a: Any, b: Any) -> Dual:
    if isinstance(b, Dual):
        return _multiply(a, _chain(b, 1.0 / b.value, -1.0 / (b.value * b.value)))
    value = a.value / b
    return Dual(value, _spread(a.rate / _lanes(b), value))


def _square(x: Dual) -> Dual:
    return _chain(x, x.value * x.value, 2.0 * x.value)


def _sqrt(x: Dual) -> Dual:
    root = np.sqrt(x.value)
    return _chain(x, root, 0.5 / root)


def _exp(x: Dual) -> Dual:
    value = np.exp(x.value)
    return _chain(x, value, value)


def _tanh(x: Dual) -> Dual:
    value = np.tanh(x.value)
    return _chain(x, value, 1.0 - value * value)


def _where(condition: Any, a: Any, b: Any) -> Dual:
    condition, value = _value(condition), np.where(_value(condition), _value(a), _value(b))
    rates = (x.rate if isinstance(x, Dual) else 0.0 for x in (a, b))
    return Dual(value, _spread(np.where(np.asarray(condition)[..., None], *rates), value))


def _join(join: Callable[..., Any]) -> Callable[..., Dual]:
    def rule(arrays: Any, axis: int = 0) -> Dual:
        (lanes,) = {x.rate.shape[-1] for x in arrays if isinstance(x, Dual)}
        rates = [x.rate if isinstance(x, Dual) else np.zeros((*np.shape(x), lanes)) for x in arrays]
        return Dual(join([_value(x) for x in arrays], axis=axis), join(rates, axis=_lane_axes(axis, 0)))

    return rule


_UFUNCS: dict[Any, Callable[..., Any]] = {
    np.add: _add,
    np.subtract: lambda a, b: _add(a, -b),
    np.multiply: _multiply,
    np.divide: _divide,
    np.negative: lambda x: -x,
    np.absolute: abs,
    np.square: _square,
    np.sqrt: _sqrt,
    np.exp: _exp,
    np.log: lambda x: _chain(x, np.log(x.value), 1.0 / x.value),
    np.log1p: lambda x: _chain(x, np.log1p(x.value), 1.0 / (1.0 + x.value)),
    np.sin: lambda x: _chain(x, np.sin(x.value), np.cos(x.value)),
    np.cos: lambda x: _chain(x, np.cos(x.value), -np.sin(x.value)),
    np.tanh: _tanh,
    np.less: lambda a, b: _value(a) < _value(b),
    np.less_equal: lambda a, b: _value(a) <= _value(b),
    np.greater: lambda a, b: _value(a) > _value(b),
    np.greater_equal: lambda a, b: _value(a) >= _value(b),
    np.equal: lambda a, b: _value(a) == _value(b),
    np.not_equal: lambda a, b: _value(a) != _value(b),
}
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.concatenate: _join(np.concatenate),
    np.stack: _join(np.stack),
    np.where: _where,
    np.zeros_like: lambda x: np.zeros_like(x.value),
    np.ones_like: lambda x: np.ones_like(x.value),
}
