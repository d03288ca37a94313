"""Grasps of objects by a differentiable metric, for whoever has a mesh and a hand; no environment is needed.

from gradgym.agents import grasp

mesh = grasp.ObjectMesh.load("mug.obj")
hand = grasp.Hand.shadow()
grasps = grasp.plan(mesh, hand, num_grasps=16, seed=0)
report = grasp.validate(mesh, hand, grasps)
"""

from .contacts import measure
from .grasps import Grasps
from .hand import Hand
from .judge import Report, validate
from .object_mesh import ObjectMesh
from .objective import PlanSettings
from .pictures import picture
from .planner import plan
from .q1 import q1, q1_upper
from .q1_lower import q1_lower

__all__ = [
    "Grasps",
    "Hand",
    "ObjectMesh",
    "PlanSettings",
    "Report",
    "measure",
    "picture",
    "plan",
    "q1",
    "q1_lower",
    "q1_upper",
    "validate",
]
