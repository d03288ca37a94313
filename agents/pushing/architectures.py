"""The five architectures of Aceituno et al., section 5: which networks and models, and which loss after which.

    NN    video - network - commands              L_NN
    NNM   the same                                L_NN, L_sim
    MDR   video - network - parameters - QP       L_P
    CVX   the same                                L_P, L_QP
    DLM   the same                                L_P, L_QP, L_sim

L_sim is on the fine-tuning set, the others are on the training set.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from .adjoints import cut
from .inverse_dynamics import InverseDynamics, Solution
from .losses import command_loss, parameter_loss, solution_loss
from .networks import Decoder, VideoEncoder
from .parameters import Batch, MechanicalParameters
from .quadratic_program import solver

Loss = Literal["command", "parameter", "solution", "simulation"]
"""L_NN, L_P of equation 5, L_QP of equation 7, L_sim of equation 10."""

STAGES: dict[str, tuple[Loss, ...]] = {
    "nn": ("command",),
    "nnm": ("command", "simulation"),
    "mdr": ("parameter",),
    "cvx": ("parameter", "solution"),
    "dlm": ("parameter", "solution", "simulation"),
}
_LEAST_SCALE = 1e-3  # what never changes in the data is predicted to about this


def check(name: str) -> None:
    """ValueError if no architecture has the name, ImportError if it lacks its solver."""
    if name not in STAGES:
        raise ValueError(f"arch={name!r}: must be one of {', '.join(STAGES)}")
    if "parameter" in STAGES[name]:
        solver()


class Actions(NamedTuple):
    """What the fingers do; commands pull them beyond where they touch."""

    commands: Tensor  # (B, T, N, 2) of the servos [m]
    contacts: Tensor  # (B, T, N, 2) where they touch [m]; of NN and NNM the commands


class Architecture(nn.Module):
    """Networks in float32 and inverse dynamics in float64, by the architecture's name.

    Args:
        name: a key of `STAGES`.
        num_fingers: N.
        stiffness: of the fingers' servos [N/m]: a command is p + lam / stiffness.
        dropout: of the networks.
        dynamics: inverse dynamics of MDR, CVX and DLM.
        seed: of the first weights.

    Raises:
        ValueError: an unknown name, or an argument out of its range.
    """

    def __init__(
        self,
        name: str,
        num_fingers: int = 2,
        stiffness: float = 500.0,
        dropout: float = 0.2,
        dynamics: InverseDynamics | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check(name)
        if not (stiffness > 0.0 and num_fingers > 0 and 0.0 <= dropout < 1.0):
            raise ValueError(f"{stiffness=}, {num_fingers=}: must be positive; {dropout=}: at least 0 and below 1")
        self.name, self.stages = name, STAGES[name]
        self.num_fingers, self.stiffness = num_fingers, stiffness
        self.dynamics = InverseDynamics() if dynamics is None else dynamics
        self.derenders = "parameter" in self.stages
        outputs = 10 + 10 * num_fingers if self.derenders else 2 * num_fingers
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder, self.decoder = VideoEncoder(dropout), Decoder(outputs, dropout)

    def fit_scales(self, known: Batch) -> None:
        """Sets offsets and scales of the last layer by the training set: means of numbers, and spread of their kinds.

        A kind is one of the mechanical parameters, or the commands; angles and places of r are two.
        """
        if self.derenders:
            values, n = known.parameters.flatten(), self.num_fingers
            sizes = [2, 1, 2 * n, 4 * n, 2, 4 * n, 4, 1]
        else:
            values = self._commands(known.p, known.lam).flatten(2)
            sizes = [values.shape[-1]]
        values = values.flatten(0, 1)
        kinds = values.var(0, correction=0).split(sizes)
        spread = torch.cat([kind.mean().sqrt().expand_as(kind) for kind in kinds]).clamp(min=_LEAST_SCALE)
        self.decoder.offset.copy_(values.mean(0))
        self.decoder.scale.copy_(spread)

    def commands(self, video: Tensor) -> Tensor:
        """(B, T, N, 2) [m] for videos (B, T, 50, 50, 3)."""
        return self.act(video).commands

    def act(self, video: Tensor) -> Actions:
        """Commands and contacts for videos (B, T, 50, 50, 3)."""
        if self.derenders:
            solution = self.solve(video)
            return Actions(self._commands(solution.p, solution.lam), solution.p)
        commands = self.decoder(self.encoder(video)).double().unflatten(-1, (-1, 2))
        return Actions(commands, commands)

    def derender(self, video: Tensor) -> MechanicalParameters:
        """Equation 4, in float64; of MDR, CVX and DLM."""
        return MechanicalParameters.unflatten(self._derendered(video), self.num_fingers)

    def solve(self, video: Tensor) -> Solution:
        """Equation 6 with the derendered parameters; of MDR, CVX and DLM.

        What the program hands back is `cut`: near a change of its active set it may be a thousand times the usual.
        """
        flat = self._derendered(video)
        if flat.requires_grad:
            flat.register_hook(cut)
        return self.dynamics(MechanicalParameters.unflatten(flat, self.num_fingers))

    def label_loss(self, loss: Loss, known: Batch) -> Tensor:
        """One of the architecture's losses but L_sim, of tasks with labels.

        Raises:
            ValueError: the architecture is not trained by it.
        """
        if loss not in self.stages or loss == "simulation":
            raise ValueError(f"{self.name} is trained by {', '.join(self.stages)}: there are no labels for {loss!r}")
        if loss == "command":
            return command_loss(self.commands(known.video), self._commands(known.p, known.lam))
        if loss == "parameter":
            return parameter_loss(self.derender(known.video), known.parameters, self.decoder.scale)
        return solution_loss(self.solve(known.video), known, self.dynamics.weights.slack, self.stiffness)

    def _derendered(self, video: Tensor) -> Tensor:
        return self.decoder(self.encoder(video)).double()

    def _commands(self, p: Tensor, lam: Tensor) -> Tensor:
        return p + lam / self.stiffness
