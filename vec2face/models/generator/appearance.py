"""What a picture shows beyond who is in it: pose, expression, light, background.

The identity vector says little of these, so a network that only sees the vector must paint their average, which is a
blur. An appearance code, drawn from a normal distribution, tells the small generator which of the many pictures of a
person is meant. While training, an encoder reads the code off the real picture, held close to that distribution
(conditional variational autoencoder: Sohn et al. 2015; Kingma & Welling, arXiv 1312.6114). The published generator has
none.

The codes read off real pictures are near the normal distribution, not of it, and what lies between is painted badly. So
the generator keeps their mean and covariance, measured after training, and turns a standard normal code into one of
theirs (ex-post density estimation: Ghosh et al., arXiv 1903.12436).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAP_SIDE = 7


class AppearanceInput(nn.Module):
    """Gives a standard normal code the distribution of real ones, then adds it to the token map and the vector's token.

    Before `set_distribution` the two distributions are taken for equal, as they are while training.

    Args:
        dim: width A of the code.
        map_channels: channels C of the 7x7 token map.
        style_width: width W of the vector's token.
    """

    def __init__(self, *, dim: int, map_channels: int, style_width: int) -> None:
        super().__init__()
        self.to_map = nn.Linear(dim, map_channels * MAP_SIDE**2, bias=False)
        self.to_style = nn.Linear(dim, style_width, bias=False)
        # Small, not zero: the encoder's first gradients pass through these.
        nn.init.normal_(self.to_map.weight, std=0.1 * dim**-0.5)
        nn.init.normal_(self.to_style.weight, std=0.1 * dim**-0.5)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("factor", torch.eye(dim))

    def set_distribution(self, mean: Tensor, covariance: Tensor) -> None:
        """State mean `(A,)` and covariance `(A, A)`, positive definite, of the codes read off real pictures."""
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("factor").copy_(torch.linalg.cholesky(covariance.double()))

    def standardise(self, read: Tensor) -> Tensor:
        """Return the standard normal code that stands for a code `(B, A)` read off a picture."""
        centred = (read - self.get_buffer("mean")).T
        return torch.linalg.solve_triangular(self.get_buffer("factor"), centred, upper=False).T

    def forward(self, token_map: Tensor, style: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changed `(B, C, 7, 7)` map and `(B, W)` token for `(B, A)` codes."""
        code = self.get_buffer("mean") + code @ self.get_buffer("factor").T
        added = self.to_map(code).view(len(code), MAP_SIDE, MAP_SIDE, -1).permute(0, 3, 1, 2)
        return token_map + added, style + self.to_style(code)


class AppearanceEncoder(nn.Module):
    """Reads the code off a picture.

    Args:
        dim: width A of the code.
        widths: channels at 28, 14 and 7 pixels.
    """

    def __init__(self, *, dim: int, widths: tuple[int, int, int] = (32, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 4
        for width in widths:
            layers += [nn.Conv2d(previous, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            previous = width
        layers += [nn.Conv2d(previous, previous, 3, padding=1), nn.LeakyReLU(0.2), nn.Flatten()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(previous * MAP_SIDE**2, 2 * dim)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the code, `(B, A)` each.

        Args:
            images: `(B, 3, 112, 112)` RGB in [-1, 1].
            valid: `(B, 1, 112, 112)`, 1 where the picture is real; the rest is not looked at.
        """
        seen = F.avg_pool2d(torch.cat([images * valid, valid], dim=1), 2)
        mean, log_variance = self.head(self.body(seen.contiguous(memory_format=torch.channels_last))).chunk(2, dim=1)
        return mean.float(), log_variance.float().clamp(-8, 4)
