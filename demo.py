"""Shows a policy that comes with gradgym: in a window, or as a video.

gradgym-demo gradgym/Ant-v0 --video ant.mp4
"""

import argparse
import sys
from pathlib import Path

import gymnasium
import torch

# Absolute, because this file also runs as a script, which belongs to no package.
from gradgym.agents.pretrained import available, ids, pretrained
from gradgym.agents.training.configuration import parse_settings
from gradgym.agents.training.film import check_film, film
from gradgym.agents.training.watching import check_window, view


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-demo", description=(__doc__ or "").splitlines()[0])
    known = ", ".join(ids(available()))
    parser.add_argument(
        "env", nargs="?", default="gradgym/Ant-v0", metavar="ENV", help=f"one of {known}; default: the Ant"
    )
    parser.add_argument(
        "--env-kwargs", nargs="+", default=[], metavar="KEY:VALUE", help="which of several policies, such as axis:z"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first episode")
    parser.add_argument("--episodes", type=int, default=1, help="in the window")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="of one episode, in place of the window")
    return parser


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    try:
        if arguments.seed < 0:
            raise ValueError(f"--seed {arguments.seed}: must not be negative")
        if arguments.episodes < 1:
            raise ValueError(f"--episodes {arguments.episodes}: must be at least 1")
        if arguments.video is not None:
            check_film(arguments.video)
        policy = pretrained(arguments.env, **parse_settings(arguments.env_kwargs))
        env = policy.make_env(render_mode=None if arguments.video is None else "rgb_array")
        if arguments.video is None:
            check_window(env, policy.header.env)
    except (ValueError, TypeError, OSError, gymnasium.error.Error) as error:
        print(f"gradgym-demo: error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 2
    if arguments.video is not None:
        made = film(policy, env, arguments.seed, arguments.video)
        print(f"Video: {arguments.video} ({made})")
    else:
        for found in view(policy, env, arguments.episodes, arguments.seed):
            print(f"Return: {found:.4f}")
    env.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
