"""Golf: a five-joint linkage swings a club at a ball, which rolls and must come to rest at the target."""

from .ball_to_target import BallConstants, BallToTarget


class Golf(BallToTarget):
    """Observation (23) and reward: see `BallToTarget`. Action (5): motor torques, 1 is the greatest.

    An episode takes 200 actions, 2 s. Without torque the drawn-back club falls and hits the ball, too weakly.
    """

    defaults = BallConstants("golf.xml", target=(1.5, 0.2), rest_height=0.0213072837, episode_steps=200)
