"""Films policies side by side, for the head of README, into docs/moving_strip.webp.

python benchmarks/moving_strip.py runs/mbpo-gradgym-NLinkPendulum-v0-0 runs/shac-gradgym-Ant-v0-0 \
    runs/bptt-gradgym-BallThrow-v0-0 runs/bptt-gradgym-Golf-v0-0
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.run import load_best

STRIP = Path(__file__).resolve().parent.parent / "docs" / "moving_strip.webp"
FRAMES_PER_SECOND = 20
PAUSE = 0.7  # at the end of an episode that is shorter than the film [s]
MEGABYTES = 2  # README's readers wait for it

Frame = NDArray[np.uint8]  # (height, width, 3)


def episode(run_dir: Path, seconds: float, size: tuple[int, int], seed: int) -> list[Frame]:
    """Frames of the run's best policy in real time, from the start again where its episode ends sooner."""
    policy, config = load_best(run_dir), RunConfig.read(run_dir)
    width, height = size
    env: Any = config.make_env(render_mode="rgb_array", backend="mujoco", width=width, height=height)
    rate = env.metadata["render_fps"]
    obs, memory, ended = env.reset(seed=seed)[0], None, False
    drawn: list[Frame] = [env.render()]
    while not ended and len(drawn) < seconds * rate:
        action, memory = policy.predict(obs, state=memory, deterministic=True)
        obs, _, terminated, truncated, _ = env.step(action)
        ended = terminated or truncated
        drawn.append(env.render())
    env.close()
    times = np.arange(round(seconds * FRAMES_PER_SECOND)) / FRAMES_PER_SECOND % (len(drawn) / rate + PAUSE)
    return [drawn[min(int(time * rate), len(drawn) - 1)] for time in times]


def save(films: list[list[Frame]], path: Path, quality: int) -> None:
    """Writes films of equal length and height side by side; ValueError if the file is too large."""
    strip = [Image.fromarray(np.concatenate(row, axis=1)) for row in zip(*films, strict=True)]
    options: dict[str, Any] = {"duration": 1000 // FRAMES_PER_SECOND, "loop": 0, "quality": quality, "method": 4}
    strip[0].save(path, save_all=True, append_images=strip[1:], **options)
    if path.stat().st_size > MEGABYTES * 1e6:
        raise ValueError(f"{path}: {path.stat().st_size / 1e6:.1f} MB, choose a lower --quality")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR")
    parser.add_argument("--out", type=Path, default=STRIP, metavar="FILE.webp")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, nargs=2, default=(220, 220), metavar=("WIDTH", "HEIGHT"), help="of each")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes")
    parser.add_argument("--quality", type=int, default=80, help="of WebP, 0 to 100")
    arguments = parser.parse_args(argv)
    size = tuple(arguments.size)
    films = [episode(run_dir, arguments.seconds, size, arguments.seed) for run_dir in arguments.run_dirs]
    save(films, arguments.out, arguments.quality)
    return 0


if __name__ == "__main__":
    sys.exit(main())
