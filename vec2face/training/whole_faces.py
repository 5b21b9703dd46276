"""The faces that statistics of a trained generator's inputs are taken from."""

import numpy as np
from numpy.typing import NDArray

from vec2face.data.facepack import FacePack

# Fewer do not say how photographs, or the vectors of people, vary.
FEWEST_FACES = 500


def rows_of_whole_faces(faces: FacePack) -> NDArray[np.intp]:
    """Rows of a pack's training faces whose whole crop is real, where there are enough of them; else of all."""
    training = ~faces.holdout
    whole = np.flatnonzero(training & faces.whole)
    return whole if len(whole) > FEWEST_FACES else np.flatnonzero(training)
