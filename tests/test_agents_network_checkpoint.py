"""Checkpoints without a pickle: an optimizer goes on from one as if nothing had happened."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from gradgym.agents.training.network_checkpoint import read_checkpoint, write_checkpoint


def learned(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        (network(torch.arange(3.0) + step) - 1.0).square().sum().backward()
        optimizer.step()


def made(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return network, torch.optim.Adam(network.parameters(), lr=0.1, betas=(0.7, 0.95))


def test_a_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    network, optimizer = made(0)
    learned(network, optimizer, 5)
    content = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    write_checkpoint(path, content | {"epoch": 5, "least": math.inf, "sizes": (3, 2), "name": None})
    found = read_checkpoint(path)
    assert (found["epoch"], found["least"], found["sizes"], found["name"]) == (5, math.inf, [3, 2], None)
    assert found["optimizer"]["state"].keys() == {0, 1, 2, 3}
    other, its_optimizer = made(1)
    other.load_state_dict(found["network"])
    its_optimizer.load_state_dict(found["optimizer"])
    assert its_optimizer.param_groups[0]["lr"] == 0.1
    for one in ((network, optimizer), (other, its_optimizer)):
        learned(*one, 5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_what_would_come_back_as_something_else_is_refused(tmp_path: Path) -> None:
    for key in ("0", "tensor"):
        with pytest.raises(ValueError, match=f"cannot hold the key '{key}'"):
            write_checkpoint(tmp_path / "file", {"network": {key: torch.zeros(1)}})
    with pytest.raises(ValueError, match="as JSON has them"):
        write_checkpoint(tmp_path / "file", {"network": made(0)[0]})
    assert not list(tmp_path.iterdir())
