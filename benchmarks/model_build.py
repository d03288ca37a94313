"""Time to make a `Model` beside MuJoCo's compilation of the same scene, and to change one field of it.

    python benchmarks/model_build.py

Scenes of many pairs of geoms: a crowd of quadrupeds, a heap of particles, a kitchen of static boxes with
a robot in it. Best of three, processor time in seconds; a change in milliseconds.
"""

import time
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from gradgym import sim
from gradgym.envs import ASSETS
from gradgym.sim.model.data import Data

CHANGED = ("body_pos", "body_mass", "geom_friction", "timestep")


def crowd(n: int) -> mujoco.MjSpec:
    """A floor with `n` Laikagos."""
    scene, robot = (mujoco.MjSpec.from_file(str(ASSETS / "laikago.xml")) for _ in range(2))
    scene.delete(scene.body("trunk"))
    for element in (*scene.actuators, *scene.keys):
        scene.delete(element)
    for element in (robot.geom("floor"), *robot.keys):
        robot.delete(element)
    for i in range(n):
        frame = scene.worldbody.add_frame(pos=[1.5 * (i // 10), 1.5 * (i % 10), 0.5])
        scene.attach(robot.copy(), prefix=f"r{i}_", frame=frame)
    return scene


def particles(n: int) -> mujoco.MjSpec:
    """A floor with `n` free spheres."""
    places = np.stack(np.unravel_index(np.arange(n), (10, 10, n // 100 + 1)), axis=1) * 0.1 + 0.1
    bodies = "".join(f'<body pos="{x} {y} {z}"><freejoint/><geom size="0.04"/></body>' for x, y, z in places)
    return mujoco.MjSpec.from_string(
        f'<mujoco><worldbody><geom type="plane" size="5 5 1"/>{bodies}</worldbody></mujoco>'
    )


def kitchen(n: int) -> mujoco.MjSpec:
    """A Laikago among `n` static boxes."""
    scene = mujoco.MjSpec.from_file(str(ASSETS / "laikago.xml"))
    for i, (x, y) in enumerate(np.random.default_rng(0).uniform(-5, 5, size=(n, 2))):
        scene.worldbody.add_geom(
            name=f"box{i}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.1, 0.1, 0.3], pos=[float(x), float(y), 0.3]
        )
    return scene


SCENES = {
    "50 Laikagos": lambda: crowd(50),
    "1,000 particles": lambda: particles(1000),
    "a Laikago among 600 boxes": lambda: kitchen(600),
}


def best(call: Callable[[], Any], times: int = 3) -> float:
    """Least processor time [s]."""
    spent: list[float] = []
    for _ in range(times):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


def main() -> None:
    """Print a line for each scene."""
    print(f"{'scene':<28}{'pairs':>10}{'MuJoCo':>9}{'Model':>9}{'Data':>9}  ", *(f"{name:>14}" for name in CHANGED))
    for name, scene in SCENES.items():
        spec = scene()
        compiled = spec.compile()
        model = sim.Model.from_mujoco(compiled)
        times = [best(spec.compile), best(lambda m=compiled: sim.Model.from_mujoco(m))]
        times.append(best(lambda m=model: Data.for_model(m)))
        changes = [1e3 * best(_change(model, field), 10) for field in CHANGED]
        line = "".join(f"{seconds:9.3f}" for seconds in times)
        print(f"{name:<28}{model.npair:>10,}{line}  ", *(f"{ms:14.2f}" for ms in changes))


def _change(model: sim.Model, field: str) -> Callable[[], Any]:
    m = model.mj_model
    change: dict[str, Any] = {field: np.array(getattr(m.opt if field == "timestep" else m, field))}
    return lambda: model.replace(**change)


if __name__ == "__main__":
    main()
