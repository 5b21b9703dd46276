"""The contact sheets that show what a generator can do: sampled people, and many images of one of them.

Perturbations, masks and appearance codes are drawn as a dataset draws them, so that the sheets show what
`vec2face generate` would make of the same identities under the same seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vec2face.config.generation import Variation
from vec2face.errors import ContractError
from vec2face.evaluation.sheets import SheetRow, draw_sheet, person_sheet
from vec2face.identities import IdentityBank
from vec2face.identities.sources import CandidateSource
from vec2face.identities.variation import perturb_identity, sigma_schedule
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.masking import draw_masks
from vec2face.models.pixels import to_pixels
from vec2face.seeding import rng_for

COLUMNS = 8
BATCH = 32


@dataclass(frozen=True)
class Showcase:
    """The two sheets."""

    people: Image.Image
    person: Image.Image


def draw_showcase(generator: Vec2FaceGenerator, bank: IdentityBank, *, images: int, seed: int) -> Showcase:
    """Render every identity of a bank once, unperturbed, and the first one `images` times with the usual mixture.

    Args:
        generator: in eval mode.
        bank: identities in the generator's feature space, in raw feature units.
        images: of the first identity, 1 or more.
        seed: of perturbations and masks.

    Raises:
        ContractError: the vectors do not fit the generator.
    """
    bank.require_width("the generator's input", generator.config.feature_dim)
    sheet = [
        _render(generator, bank.vectors[number][None], identity=number, images=[0], seed=seed)[0]
        for number in range(len(bank))
    ]
    sigmas = sigma_schedule(images, [(part.sigma, part.share) for part in Variation().mixture], seed, 0)
    vectors = perturb_identity(
        bank.vectors[0], sigmas, sigma_unit=generator.config.sigma_unit, run_seed=seed, identity=0
    )
    of_one = _render(generator, vectors, identity=0, images=range(images), seed=seed)
    rows = [SheetRow("", sheet[start : start + COLUMNS]) for start in range(0, len(sheet), COLUMNS)]
    return Showcase(
        people=draw_sheet(rows, title=f"{len(bank)} people who do not exist", note="one image of each, none picked"),
        person=person_sheet(
            of_one,
            [f"{sigma:.2g}" for sigma in sigmas],
            title=f"One person, {images} images (strength of the perturbation)",
            columns=COLUMNS,
        ),
    )


def require_feature_space(source: CandidateSource, generator: Vec2FaceGenerator) -> None:
    """Raise `ContractError` if candidates are known to be of another feature space than the generator's."""
    space = source.provenance.get("feature_space")
    if space is not None and space != generator.config.feature_space:
        raise ContractError(
            f"the statistics describe {space!r}, but the generator takes vectors of "
            f"{generator.config.feature_space!r}; give --statistics or --bank of its own space."
        )


@torch.inference_mode()
def _render(
    generator: Vec2FaceGenerator, vectors: NDArray[np.float32], *, identity: int, images: Sequence[int], seed: int
) -> list[NDArray[np.uint8]]:
    noise, rate = draw_masks(seed, identity, images, generator.config.sampling_mask)
    codes = _appearance(generator.config.appearance_dim, identity=identity, images=images, seed=seed)
    pixels = []
    for start in range(0, len(vectors), BATCH):
        part = slice(start, start + BATCH)
        output = generator(
            torch.from_numpy(vectors[part].copy()),
            mask_noise=torch.from_numpy(noise[part]),
            mask_rate=torch.from_numpy(rate[part]),
            appearance=torch.from_numpy(codes[part]) if codes.shape[1] else None,
        )
        pixels += list(to_pixels(output.image).numpy())
    return pixels


def _appearance(width: int, *, identity: int, images: Sequence[int], seed: int) -> NDArray[np.float32]:
    codes = [rng_for(seed, "appearance", identity, image).standard_normal(width, np.float32) for image in images]
    return np.stack(codes)
