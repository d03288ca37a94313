"""Residual networks by configuration; ResNet-50 (He et al., 2015) is one of them.

Parameters have torchvision's names, so that a file of weights from there can be read.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

_EXPANSION = 4  # of a bottleneck's channels


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of a residual network; the defaults are ResNet-50's.

    Attributes:
        blocks: of each stage; all but the first stage halve the image and double the channels.
        bottleneck: blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions, with four times as many channels outside; or of two
            of 3 x 3.
        width: channels of the first stage.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    bottleneck: bool = True
    width: int = 64

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 1 or self.width < 1:
            raise ValueError(f"{self}: needs a stage or more, a block or more in each, and channels")

    @property
    def features(self) -> int:
        """How many numbers describe an image."""
        return self.width * 2 ** (len(self.blocks) - 1) * (_EXPANSION if self.bottleneck else 1)


class ResNet(nn.Module):
    """Images (n, 3, H, W) to features (n, F)."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, config.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.width)
        channels = config.width
        self.stages: list[nn.Sequential] = []
        for i, count in enumerate(config.blocks):
            stage, inner = nn.Sequential(), config.width * 2**i
            for k in range(count):
                block = _Block(channels, inner, 2 if i > 0 and k == 0 else 1, config.bottleneck)
                stage.append(block)
                channels = block.channels
            self.add_module(f"layer{i + 1}", stage)
            self.stages.append(stage)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(images)).relu(), 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
        return x.mean((-2, -1))

    def load_weights(self, file: Path) -> None:
        """Reads a file of torchvision's, or of `torch.save(resnet.state_dict(), file)`, of the same configuration.

        ValueError, in one line, if it is missing or does not fit.
        """
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            self.load_state_dict({name: x for name, x in state.items() if not name.startswith("fc.")})
        except FileNotFoundError:
            raise ValueError(f"{str(file)!r}: there is no such file of weights") from None
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{str(file)!r}: no weights of this network: {reason}") from None


class _Block(nn.Module):
    """A residual block; `channels` are those of its output."""

    def __init__(self, channels: int, inner: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.channels = inner * _EXPANSION if bottleneck else inner
        # (channels, kernel, stride) of each convolution; it is the 3 x 3 that halves the image, as in torchvision
        layers = [(inner, 1, 1), (inner, 3, stride), (self.channels, 1, 1)]
        layers = layers if bottleneck else [(inner, 3, stride), (inner, 3, 1)]
        self.convolutions: list[tuple[nn.Module, nn.Module]] = []
        before = channels
        for i, (after, kernel, step) in enumerate(layers, 1):
            pair = (nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False), nn.BatchNorm2d(after))
            self.add_module(f"conv{i}", pair[0])
            self.add_module(f"bn{i}", pair[1])
            self.convolutions.append(pair)
            before = after
        self.downsample = nn.Sequential()
        if stride > 1 or channels != self.channels:
            self.downsample.append(nn.Conv2d(channels, self.channels, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(self.channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (convolution, norm) in enumerate(self.convolutions):
            y = norm(convolution(y if i == 0 else y.relu()))
        return (y + self.downsample(x)).relu()
