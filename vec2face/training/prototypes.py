"""Each image against the people of its own batch: a loss that needs no class centres.

At the beginning of a training class centres are random, and an image's own one is seen so seldom that for some hundred
images a class nothing is learned. The mean of a person's other images in the batch means something from the first step.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def prototype_loss(embeddings: Tensor, labels: Tensor, *, images: int, scale: float) -> Tensor:
    """Return the mean cross-entropy of finding each image's person among the batch's people.

    A person is the mean of the normalised embeddings, for the person's own images without the one that is compared
    (softmax variant of GE2E, arXiv 1710.10467, equations 6 and 8, with a given scale and no offset). Where a person
    stands in the batch twice, the other group is neither right nor wrong.

    Args:
        embeddings: `(K P, D)`: an image of each of P people, then another of each, K times.
        labels: `(K P,)` int64 classes in that order.
        images: K, 2 or more.
        scale: by which cosines are multiplied.
    """
    units = F.normalize(embeddings.float(), dim=1)
    groups = units.view(images, -1, units.shape[1])
    sums = groups.sum(dim=0)
    others = F.normalize(sums - groups, dim=2)
    cosines = units @ F.normalize(sums, dim=1).T
    people = len(sums)
    own = torch.arange(people, device=units.device).repeat(images)
    is_own = F.one_hot(own, people).bool()
    cosines = torch.where(is_own, (groups * others).sum(dim=2).reshape(-1, 1), cosines)
    twice = (labels[:, None] == labels[:people]) & ~is_own
    return F.cross_entropy(scale * cosines.masked_fill(twice, -torch.inf), own)
