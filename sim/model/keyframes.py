"""Keyframes: states and controls that a model file gives by name."""

import operator

import mujoco

_SHOWN = 10  # names in a message


def key_id(m: mujoco.MjModel, key: str | int) -> int:
    """The number of a keyframe that is given by name or number; ValueError that lists them if there is none."""
    if isinstance(key, str):
        number = mujoco.mj_name2id(m, int(mujoco.mjtObj.mjOBJ_KEY), key)
    else:
        number = operator.index(key)
    if 0 <= number < m.nkey:
        return number
    names = [m.key(i).name or str(i) for i in range(min(m.nkey, _SHOWN))]
    more = ["..."] if m.nkey > _SHOWN else []
    raise ValueError(f"no keyframe {key!r}: the model has {', '.join(names + more) or 'none'}")
