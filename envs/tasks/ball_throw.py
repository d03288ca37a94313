"""Throwing: a nine-joint arm holds a ball in a cup and throws it to a place in the sand."""

from .ball_to_target import BallConstants, BallToTarget


class BallThrow(BallToTarget):
    """Observation (31) and reward: see `BallToTarget`. Action (9): motor torques, 1 is the greatest.

    An episode takes 120 actions, 1.2 s. Without torque the ball stays in the cup, which sinks slowly.
    """

    defaults = BallConstants("ball_throw.xml", target=(1.5, 0.3), rest_height=0.045878476, episode_steps=120)
