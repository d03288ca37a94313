"""What moves a body: the degrees of freedom from it up to the root, each the parent of the one before."""

from ..kernels.jit import kernel
from ..model.model import Model


@kernel
def last_dof(m: Model, b: int) -> int:
    """The degree of freedom nearest above or in body `b`; -1 if it cannot move."""
    while b > 0 and m.body_dofnum[b] == 0:
        b = m.body_parentid[b]
    return m.body_dofadr[b] + m.body_dofnum[b] - 1 if b > 0 else -1
