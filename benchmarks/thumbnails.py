"""Draws every environment after a few steps, into docs/environments/<name>.webp.

python benchmarks/thumbnails.py
"""

import sys
from pathlib import Path
from typing import Any

import gymnasium
from PIL import Image

import gradgym as gradgym  # registers the environments

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "environments"
SIZE = 640, 480  # drawn; half of it is kept, which smooths edges
# Arguments that show more of a task, and how long to act at random.
SHOWN: dict[str, tuple[dict[str, Any], int]] = {
    "NLinkPendulum": ({"n_links": 3}, 60),
    "Ant": ({}, 15),
    "HalfCheetah": ({}, 15),
    "Hopper": ({}, 10),
    "Walker2d": ({}, 10),
    "Racecar": ({}, 20),
    "BallThrow": ({}, 5),
    "Golf": ({}, 5),
    "CubeReorient": ({"hand": "shadow"}, 5),
    "ShadowHandGrasp": ({}, 20),
    "WheelTurn": ({}, 20),
    "PlanarPushing": ({}, 3),
}


def picture(name: str) -> Image.Image:
    arguments, steps = SHOWN[name]
    width, height = SIZE
    drawing = {"render_mode": "rgb_array", "backend": "mujoco", "width": width, "height": height}
    env = gymnasium.make(f"gradgym/{name}-v0", **drawing, **arguments)
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(steps):
        env.step(env.action_space.sample())
    frame: Any = env.render()
    env.close()
    return Image.fromarray(frame).resize((width // 2, height // 2), Image.Resampling.LANCZOS)


def main() -> int:
    for name in SHOWN:
        picture(name).save(FOLDER / f"{name}.webp", quality=75, method=6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
