"""The range of a tendon's force (actuatorfrcrange), which all its actuators share (mj_fwdActuation).

Where their total T is outside the range, of which r is the nearer end, every force f_i becomes r/T f_i; after that
each has its own forcerange. So a change of one force tells on all: with the moment arms g_j m of actuators j, m the
tendon's, the joint forces are m (r/T) sum g_j f_j, the sum over those that are inside their own ranges, and

    d(joint forces)/df_i = m (r/T) (g_i, if i is inside its own range, - sum g_j f_j / T),

which is a multiple of actuator i's own moment arms. Where one actuator has the tendon alone this is a clamp.
"""

from ..kernels.enums import TRN_TENDON
from ..kernels.jit import kernel
from ..model.data import Data
from ..model.model import Model

ROUNDING = 1e-10  # that MuJoCo allows a sum of forces to be short of a range


@kernel
def limited_tendon(m: Model, i: int) -> int:
    """The tendon that actuator `i` pulls at, if that has a range of forces; -1: none."""
    t = m.actuator_trnid[i, 0]
    return t if m.actuator_trntype[i] == TRN_TENDON and m.tendon_actfrclimited[t] else -1


@kernel
def limit_tendons(m: Model, d: Data) -> None:
    """Bring the forces in actuator_force into the ranges of their tendons; fill tendon_force."""
    for t in range(m.ntendon):
        d.tendon_force[t] = 0.0
    for i in range(m.nu):
        t = limited_tendon(m, i)
        if t >= 0:
            d.tendon_force[t] += d.actuator_force[i]
    for i in range(m.nu):
        t = limited_tendon(m, i)
        if t >= 0 and tendon_is_scaled(m, d, t):
            d.actuator_force[i] *= _scale(m, d, t)


@kernel
def tendon_is_scaled(m: Model, d: Data, t: int) -> bool:
    """Whether all forces on tendon `t` together were outside its range."""
    total = d.tendon_force[t]
    return total != 0.0 and (total < m.tendon_actfrcrange[t, 0] or total > m.tendon_actfrcrange[t, 1])


@kernel
def _scale(m: Model, d: Data, t: int) -> float:
    """r/T."""
    return min(max(d.tendon_force[t], m.tendon_actfrcrange[t, 0]), m.tendon_actfrcrange[t, 1]) / d.tendon_force[t]


@kernel
def limit_tendons_apart(m: Model, d: Data) -> None:
    """The same where no two actuators share a range."""
    for i in range(m.nu):
        t = limited_tendon(m, i)
        if t >= 0:
            low, high = m.tendon_actfrcrange[t, 0], m.tendon_actfrcrange[t, 1]
            d.actuator_force[i] = min(max(d.actuator_force[i], low), high)


@kernel
def tendon_is_clamped(m: Model, d: Data, i: int) -> bool:
    """Whether the forces on the tendon of actuator `i` end on its range or beyond: implicitfast sees no slope then."""
    t, total = limited_tendon(m, i), 0.0
    if t < 0:
        return False
    for j in range(m.nu):
        if limited_tendon(m, j) == t:
            total += d.actuator_force[j]
    low, high = m.tendon_actfrcrange[t, 0], m.tendon_actfrcrange[t, 1]
    return total <= low + ROUNDING * max(1.0, abs(low)) or total >= high - ROUNDING * max(1.0, abs(high))


@kernel
def tendon_is_clamped_apart(m: Model, d: Data, i: int) -> bool:
    """The same where no two actuators share a range: the force sits on it."""
    t, force = limited_tendon(m, i), d.actuator_force[i]
    return t >= 0 and (force <= m.tendon_actfrcrange[t, 0] or force >= m.tendon_actfrcrange[t, 1])


@kernel
def own_range_clamps(m: Model, d: Data, i: int) -> bool:
    """Whether the force of actuator `i` sits on its own range."""
    force = d.actuator_force[i]
    if not m.actuator_forcelimited[i]:
        return False
    return force <= m.actuator_forcerange[i, 0] or force >= m.actuator_forcerange[i, 1]


@kernel
def shared_pull(m: Model, d: Data, i: int, t: int) -> float:
    """What the joints get of a change of actuator `i`'s force, in its own moment arms, where tendon `t` is scaled."""
    pull = 0.0
    for j in range(m.nu):
        if limited_tendon(m, j) == t and not own_range_clamps(m, d, j):
            pull += m.actuator_gear[j, 0] * d.actuator_force[j]  # r/T f_j
    own = 0.0 if own_range_clamps(m, d, i) else _scale(m, d, t)
    return own - pull / (d.tendon_force[t] * m.actuator_gear[i, 0])
