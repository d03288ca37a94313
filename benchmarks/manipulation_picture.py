"""Draws the starts of the manipulation scenes side by side, into docs/manipulation.png.

python benchmarks/manipulation_picture.py
"""

import sys
from pathlib import Path

import gymnasium
import imageio.v3 as imageio
import numpy as np
from manipulation_speed import SCENES

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "manipulation.png"


def main() -> int:
    frames = []
    for env_id, arguments in SCENES.values():
        env = gymnasium.make(env_id, render_mode="rgb_array", backend="mujoco", **arguments)
        env.reset(seed=1)
        frames.append(np.asarray(env.render()))
        env.close()
    imageio.imwrite(PICTURE, np.concatenate(frames, axis=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
