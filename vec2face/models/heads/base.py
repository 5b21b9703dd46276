"""What the margin heads share: cosines to class centres, made harder for a sample's own class, then a softmax.

    z_ik = s * c_ik              for other classes k
    z_iy = s * own(c_iy, |x_i|)  for the sample's own class y
    loss = mean_i(log sum_k exp z_ik - z_iy) + regulariser

c_ik is the cosine of embedding x_i and centre w_k. The heads differ in `own_cosine`, `other_cosines` and `regulariser`.
Everything is computed in float32, in autocast too: a margin of an angle does not survive a mantissa of 8 bits.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.errors import InputError

# Keeps the derivative of the angle, 1 / sqrt(1 - c^2), finite: half a float32 step below 1 is 6e-8.
COSINE_LIMIT = 1.0 - 1e-6


class MarginHead(nn.Module, ABC):
    """A head. Its centres are not in it, so that processes can share them out; its buffers are its running statistics.

    Args:
        scale: s, by which cosines are multiplied before the softmax.
    """

    def __init__(self, *, scale: float) -> None:
        super().__init__()
        self.scale = scale

    @abstractmethod
    def own_cosine(self, cosine: Tensor, norms: Tensor) -> Tensor:
        """Return the cosines of samples to their own classes with the margin applied.

        Args:
            cosine: `(n,)` within [-`COSINE_LIMIT`, `COSINE_LIMIT`].
            norms: `(n,)` lengths of the samples' embeddings.
        """

    def other_cosines(self, cosine: Tensor, own: Tensor) -> Tensor:
        """Return the cosines to the other classes as the head weighs them.

        Args:
            cosine: `(B, K)`; what stands for a sample's own class is replaced afterwards.
            own: `(B,)` cosine of each sample to its own class, without gradient.
        """
        return cosine

    def regulariser(self, norms: Tensor) -> Tensor | None:
        """Return a term that is added to the loss, a scalar, or None if the head has none."""
        return None

    def observe(self, own: Tensor, norms: Tensor) -> None:
        """Take a batch, that of all processes, into the running statistics; called before its `logits` in training.

        Args:
            own: `(B,)` cosines to the own classes, without gradient.
            norms: `(B,)` lengths of the embeddings, without gradient.
        """

    def logits(self, cosine: Tensor, columns: Tensor, *, own: Tensor, norms: Tensor) -> Tensor:
        """Return the softmax's input.

        Args:
            cosine: `(B, K)` float32 cosines to K of the classes, or to all.
            columns: `(B,)` int64 column of each sample's own class, -1 where it is not among the K.
            own: `(B,)` cosine of each sample to its own class, without gradient.
            norms: `(B,)` lengths of the embeddings.
        """
        logits = self.other_cosines(cosine, own) * self.scale
        rows = (columns >= 0).nonzero()[:, 0]
        place = (rows, columns[rows])
        limited = cosine[place].clamp(-COSINE_LIMIT, COSINE_LIMIT)
        return logits.index_put(place, self.own_cosine(limited, norms[rows]) * self.scale)

    def loss(self, embeddings: Tensor, centres: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch over all classes, with gradients for embeddings and centres.

        The running statistics are used as they are; see `observe`.

        Args:
            embeddings: `(B, D)` raw embeddings.
            centres: `(C, D)` class centres, of any length.
            labels: `(B,)` int64, 0 to C - 1.

        Raises:
            InputError: a label is out of range.
        """
        require_labels(labels, len(centres))
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine, norms = cosines(embeddings, centres)
            own = cosine.detach().gather(1, labels[:, None])[:, 0]
            loss = F.cross_entropy(self.logits(cosine, labels, own=own, norms=norms), labels)
            term = self.regulariser(norms)
        return loss if term is None else loss + term


def cosines(embeddings: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return the `(B, K)` cosines of `(B, D)` embeddings to `(K, D)` centres, and the embeddings' `(B,)` lengths.

    Call it with autocast off: a matrix product would be rounded to half precision otherwise.
    """
    values = embeddings.float()
    return F.normalize(values) @ F.normalize(centres.float()).T, values.norm(dim=1)


def add_angle(cosine: Tensor, cos_margin: Tensor, sin_margin: Tensor) -> Tensor:
    """Return cos(theta + m) for cos(theta), each `(n,)` (or a scalar for the margin), 0 <= theta <= pi."""
    return cosine * cos_margin - torch.sqrt(1 - cosine.square()) * sin_margin


def require_labels(labels: Tensor, classes: int) -> None:
    """Raise `InputError` unless every label is 0 to `classes` - 1."""
    if len(labels) == 0:
        return
    lowest, highest = (int(value) for value in torch.aminmax(labels))
    if lowest < 0 or highest >= classes:
        bad = lowest if lowest < 0 else highest
        raise InputError(
            f"the label {bad} is out of range: {classes} classes are numbered 0 to {classes - 1}; "
            "number the people without gaps, or state the right number of classes."
        )
