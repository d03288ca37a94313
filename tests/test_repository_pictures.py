"""The moving strip at README's head, and how it is cut from episodes."""

from pathlib import Path
from typing import Any

import moving_strip
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


class Counting:
    """Episodes of 5 steps at 10 frames a second; a frame's brightness is the step's number."""

    metadata: dict[str, Any] = {"render_fps": 10}  # noqa: RUF012 (Gymnasium's API)

    def make_env(self, **kwargs: Any) -> "Counting":
        self.size = kwargs["height"], kwargs["width"], 3
        return self

    def reset(self, seed: int) -> tuple[int, dict[str, Any]]:
        self.time = 0
        return seed, {}

    def predict(self, obs: int, state: Any, deterministic: bool) -> tuple[int, Any]:
        return obs + 1, state

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return action, 0.0, False, self.time == 5, {}

    def render(self) -> NDArray[np.uint8]:
        return np.full(self.size, self.time, np.uint8)

    def close(self) -> None:
        pass


def test_an_episode_is_shown_in_real_time_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_strip, "load_best", lambda run_dir: Counting())
    monkeypatch.setattr(moving_strip.RunConfig, "read", lambda run_dir: Counting())
    film = moving_strip.episode(Path("run"), 2.0, (4, 3), seed=0)
    assert all(frame.shape == (3, 4, 3) for frame in film)
    shown = [int(frame[0, 0, 0]) for frame in film]
    # Twenty frames a second of ten, the last one held for 0.7 s, then the start again after 6 / 10 + 0.7 s.
    assert shown[:12] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert shown[12:26] == [5] * 14
    assert shown[26:28] == [0, 0] and len(shown) == 40


def test_a_strip_that_is_too_large_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 300, 500, 3), np.uint8)
    with pytest.raises(ValueError, match=r"strip.webp: \d+\.\d MB, choose a lower --quality"):
        moving_strip.save([list(noise)], tmp_path / "strip.webp", quality=95)


def test_all_of_the_stored_strip_moves() -> None:
    assert moving_strip.STRIP.stat().st_size < 2e6
    with Image.open(moving_strip.STRIP) as strip:
        frames: list[NDArray[np.uint8]] = []
        for k in range(0, strip.n_frames, 5):  # pyright: ignore[reportAttributeAccessIssue]
            strip.seek(k)
            frames.append(np.asarray(strip.convert("RGB")))
    assert len(frames) == 20
    for panel in np.split(np.stack(frames).astype(float), 4, axis=2):
        assert np.abs(panel[0] - panel[4]).max() > 50
