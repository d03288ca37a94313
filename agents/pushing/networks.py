"""Networks that decode a video knot by knot: equations 3 and 4 of Aceituno et al., with the sizes of its section 5.

The paper leaves open, chosen here: kernels of 5 and steps of 2 pixels; 75 LSTM units to each direction, and a linear
layer to the latent vectors; layers in the order linear, batch normalisation, ReLU, dropout.
"""

import torch
from torch import Tensor, nn

from ...envs.pushing_video import FRAME

LATENT = 75
_LAYERS, _HIDDEN = 5, 3  # of the LSTM, and of each MLP
_MOMENTUM = 0.5  # of normalisations: with the usual 0.1 their statistics lag behind weights that move in 100 steps


class VideoEncoder(nn.Module):
    """Videos (B, T, 50, 50, 3), of which 0 to 255 are uint8 or else 0 to 1, to latent vectors (B, T, 75).

    Args:
        dropout: after the fully connected layers.

    Raises:
        ValueError: from its call, if the video has another shape.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.frames = nn.Sequential(
            *(nn.Conv2d(3, 6, 5, 2), nn.ReLU()),
            *(nn.Conv2d(6, 12, 5, 2), nn.ReLU()),
            *(nn.Conv2d(12, 24, 5, 2), nn.ReLU()),
            nn.Flatten(),
        )
        self.code = connected(self.frames(torch.zeros(1, 3, FRAME, FRAME)).shape[1], LATENT, dropout)
        self.lstm = nn.LSTM(LATENT, LATENT, _LAYERS, batch_first=True, bidirectional=True)
        self.latent = nn.Linear(2 * LATENT, LATENT)

    def forward(self, video: Tensor) -> Tensor:
        if video.dim() != 5 or tuple(video.shape[2:]) != (FRAME, FRAME, 3):
            raise ValueError(f"video has shape {tuple(video.shape)}: must be (B, T, {FRAME}, {FRAME}, 3)")
        # The background is white: what is nothing to see shall be 0.
        scale = 255.0 if video.dtype == torch.uint8 else 1.0
        shown = 1.0 - video.to(self.latent.weight.dtype) / scale
        code = self.code(self.frames(shown.flatten(0, 1).permute(0, 3, 1, 2)))
        return self.latent(self.lstm(code.unflatten(0, video.shape[:2]))[0])


class Decoder(nn.Module):
    """An MLP of each latent vector (B, T, 75), to `outputs` numbers that are `offset + scale * its last layer`.

    Both are buffers (outputs,), of the training data: so the network predicts numbers about 0 of size 1, and 100
    steps of 1e-4 are enough to leave the mean.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, outputs: int, dropout: float) -> None:
        super().__init__()
        hidden = [connected(LATENT, LATENT, dropout) for _ in range(_HIDDEN)]
        self.layers = nn.Sequential(nn.BatchNorm1d(LATENT, momentum=_MOMENTUM), *hidden, nn.Linear(LATENT, outputs))
        self.register_buffer("offset", torch.zeros(outputs))
        self.register_buffer("scale", torch.ones(outputs))

    def forward(self, latent: Tensor) -> Tensor:
        found = self.layers(latent.flatten(0, 1)).unflatten(0, latent.shape[:2])
        return self.offset + self.scale * found


def connected(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """A fully connected layer with batch normalisation, ReLU and dropout."""
    return nn.Sequential(
        nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, momentum=_MOMENTUM), nn.ReLU(), nn.Dropout(dropout)
    )
