"""`UnconvergedWarning`: derivatives of steps whose constraint solver was stopped at `iterations`.

Derivatives are those of the solver's solution, by the implicit function theorem. A step that stops before it,
as those of models with iterations="1" do, is another function, whose derivative is not known.
"""

import warnings

from .kernels.record import kept_with
from .model.model import Model


class UnconvergedWarning(UserWarning):
    """Derivatives were taken of steps that stopped at `iterations` (or `noslip_iterations`) before convergence.

    Given once per model, by `step_vjp`, `step_jacobian`, `linearize`, `rollout_vjp` and the gradients of
    `torch_bridge`.
    """


def warn_if_unconverged(model: Model, unconverged: int, steps: int, stacklevel: int) -> None:
    """Say once per model that `unconverged` of `steps` differentiated steps had not converged."""
    if unconverged == 0:
        return
    said: list[bool] = kept_with(model, "said that steps did not converge", list)
    if said:
        return
    said.append(True)
    noslip = model.noslip_iterations
    limit, cure = f"iterations={model.iterations}", "Model.replace(iterations=100)"
    if noslip > 0:
        limit, cure = f"{limit} or noslip_iterations={noslip}", "Model.replace(iterations=100, noslip_iterations=100)"
    text = (
        f"{unconverged} of {steps} steps stopped at {limit} before the constraint solver converged; "
        f"their derivatives are those of the converged step. Load the model with iterations=100, or {cure}"
    )
    warnings.warn(text, UnconvergedWarning, stacklevel=stacklevel + 1)
