"""Fingerprints of what the simulator computes: equal ones from two checkouts mean that no bit has changed.

Run it twice in each checkout: kernels that were just compiled and those from the cache may differ in the last bit.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy as np

from gradgym import sim
from gradgym.envs import ASSETS

GYMNASIUM_ASSETS = Path(str(gymnasium.__file__)).parent / "envs/mujoco/assets"
MODELS = {
    **{name: GYMNASIUM_ASSETS / f"{name}.xml" for name in ("ant", "hopper", "humanoid")},
    "laikago": ASSETS / "laikago.xml",
    "racecar": ASSETS / "racecar.xml",
}
STATES, CONTROLS = 10, 7


def visited_states(m: mujoco.MjModel) -> tuple[sim.State, np.ndarray]:
    """States that random controls lead to, and a control for each."""
    rng, d = np.random.default_rng(0), mujoco.MjData(m)
    rows: list[tuple[np.ndarray, ...]] = []
    for _ in range(STATES):
        d.ctrl[:] = rng.normal(size=m.nu)
        mujoco.mj_step(m, d, nstep=25)
        rows.append((d.qpos.copy(), d.qvel.copy(), d.act.copy(), d.ctrl.copy()))
    qpos, qvel, act, ctrl = map(np.stack, zip(*rows, strict=True))
    return sim.State(qpos, qvel, act), ctrl


def fingerprint(m: mujoco.MjModel) -> str:
    """Hash of forward quantities, steps, Jacobians, trajectories and all gradients."""
    model, (state, ctrl) = sim.Model.from_mujoco(m), visited_states(m)
    rng, nx = np.random.default_rng(1), 2 * m.nv + m.na
    forward, jacobian = sim.forward(model, state, ctrl), sim.step_jacobian(model, state, ctrl)
    path = sim.rollout(model, state, rng.normal(size=(STATES, CONTROLS, m.nu)), n_steps=2, checkpoint_interval=3)
    gradient = sim.rollout_vjp(model, path, rng.normal(size=(*path.qvel.shape[:-1], nx)), params=True)
    force = sim.cfrc_ext_vjp(model, state, ctrl, rng.normal(size=(STATES, m.nbody, 6)))
    arrays = [*forward[:-1], *forward.contact, *jacobian, path.qpos, path.qvel, gradient.state0, gradient.ctrls]
    arrays += [*(gradient.params or {}).values(), force.state, force.ctrl]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    for name in parser.parse_args(argv).models:
        for cone in (mujoco.mjtCone.mjCONE_PYRAMIDAL, mujoco.mjtCone.mjCONE_ELLIPTIC):
            m = mujoco.MjModel.from_xml_path(str(MODELS[name]))
            m.opt.cone = cone
            print(f"{name:10s} {cone.name.removeprefix('mjCONE_').lower():10s} {fingerprint(m)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
