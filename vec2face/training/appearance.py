"""The appearance code: read off the real picture while a generator is trained, or drawn; measured at the end."""

import numpy as np
import torch
from torch import Tensor

from vec2face.data.facepack import FacePack
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.training.batches import read_batch
from vec2face.training.losses import valid_region
from vec2face.training.processes import mean_over_processes
from vec2face.training.whole_faces import FEWEST_FACES, rows_of_whole_faces

FIT_BATCH = 128
MOST_FITTED = 4096
# In steps from the mean code of padded crops to that of whole ones. Chosen by eye on sheets of drawn looks: at 0 one in
# ten is over-sharp, as padded looks are; at 1 single faces take on wild colours.
AWAY_FROM_PADDED = 0.5


def divergence_loss(mean: Tensor, log_variance: Tensor, counted: Tensor) -> Tensor:
    """Kullback-Leibler divergence, in nats an image, of N(mean, exp(log_variance)) from the standard normal.

    Source: Kingma & Welling, arXiv 1312.6114, appendix B.

    Args:
        mean, log_variance: `(B, A)`.
        counted: `(B,)`, 1 for the images that count.
    """
    nats = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
    return (nats * counted).sum() / mean_over_processes(counted.sum()).clamp_min(1.0)


def draw_appearance(
    generator: Vec2FaceGenerator, images: Tensor, valid: Tensor, has_picture: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the codes `(B, A)` to render with, and their divergence loss.

    Each is read off the picture at its place. A vector without a picture borrows the pose and light of a stranger's:
    codes drawn from the normal lie where no read one does, and teach a second, painted manner.

    Args:
        generator: one that takes an appearance code.
        images: `(B, 3, 112, 112)` real pictures in [-1, 1].
        valid: `(B, 1, 112, 112)`, 1 where a picture is real.
        has_picture: `(B, 1, 1, 1)`, 1 where the vector belongs to the picture; elsewhere the code trains no encoder.
        noise: `(B, A)` standard normal.
    """
    mean, log_variance = generator.encode_appearance(images, valid)
    read = mean + (0.5 * log_variance).exp() * noise
    counted = has_picture.flatten()
    return torch.where(counted[:, None] > 0, read, read.detach()), divergence_loss(mean, log_variance, counted)


@torch.no_grad()
def fit_appearance(generator: Vec2FaceGenerator, faces: FacePack) -> None:
    """Measure the codes of a pack's training faces, and state the mean and covariance of drawn ones in the generator.

    The covariance is that of the codes' means plus the mean of their variances. Faces whose whole crop is real are used
    where there are enough of them, so that drawn looks hold no padding; the mean is then taken a little further away
    from the codes of padded crops, with whose looks nothing says what lies outside a face.

    Args:
        generator: one that takes an appearance code, in eval mode; others are left alone.
        faces: what it was trained on.
    """
    if generator.appearance is None:
        return
    rows, padded = rows_of_whole_faces(faces), np.flatnonzero(~faces.holdout & ~faces.whole)
    codes, spread = _read_codes(generator, faces, rows)
    mean = codes.mean(dim=0)
    if faces.whole[rows].all() and len(padded) > FEWEST_FACES:
        mean = mean + AWAY_FROM_PADDED * (mean - _read_codes(generator, faces, padded)[0].mean(dim=0))
    generator.appearance.set_distribution(mean, torch.cov(codes.T) + torch.diag(spread))


def _read_codes(generator: Vec2FaceGenerator, faces: FacePack, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return mean codes `(2N, A)` of some of the rows and of their mirror images, and the codes' variance `(A,)`."""
    rows = rows[:: -(-len(rows) // MOST_FITTED)]
    device = next(generator.parameters()).device
    means, variances = [], []
    for start in range(0, len(rows), FIT_BATCH):
        chosen = rows[start : start + FIT_BATCH]
        for side in (False, True):
            batch = read_batch(faces, chosen, np.full(len(chosen), side))
            valid = valid_region(batch.valid, batch.images.shape[-1])
            mean, log_variance = generator.encode_appearance(batch.images.to(device), valid.to(device))
            means.append(mean.double())
            variances.append(log_variance.double().exp())
    return torch.cat(means), torch.cat(variances).mean(dim=0)
