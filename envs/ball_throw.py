"""Throwing: a nine-joint arm holds a ball in a cup and throws it to a place in the sand."""

from .ball_to_target import BallConstants, BallToTarget


class BallThrow(BallToTarget):
    """1.2 s, 120 actions of 9 torques each. Without torque the ball stays in the cup, which sinks slowly."""

    defaults = BallConstants("ball_throw.xml", target=(1.5, 0.3), rest_height=0.045878476, episode_steps=120)
