"""The guard of batches whose adjoints differ by orders of magnitude."""

import torch

from gradgym.agents.pushing.adjoints import cut


def test_long_rows_get_the_median_length_and_keep_their_direction() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-600.0, 800.0]], dtype=torch.float64)
    expected = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-3.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(cut(rows[:, :, None]).squeeze(-1), expected)


def test_nothing_comes_of_zeros() -> None:
    assert not cut(torch.zeros(4, 2, 3)).any()
