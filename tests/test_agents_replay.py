from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from gradgym.agents.mbpo.episode_gradients import EpisodeRecorder
from gradgym.agents.mbpo.replay import Batch, GradientBuffer, PredictedTransitions, TransitionBuffer

OBS = spaces.Box(-np.inf, np.inf, (2,), np.float32)
ACT = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))
SCALE = np.array([2.0, 5.0], np.float32)


def info_at(k: int, level: str = "action") -> dict[str, Any]:
    gradients = {"dobs_daction": np.full((2, 2), float(k)), "dreward_daction": np.array([k, 2.0 * k])}
    if level == "full":
        gradients |= {
            "dobs_dstate": np.full((2, 3), float(k)),
            "dreward_dstate": np.full(3, float(k)),
            "dstate_daction": np.full((3, 2), float(k)),
            "dstate_dstate": np.full((3, 3), float(k)),
        }
    return {"gradients": gradients}


def fill(buffer: Any, steps: int, n_envs: int = 1) -> None:
    """Step k has observation k, next observation k + 0.5, reward k; every third ends an episode by time."""
    for k in range(steps):
        row = np.ones((n_envs, 2)) * k
        done = np.full(n_envs, k % 3 == 2)
        infos = [info_at(k) | {"TimeLimit.truncated": bool(d)} for d in done]
        buffer.add(row, row + 0.5, row / 10, np.full(n_envs, float(k)), done, infos)


@pytest.mark.parametrize("n_envs", [1, 3])
def test_drawn_gradients_belong_to_the_drawn_transitions(n_envs: int) -> None:
    buffer = GradientBuffer(5 * n_envs, OBS, ACT, n_envs=n_envs)
    fill(buffer, 8, n_envs)  # more than it holds: the oldest are gone
    batches, gradients = buffer.draw_with_gradients(3, 16)
    for batch, gradient in zip(batches, gradients, strict=True):
        k = batch.rewards
        assert k.min() >= 3
        assert torch.equal(batch.obs[:, 0], k) and torch.equal(batch.next_obs[:, 0], k + 0.5)
        assert torch.allclose(batch.actions[:, 1], k / 10)
        # d/d(scaled action) = d/d(action) * half the action's range
        assert torch.allclose(gradient.dobs_daction[:, 1], k[:, None] * torch.tensor(SCALE))
        assert torch.allclose(gradient.dreward_daction, k[:, None] * torch.tensor([1.0, 2.0]) * torch.tensor(SCALE))


def test_time_limits_end_the_task_only_where_asked() -> None:
    for handle, expected in ((True, 0.0), (False, 1.0)):
        buffer = TransitionBuffer(9, OBS, ACT, handle_timeout_termination=handle)
        fill(buffer, 9)
        everything = buffer.everything()
        assert everything.dones[2] == expected and everything.dones[1] == 0.0


def test_batches_are_float32_whatever_is_observed() -> None:
    buffer = TransitionBuffer(9, spaces.Box(-np.inf, np.inf, (2,), np.float64), ACT)
    fill(buffer, 9)
    assert {field.dtype for field in (*buffer.draw(1, 4)[0], buffer.draw_starts(4)[0])} == {torch.float32}


def test_starts_know_their_time() -> None:
    buffer = TransitionBuffer(9, OBS, ACT)
    fill(buffer, 7)
    obs, time = buffer.draw_starts(20)
    assert torch.equal(obs[:, 0].long() % 3, time)


def test_missing_gradients_name_the_option() -> None:
    buffer = GradientBuffer(5, OBS, ACT)
    with pytest.raises(ValueError, match='gradients="action"'):
        buffer.add(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(1), np.zeros(1), [{}])


def test_recorder_returns_whole_episodes_with_scaled_gradients() -> None:
    recorder = EpisodeRecorder(2, ACT)
    for k in range(3):
        ends = np.array([k == 2, k == 1])
        row = np.stack([np.full(2, k), np.full(2, 10 + k)])
        infos = [info_at(k, "full") | {"TimeLimit.truncated": True}, info_at(k, "full")]
        recorder.add(row, row + 0.5, row / 10, ends, infos)
    (first, _, first_timeout), (second, last_obs, timeout) = recorder.take_finished()
    assert first.obs[:, 0].tolist() == [10, 11] and not first_timeout
    assert second.obs[:, 0].tolist() == [0, 1, 2] and timeout and last_obs.tolist() == [2.5, 2.5]
    assert np.allclose(second.dstate_daction[2], 2.0 * SCALE)
    assert np.allclose(second.dobs_dstate[2], 2.0)
    assert recorder.take_finished() == []
    # The next episode of the first environment has nothing of the last one.
    row = np.ones((2, 2))
    recorder.add(row, row, row, np.array([True, False]), [info_at(7, "full"), info_at(7, "full")])
    ((third, _, _),) = recorder.take_finished()
    assert len(third.obs) == 1 and third.dreward_dstate[0, 0] == 7.0


def test_predicted_transitions_overwrite_the_oldest() -> None:
    ring = PredictedTransitions(4, 1, 1)
    for start in (0, 3):
        rows = torch.arange(start, start + 3).float()
        ring.add(Batch(rows[:, None], rows[:, None], rows[:, None], rows, torch.zeros(3)))
    drawn = ring.draw(1, 100)[0].rewards
    assert set(drawn.tolist()) == {2.0, 3.0, 4.0, 5.0}
