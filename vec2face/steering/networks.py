"""Estimators that are networks: the embedded ones, 6DRepNet's head pose, and quality by the length of an embedding."""

from typing import Literal

from torch import Tensor, nn

from vec2face.checkpoints import load_embedder, load_estimators, load_pose_estimator
from vec2face.errors import ContractError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.models.pose.sixdrepnet import SixDRepNet
from vec2face.steering.estimators import AttributeEstimator, SharedNetwork
from vec2face.steering.targets import AttributeFacts

Angle = Literal["pitch", "yaw", "roll"]

POSE_WEIGHTS = "sixdrepnet"
QUALITY_WEIGHTS = "magface-r100-glint360k"

_COLUMNS: dict[Angle, int] = {"pitch": 0, "yaw": 1, "roll": 2}
# The published evaluation (AFLW2000) keeps angles within 99 degrees; yaw is an arc tangent that ends at 90.
_ANGLES: dict[Angle, AttributeFacts] = {
    "pitch": AttributeFacts("pitch", "degrees", -99.0, 99.0, tolerance=5.0),
    "yaw": AttributeFacts("yaw", "degrees", -90.0, 90.0, tolerance=5.0),
    "roll": AttributeFacts("roll", "degrees", -99.0, 99.0, tolerance=5.0),
}
# MagFace (arXiv 2103.06627) spreads the length of its embeddings over 10 to 110.
_QUALITY = AttributeFacts("quality", "length of the embedding", 10.0, 110.0, tolerance=1.0)


class NetworkAttribute(AttributeEstimator):
    """One output of an `AttributeNetwork`.

    Args:
        column: which one.
        network: the network of all of them; what is known of the attribute stands in it.
        values: the network's `estimate`, shared among its attributes so that it runs once.
    """

    def __init__(self, column: int, *, network: AttributeNetwork, values: SharedNetwork) -> None:
        known = network.attributes[column]
        self.facts = AttributeFacts(known.name, known.unit, known.low, known.high, known.tolerance, known.error)
        self.networks = (network,)
        self._column, self._values = column, values

    def estimate(self, images: Tensor) -> Tensor:
        return self._values(images)[:, self._column]


class PoseAngle(AttributeEstimator):
    """One signed angle of the head, in degrees; see `SixDRepNet.estimate`.

    Its error on aligned crops is not known: the network was trained on looser ones.

    Args:
        angle: which one.
        network: the estimator of all three.
        angles: the network's `estimate`, shared among the angles of one pose so that it runs once.
    """

    def __init__(self, angle: Angle, *, network: SixDRepNet, angles: SharedNetwork) -> None:
        self.facts, self.networks = _ANGLES[angle], (network,)
        self._column, self._angles = _COLUMNS[angle], angles

    def estimate(self, images: Tensor) -> Tensor:
        return self._angles(images)[:, self._column]


class FeatureNorm(AttributeEstimator):
    """Quality as the length of an embedding that was trained to show it (MagFace, arXiv 2103.06627).

    Args:
        embedder: such an embedder.

    Raises:
        ContractError: the embedder passes no gradient.
    """

    facts = _QUALITY

    def __init__(self, embedder: FaceEmbedder) -> None:
        if not isinstance(embedder, nn.Module):
            raise ContractError(
                f"the embedder {embedder.name} passes no gradient, which steering needs; import it first."
            )
        self.networks = (embedder,)
        self._embed = embedder.embed

    def estimate(self, images: Tensor) -> Tensor:
        return self._embed(images).norm(dim=1)


def open_network(ref: str) -> list[AttributeEstimator]:
    """Load an `AttributeNetwork`, and return an estimator for each of its outputs. Raises `WeightsError`."""
    network = load_estimators(ref)
    shared = SharedNetwork(network.estimate)
    return [NetworkAttribute(column, network=network, values=shared) for column in range(len(network.attributes))]


def open_pose(ref: str = POSE_WEIGHTS) -> list[AttributeEstimator]:
    """Load the published pose network, and return an estimator for each angle. Raises `WeightsError`."""
    network = load_pose_estimator(ref)
    shared = SharedNetwork(network.estimate)
    return [PoseAngle(angle, network=network, angles=shared) for angle in _COLUMNS]


def open_quality(ref: str = QUALITY_WEIGHTS) -> list[AttributeEstimator]:
    """Load the published quality embedder, and return its estimator alone. Raises `WeightsError`."""
    return [FeatureNorm(load_embedder(ref))]
