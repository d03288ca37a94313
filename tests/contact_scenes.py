"""Models in contact and the states that they visit, solved to rounding, and compared with MuJoCo."""

from collections.abc import Iterator

import mujoco
import numpy as np

from gradgym import sim

MODELS = ["ant", "half_cheetah", "hopper", "walker2d", "humanoid", "reacher", "inverted_double_pendulum"]
CONES = {"pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL, "elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC}
MIXED = """
<mujoco>
  <option timestep="0.005"/>
  <default><geom condim="{condim}" friction="0.7 0.02 0.003"/></default>
  <worldbody>
    <geom type="plane" size="5 5 .1" quat="0.99 0.05 0.1 0"/>
    <body pos="0 0 0.12"><freejoint/><geom type="sphere" size="0.12" solref="0.01 0.8"/></body>
    <body pos="0.1 0.05 0.3"><freejoint/><geom type="capsule" size="0.06 0.2" solimp="0.8 0.95 0.01 0.4 3"/></body>
    <body pos="-0.1 0.1 0.45"><freejoint/><geom type="capsule" size="0.05 0.15" euler="0 80 20" priority="1"/></body>
    <body pos="0.05 -0.05 0.6"><joint type="ball" range="0 0.6" limited="true" frictionloss="0.2"/>
      <geom type="sphere" size="0.08" pos="0.1 0 0" margin="0.02" gap="0.01"/>
      <body pos="0.2 0 0"><joint type="slide" axis="1 0 0" limited="true" range="-0.02 0.02" frictionloss="0.5"/>
        <geom type="capsule" size="0.04 0.1"/></body></body>
  </worldbody>
</mujoco>"""
PGS = int(mujoco.mjtSolver.mjSOL_PGS)


def tight(spec: mujoco.MjSpec, cone: mujoco.mjtCone, integrator: int | None = None) -> mujoco.MjModel:
    """The model with Newton's method at a tolerance near rounding."""
    spec.option.cone, spec.option.solver = cone, mujoco.mjtSolver.mjSOL_NEWTON
    # MuJoCo also stops when the cost improves by less than this, long before the gradient is as small
    spec.option.tolerance, spec.option.iterations = 1e-16, 100
    spec.option.ls_iterations, spec.option.ls_tolerance = 100, 1e-9
    if integrator is not None:
        spec.option.integrator = integrator
    return spec.compile()


def visited_states(mj_model: mujoco.MjModel, count: int, seed: int) -> Iterator[mujoco.MjData]:
    """States that random controls lead to, each with a control."""
    rng, d = np.random.default_rng(seed), mujoco.MjData(mj_model)
    for k in range(count):
        if k % 15 == 0:
            mujoco.mj_resetData(mj_model, d)
            d.qvel[:] = rng.normal(scale=0.5, size=mj_model.nv)
        d.ctrl[:] = rng.normal(size=mj_model.nu)
        mujoco.mj_step(mj_model, d, nstep=8)
        yield d


def assert_equal_forward(mj_model: mujoco.MjModel, count: int, seed: int = 0) -> int:
    """Contacts, force and acceleration at visited states; returns how many had active rows."""
    model, active = sim.Model.from_mujoco(mj_model), 0
    for d in visited_states(mj_model, count, seed):
        d.qacc_warmstart[:] = 0
        mujoco.mj_forward(mj_model, d)
        ours = sim.forward(model, sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy())
        assert len(ours.contact.dist) == d.ncon
        if d.ncon:
            order, mine = (np.lexsort(np.round(p, 8).T) for p in (d.contact.pos, ours.contact.pos))
            np.testing.assert_allclose(ours.contact.dist[mine], d.contact.dist[order], rtol=0, atol=1e-12)
            np.testing.assert_allclose(ours.contact.pos[mine], d.contact.pos[order], rtol=0, atol=1e-12)
            np.testing.assert_allclose(ours.contact.frame[mine], d.contact.frame[order], rtol=0, atol=1e-11)
        scale = max(1.0, np.abs(d.qacc).max())
        np.testing.assert_allclose(ours.qacc, d.qacc, rtol=0, atol=1e-6 * scale)
        scale = max(1.0, np.abs(d.qfrc_constraint).max())
        np.testing.assert_allclose(ours.qfrc_constraint, d.qfrc_constraint, rtol=0, atol=1e-6 * scale)
        active += d.nefc > 0
    return active


def with_pgs(mj_model: mujoco.MjModel, tolerance: float = 1e-16) -> sim.Model:
    """The model with projected Gauss-Seidel, run to rounding."""
    return sim.Model.from_mujoco(mj_model).replace(solver=PGS, iterations=20000, tolerance=tolerance)


def active_rows(m: sim.Model, s: sim.State, ctrl: np.ndarray) -> tuple[int, ...]:
    """The number of contacts, and which way each row pushes: derivatives exist where neighbours have the same."""
    found = sim.forward(m, s, ctrl)
    return (len(found.contact.dist), *np.sign(found.efc_force).astype(int))
