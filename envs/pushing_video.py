"""Pictures of planar pushing: the video that is a task, and strips for people.

As in Aceituno et al., "A Differentiable Recipe for Learning Visual Non-Prehensile Planar Manipulation", section 3: the
object alone, segmented, on white. Their figure 7 is a strip.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from .polygon import Polygon, placed
from .pushing_scene import FINGER_RADIUS, WORKSPACE

Frames = NDArray[np.uint8]

FRAME = 50  # pixels, both ways
_FINER = 8  # of the raster that is averaged
_AROUND = 0.02  # what a strip shows around all that is in it [m]
_OBJECT, _GOAL, _GROUND = (70, 110, 190), (40, 160, 70), (150, 150, 150)
_FINGERS = ((210, 70, 50), (240, 160, 40), (150, 60, 170), (60, 160, 170))


def frame(polygon: Polygon | ArrayLike, pose: ArrayLike, size: int = FRAME) -> Frames:
    """The object at `pose` (3,) [m, m, rad] in the workspace, (size, size, 3); row 0 is on top.

    Args:
        polygon: the object, or vertices (F, 2) [m] in its frame; in the world's with a pose of zeros.
        pose: (3,).
        size: pixels both ways, of 60 cm.

    Raises:
        ValueError: the pose is no pose, or not finite.
    """
    return _averaged(_polygon_picture(_corners(polygon, _pose(pose)), size, WORKSPACE))


def video(polygon: Polygon | ArrayLike, poses: ArrayLike, size: int = FRAME) -> Frames:
    """Frames of poses (T, 3), (T, size, size, 3); see `frame`."""
    given = np.asarray(poses, np.float64)
    if given.ndim != 2 or given.shape[1] != 3:
        raise ValueError(f"video: poses have shape {given.shape}, expected (T, 3)")
    return np.stack([frame(polygon, pose, size) for pose in given])


def checked_video(frames: ArrayLike, knots: int, size: int = FRAME) -> Frames:
    """A video (..., knots, size, size, 3) of bytes as it was given; ValueError if it is anything else."""
    found = np.asarray(frames)
    expected = (knots, size, size, 3)
    if found.shape[-4:] != expected:
        raise ValueError(f"video has shape {found.shape}, expected (..., {', '.join(map(str, expected))})")
    if found.dtype != np.uint8:
        raise ValueError(f"video has type {found.dtype}, expected uint8, white 255")
    return found


def strip(
    polygon: Polygon | ArrayLike,
    poses: ArrayLike,
    goal: ArrayLike | None = None,
    fingers: ArrayLike | None = None,
    size: int = 240,
    ground: bool = True,
) -> Frames:
    """T pictures side by side, (size, T size, 3): the object, the goal's outline, the fingers, the ground.

    All show one square part of the plane, in which everything is, of the fingers those within the workspace.

    Args:
        polygon: the object, or vertices (F, 2) [m].
        poses: (T, 3) [m, m, rad].
        goal: (T, 3) where the object is desired.
        fingers: (T, N, 2) centres of the spheres [m], each in its own colour.
        size: of a picture, pixels both ways.
        ground: whether there is one.

    Raises:
        ValueError: numbers of knots that differ.
    """
    objects = _corners(polygon, np.asarray(poses, np.float64))
    desired = objects if goal is None else _corners(polygon, np.asarray(goal, np.float64))
    balls = np.empty((len(objects), 0, 2)) if fingers is None else np.asarray(fingers, np.float64)
    for name, value in (("goal", desired), ("fingers", balls)):
        if len(value) != len(objects):
            raise ValueError(f"strip: {name} has {len(value)} knots, poses have {len(objects)}")
    window, pixels = _window(np.concatenate([x.reshape(-1, 2) for x in (objects, desired, balls)])), size * _FINER
    unit = pixels / (window[0, 1] - window[0, 0])  # pixels a metre
    pictures = []
    for corners, outline, centres in zip(objects, desired, balls, strict=True):
        picture = _polygon_picture(corners, size, window)
        draw = ImageDraw.Draw(picture)
        level = unit * window[1, 1]
        if ground and level < pixels:
            draw.rectangle([0, level, pixels, pixels], fill=_GROUND)
        if goal is not None:
            line = [*map(tuple, _pixels(outline, pixels, window))]
            draw.line([*line, line[0]], fill=_GOAL, width=2 * _FINER, joint="curve")
        for c, (x, y) in enumerate(_pixels(centres, pixels, window)):
            draw.circle((x, y), unit * FINGER_RADIUS, fill=_FINGERS[c % len(_FINGERS)])
        draw.rectangle([0, 0, pixels - 1, pixels - 1], outline=_GROUND, width=_FINER)
        pictures.append(_averaged(picture))
    return np.concatenate(pictures, axis=1)


def _window(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bounds of x and y of a square with all points (n, 2), or those in the workspace, and 2 cm around."""
    inside = points.clip(*WORKSPACE.T)
    low, high = inside.min(axis=0), inside.max(axis=0)
    half = (high - low).max() / 2 + _AROUND
    middle = (low + high) / 2
    middle[1] = low[1] - _AROUND + half  # so that the ground is low
    return np.stack([middle - half, middle + half], axis=1)


def _pose(pose: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(pose, np.float64)
    if found.shape != (3,) or not np.isfinite(found).all():
        raise ValueError(f"frame: pose {found.tolist()} is not three finite numbers, x, y and angle")
    return found


def _corners(polygon: Polygon | ArrayLike, pose: NDArray[np.float64]) -> NDArray[np.float64]:
    vertices = polygon.vertices if isinstance(polygon, Polygon) else np.asarray(polygon, np.float64)
    return placed(vertices, pose)


def _pixels(points: NDArray[np.float64], pixels: int, window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places (..., 2) in a picture of a window, from its upper left corner."""
    low, high = window.T
    unit = (points - low) / (high - low)
    return np.stack([unit[..., 0], 1.0 - unit[..., 1]], axis=-1) * pixels


def _polygon_picture(corners: NDArray[np.float64], size: int, window: NDArray[np.float64]) -> Image.Image:
    pixels = size * _FINER
    picture = Image.new("RGB", (pixels, pixels), (255, 255, 255))
    ImageDraw.Draw(picture).polygon([*map(tuple, _pixels(corners, pixels, window))], fill=_OBJECT)
    return picture


def _averaged(picture: Image.Image) -> Frames:
    return np.asarray(picture.reduce(_FINER))
