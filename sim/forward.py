"""Forward dynamics: state and control to acceleration, in MuJoCo's order; mirrored below, its adjoint.

At the acceleration a the equation of motion F(a; q, v, u) = M a + c - tau = 0 holds, so a cotangent
of a becomes the multiplier w = M^-1 cotangent, and every input x gets -d(w . F)/dx with a held
fixed (Qiao et al. 2021, section 4.1, equation 2).
"""

from ._jit import sequence
from .aba import aba_factor, aba_solve, aba_solve_lanes
from .actuation import actuation, actuation_adj
from .data import Data, Lanes
from .inertia import com_pos
from .kinematics import kinematics
from .model import Model
from .parameters import parameters_adj
from .passive import passive, passive_adj
from .rnea import rne, rne_adj, rne_bias
from .tendon import tendon
from .velocity import com_vel


@sequence
def forward_smooth(m: Model, d: Data) -> None:
    """Everything up to the smooth forces."""
    kinematics(m, d)
    com_pos(m, d)
    com_vel(m, d)
    tendon(m, d)
    passive(m, d)
    actuation(m, d)
    rne_bias(m, d)
    for v in range(m.nv):
        d.qfrc_smooth[v] = d.qfrc_passive[v] + d.qfrc_actuator[v] - d.qfrc_bias[v]
        d.qacc[v] = d.qfrc_smooth[v]
        d.qfrc_constraint[v] = 0.0
    d.solver_niter[0] = 0
    d.solver_residual[0] = 0.0


@sequence
def forward(m: Model, d: Data) -> None:
    """Acceleration `qacc` of the state and control in `d`."""
    forward_smooth(m, d)
    aba_factor(m, d, 0.0)
    aba_solve(m, d)


@sequence
def forward_adj(m: Model, d: Data, w: Lanes, damping_time: float) -> None:
    """From qacc_adj, actdot_adj: add to qpos_adj, qvel_adj, act_adj, ctrl_adj.

    Needs `qacc` and the factor of M + damping_time * diag(dof_damping) that gave it.
    """
    aba_solve_lanes(m, d, w)
    rne(m, d)
    rne_adj(m, d, w)
    passive_adj(m, d, w)
    actuation_adj(m, d, w, 0.0)
    if w.with_params:
        parameters_adj(m, d, w, damping_time, 0.0)
