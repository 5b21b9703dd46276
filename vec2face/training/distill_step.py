"""One step of a distillation: teacher and student render the same requests, and the student's losses."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vec2face.config.distillation import DistillRecipe
from vec2face.models.generator.generator import GeneratorOutput, Vec2FaceGenerator
from vec2face.models.perceptual import Lpips
from vec2face.training import losses
from vec2face.training.adversarial import Adversary, weigh_adversarial
from vec2face.training.distill_vectors import Requests
from vec2face.training.generator_step import last_weights
from vec2face.training.loss_network import LossNetwork, Views
from vec2face.training.objective import Pictures, has_begun, perceptual_distance, reconstruction_losses
from vec2face.training.portion import Portion
from vec2face.training.processes import mean_over_processes


class Student(nn.Module):
    """The generator being trained, and the maps from its tokens to the teacher's; only the generator is kept.

    Args:
        generator: the student.
        teacher_width: width of the teacher's tokens. Where the student's is the same the maps are the identity.
    """

    def __init__(self, generator: Vec2FaceGenerator, *, teacher_width: int) -> None:
        super().__init__()
        self.generator = generator
        width = generator.config.width

        def to_teacher() -> nn.Module:
            if width == teacher_width:
                return nn.Identity()
            # Nearly nothing at first: a teacher's tokens may vary little, and a random map of others would overshoot.
            linear = nn.Linear(width, teacher_width)
            nn.init.normal_(linear.weight, std=0.1 * width**-0.5)
            nn.init.zeros_(linear.bias)
            return linear

        self.tokens_to_teacher, self.token_map_to_teacher = to_teacher(), to_teacher()


def relative_error(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean squared error of `(B, 50, W)` tokens over the variance of the teacher's: 1 for knowing their mean only."""
    theirs = theirs.detach().float()
    centred = theirs - theirs.mean(dim=(0, 1), keepdim=True)
    variance = mean_over_processes(centred.square().mean()).clamp_min(1e-12)
    return (ours.float() - theirs).square().mean() / variance


@torch.no_grad()
def ask_teacher(teacher: Vec2FaceGenerator, requests: Requests, *, mask_ratio_min: float) -> GeneratorOutput:
    """Render requests as the student is meant to; the image is not clipped."""
    return render(teacher, requests, mask_ratio_min=mask_ratio_min)


def render(generator: Vec2FaceGenerator, requests: Requests, *, mask_ratio_min: float) -> GeneratorOutput:
    """Render requests with either generator."""
    output: GeneratorOutput = generator(
        requests.features,
        mask_noise=requests.mask_noise,
        mask_rate=requests.mask_rate,
        mask_ratio_min=mask_ratio_min,
        appearance=requests.appearance if requests.appearance.shape[1] else None,
    )
    return output


class DistillStep:
    """Computes the losses of a step, and lets the discriminator take its own.

    Args:
        recipe: the run's recipe.
        teacher: frozen, in eval mode, on the device of the training.
        student: what is being trained.
        mask_ratio_min: share of tokens dropped from both encoders.
        identity_network: asks whom a rendering shows, for a recipe with an identity loss.
        map_network: compares feature maps, for a recipe with a loss that does.
        lpips: the network of the perceptual loss, for a recipe that asks for it.
        adversary: for a recipe with an adversarial loss.
        autocast: makes the context of a forward pass.
    """

    def __init__(
        self,
        *,
        recipe: DistillRecipe,
        teacher: Vec2FaceGenerator,
        student: Student,
        mask_ratio_min: float,
        identity_network: LossNetwork | None,
        map_network: LossNetwork | None,
        lpips: Lpips | None,
        adversary: Adversary | None,
        autocast: Callable[[], torch.autocast],
    ) -> None:
        self.recipe, self.teacher, self.student, self.mask_ratio_min = recipe, teacher, student, mask_ratio_min
        self.identity_network, self.map_network = identity_network, map_network
        self.lpips, self.adversary, self.autocast = lpips, adversary, autocast

    def __call__(self, requests: Requests, portion: Portion) -> dict[str, Tensor]:
        """Return the weighted losses of a portion of a step; their sum is what the student minimises."""
        weights = self.recipe.losses
        self.student.train()
        with self.autocast():
            theirs = ask_teacher(self.teacher, requests, mask_ratio_min=self.mask_ratio_min)
            ours = render(self.student.generator, requests, mask_ratio_min=self.mask_ratio_min)
        # Clipped, as the teacher's images are when they are written.
        real = theirs.image.float().clamp(-1, 1).contiguous(memory_format=torch.channels_last)
        everywhere = torch.ones_like(real[:, :1])
        pictures = Pictures(real=real, fake=ours.image.float(), valid=everywhere, anchored=everywhere)
        result = reconstruction_losses(weights, ours, pictures) | self._token_losses(ours, theirs)
        begun = has_begun(weights, portion.images_before)
        views = self._look(pictures, portion, begun)
        if begun["perceptual"]:
            result["perceptual"] = weights.perceptual * perceptual_distance(
                pictures.fake, pictures.real, views, lpips=self.lpips, autocast=self.autocast
            )
        if begun["identity"]:
            result["identity"] = weights.identity * losses.identity_loss(views.embedding, requests.features)
        if begun["adversarial"] and self.adversary is not None:
            shown = self.adversary.exhibits(
                real=real, fake=pictures.fake, views=views, features=requests.features, valid=everywhere
            )
            self.adversary.train(shown, portion.step)
            told = self.adversary.generator_losses(shown)
            weigh_adversarial(result, told, weights, last=last_weights(self.student.generator))
        return result

    def _token_losses(self, ours: GeneratorOutput, theirs: GeneratorOutput) -> dict[str, Tensor]:
        weights, result = self.recipe.losses, {}
        with self.autocast():
            if weights.teacher_tokens:
                error = relative_error(self.student.tokens_to_teacher(ours.tokens), theirs.tokens)
                result["teacher_tokens"] = weights.teacher_tokens * error
            if weights.teacher_token_map:
                error = relative_error(self.student.token_map_to_teacher(ours.token_map), theirs.token_map)
                result["teacher_token_map"] = weights.teacher_token_map * error
        return result

    def _look(self, pictures: Pictures, portion: Portion, begun: dict[str, bool]) -> Views:
        weights = self.recipe.losses
        maps = (begun["perceptual"] and weights.perceptual_compares_maps) or (
            begun["adversarial"] and weights.discriminator_judges_maps
        )
        views = Views(pictures.fake.new_zeros(0), [], [])
        if maps and self.map_network is not None:
            views = self.map_network.look(pictures.fake, pictures.real, portion)
        if (
            begun["identity"]
            and self.identity_network is not None
            and not (maps and self.identity_network is self.map_network)
        ):
            seen = self.identity_network.look(pictures.fake, None, portion)
            views = Views(seen.embedding, views.fake_maps, views.real_maps)
        return views
