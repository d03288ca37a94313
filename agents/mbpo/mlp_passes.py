"""Forward and backward passes of small perceptrons by hand, into memory that is kept.

At their size autograd's graph and allocations cost as much as the arithmetic.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .batched_mlp import NORM_EPSILON

_aten = torch.ops.aten


class Layer(NamedTuple):
    """A layer of M perceptrons, and where the gradients of its parts go, if it has any."""

    weight: Tensor  # (M, n_in, n_out)
    bias: Tensor  # (M, 1, n_out)
    weight_gradient: Tensor | None = None
    bias_gradient: Tensor | None = None


class _Activation(NamedTuple):
    """An activation, and its adjoint in place: of the gradient by the output, and the output."""

    forward: Callable[[Tensor, Tensor], Tensor]  # of the input, into the second
    adjoint: Callable[[Tensor, Tensor], Tensor]


_ACTIVATIONS: dict[type[nn.Module], _Activation] = {
    nn.ReLU: _Activation(
        lambda x, out: torch.clamp_min(x, 0.0, out=out),
        lambda g, y: _aten.threshold_backward.grad_input(g, y, 0.0, grad_input=g),
    ),
    nn.Tanh: _Activation(
        lambda x, out: torch.tanh(x, out=out),
        lambda g, y: _aten.tanh_backward.grad_input(g, y, grad_input=g),
    ),
    nn.ELU: _Activation(
        lambda x, out: _aten.elu.out(x, 1.0, 1.0, 1.0, out=out),
        lambda g, y: _aten.elu_backward.grad_input(g, 1.0, 1.0, 1.0, True, y, grad_input=g),
    ),
}


def has_passes(activation: nn.Module) -> bool:
    """Whether the activation is known here."""
    return type(activation) in _ACTIVATIONS and getattr(activation, "alpha", 1.0) == 1.0


class MlpPasses:
    """Passes of M perceptrons of one shape over batches of one size B.

    Args:
        layers: their weights, where they are, and where their gradients are to be.
        activation: between the layers, one of those that `has_passes` knows.
        layer_norm: whether each layer but the last is normalised before its activation, without scale and shift.
        batch_size: B.
    """

    def __init__(self, layers: list[Layer], activation: nn.Module, layer_norm: bool, batch_size: int) -> None:
        self.layers, self.layer_norm = layers, layer_norm
        self.activation = _ACTIVATIONS[type(activation)]
        members = len(layers[0].weight)
        widths = [layer.weight.shape[2] for layer in layers]
        self._linear = [layers[0].weight.new_empty(members, batch_size, n) for n in widths]
        self._hidden = [torch.empty_like(x) for x in self._linear[:-1]]
        # Inputs' gradients; the first is that of the perceptron's own input.
        self._by_input = [layers[0].weight.new_empty(members, batch_size, layer.weight.shape[1]) for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (M, B, n_out), which the next call overwrites, of inputs (B, n_in)."""
        self._inputs = [x.expand(len(self.layers[0].weight), *x.shape)]
        self._moments: list[tuple[Tensor, Tensor]] = []
        for index, layer in enumerate(self.layers[:-1]):
            linear, hidden = self._linear[index], self._hidden[index]
            _affine(self._inputs[-1], layer, linear)
            if self.layer_norm:
                normal, *moments = torch.native_layer_norm(linear, linear.shape[2:], None, None, NORM_EPSILON)
                self._moments.append((moments[0], moments[1]))
                self.activation.forward(normal, hidden)
            else:
                self.activation.forward(linear, hidden)
            self._inputs.append(hidden)
        return _affine(self._inputs[-1], self.layers[-1], self._linear[-1])

    def backward(self, gradient: Tensor, to_weights: bool = True, to_input: bool = False) -> Tensor | None:
        """From the gradient (M, B, n_out) by the outputs of the last `forward` to those of the layers' parts.

        Returns:
            The gradient by each member's input, (M, B, n_in), which the next call overwrites; None if not asked for.
        """
        for index in reversed(range(len(self.layers))):
            layer, inputs = self.layers[index], self._inputs[index]
            if to_weights:
                assert layer.weight_gradient is not None and layer.bias_gradient is not None
                _outer(inputs, gradient, layer.weight_gradient)
                torch.sum(gradient, 1, keepdim=True, out=layer.bias_gradient)
            if index == 0 and not to_input:
                return None
            multiply = torch.mul if gradient.shape[2] == 1 else torch.bmm
            gradient = multiply(gradient, layer.weight.transpose(1, 2), out=self._by_input[index])
            if index > 0:
                self.activation.adjoint(gradient, inputs)
                if self.layer_norm:
                    linear, moments = self._linear[index - 1], self._moments[index - 1]
                    gradient = _aten.native_layer_norm_backward(
                        gradient, linear, linear.shape[2:], *moments, None, None, [True, False, False]
                    )[0]
        return gradient


# For one output the products below are quicker than `bmm`.
def _affine(inputs: Tensor, layer: Layer, out: Tensor) -> Tensor:
    if layer.weight.shape[2] == 1:
        return torch.sum(inputs * layer.weight.transpose(1, 2), 2, keepdim=True, out=out).add_(layer.bias)
    return torch.baddbmm(layer.bias, inputs, layer.weight, out=out)


def _outer(inputs: Tensor, gradient: Tensor, out: Tensor) -> None:
    """Sum over the batch of the products of inputs (M, B, n_in) and gradients (M, B, n_out)."""
    if gradient.shape[2] == 1:
        torch.sum(inputs * gradient, 1, out=out.squeeze(2))
    elif out.is_contiguous():
        torch.bmm(inputs.transpose(1, 2), gradient, out=out)
    else:  # torch's own layout of a linear layer, (n_out, n_in)
        torch.bmm(gradient.transpose(1, 2), inputs, out=out.transpose(1, 2))
