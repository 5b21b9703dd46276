"""Training a recogniser with a validation set: training and evaluation joined."""

from collections.abc import Sequence
from pathlib import Path

from vec2face.config.recognition import RecognizerRecipe
from vec2face.evaluation.folds import fold_accuracy
from vec2face.evaluation.subjects import NetworkSubject
from vec2face.evaluation.verification import pair_distances
from vec2face.evaluation.verification_sets import open_verification_set
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.training.loop import TrainingReporter, TrainingSummary
from vec2face.training.recognizer import Validation, train_recognizer

EMBED_BATCH = 64


def run_recognizer_training(
    recipe: RecognizerRecipe,
    *,
    data: Sequence[str | Path],
    out: Path,
    reporter: TrainingReporter,
    device: str = "auto",
) -> TrainingSummary:
    """Train, or resume, a recogniser, with the validation set that the recipe names, if it names one.

    Args and errors are those of `train_recognizer`; also:

    Raises:
        InputError: the validation set is unusable.
    """
    validation = open_validation(recipe.validation) if recipe.validation else None
    return train_recognizer(recipe, data=data, out=out, validation=validation, reporter=reporter, device=device)


def open_validation(source: str) -> Validation:
    """Open a verification set, in any form that `vec2face evaluate verification` takes, to choose checkpoints on.

    Raises:
        InputError: there is no such set, or it is unusable.
    """
    pairs = open_verification_set(source)

    def accuracy(network: FaceEmbedder) -> float:
        subject = NetworkSubject({}, network, None)
        raw = subject.embed(pairs.images, name=pairs.title, batch_size=EMBED_BATCH)
        return fold_accuracy(pair_distances(raw), pairs.same, folds=pairs.folds).mean

    return Validation(pairs.title, pairs.digest, accuracy)
