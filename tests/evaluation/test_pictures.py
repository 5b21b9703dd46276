"""Distributions, groups and poor pictures follow from the traits by plain arithmetic."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vec2face.evaluation.embeddings import EmbeddedImages
from vec2face.evaluation.people import People
from vec2face.evaluation.pictures import group_facts, poor_pictures, requested_facts, sidedness, trait_facts
from vec2face.evaluation.traits import Traits

PEOPLE = People.of(np.array([0, 0, 0, 1, 1, 2]))


def traits(units=None, errors=None, misjudged=None, **values):
    count = len(next(iter(values.values())))
    none = np.zeros(count, np.uint64)
    return Traits(
        none,
        none,
        np.zeros((count, 8, 8, 3), np.uint8),
        {name: np.array(column, np.float32) for name, column in values.items()},
        {name: (units or {}).get(name, "units") for name in values},
        {name: (errors or {}).get(name) for name in values},
        misjudged or {},
    )


def test_spread_over_all_images_and_within_a_person():
    found = trait_facts(traits(yaw=[0, 2, 4, 10, 12, 50], errors={"yaw": 3.0}), PEOPLE)["yaw"]
    assert found["mean"] == 13.0
    # Deviations from the own means 2 and 11, over (3 - 1) + (2 - 1) degrees of freedom; the single image has none.
    assert found["within_identity_std"] == pytest.approx(np.sqrt((4 + 0 + 4 + 1 + 1) / 3))
    assert found["error"] == 3.0
    assert sum(found["histogram"]["counts"]) == 6
    assert len(found["histogram"]["edges"]) == len(found["histogram"]["counts"]) + 1
    alone = trait_facts(traits(yaw=[1.0]), People.of(np.array([4])))["yaw"]
    assert alone["within_identity_std"] is None


def test_identities_are_counted_by_the_mean_of_their_images():
    given = traits(
        age=[20, 30, 40, 70, 60, 10],
        female=[0.9, 0.9, 0.2, 0.1, 0.2, 0.8],
        yaw=[0] * 6,
        units={"female": "probability"},
        misjudged={"female": (0.1, 0.2)},
    )
    found = group_facts(given, PEOPLE)
    assert set(found) == {"female"}
    assert found["female"]["shares"] == pytest.approx({"female": 2 / 3, "not female": 1 / 3})
    # Errors are of images, of which two thirds of the first person's, none and all are counted.
    assert found["female"]["corrected"] == pytest.approx((5 / 9 - 0.2) / 0.7)


def test_pictures_beyond_a_bound_are_poor_and_say_why():
    given = traits(sharpness=[10, 1, 10, 10], brightness=[100, 10, 250, 100], contrast=[50, 50, 50, 50])
    found = poor_pictures(given)
    assert list(found) == [1, 2]
    assert found[1] == ["blurred (sharpness 1)", "too dark or too bright (brightness 10)"]
    assert found[2] == ["too dark or too bright (brightness 250)"]


def test_sides_need_enough_turned_faces():
    assert sidedness(traits(age=[1, 2])) is None
    assert sidedness(traits(yaw=[20] * 3 + [-20] + [5] * 9)) == {"turned": 4, "left": 0.75, "share": None}
    found = sidedness(traits(yaw=[20] * 18 + [-20] * 6 + [0] * 9))
    assert found == {"turned": 24, "left": 0.75, "share": 0.75}


def test_requested_attributes_are_compared_image_by_image(tmp_path):
    path = tmp_path / "metadata.parquet"
    columns = {
        "identity": pa.array([0, 0, 1, 1], pa.int32()),
        "image": pa.array([0, 1, 0, 1], pa.int32()),
        "requested_yaw": pa.array([10.0, 20.0, None, 40.0], pa.float32()),
        "requested_unknown": pa.array([1.0] * 4, pa.float32()),
    }
    pq.write_table(pa.table(columns), path)
    labels, numbers = np.array([0, 0, 1], np.int32), np.array([0, 1, 1], np.int32)  # one image was not measured
    embedded = EmbeddedImages(np.zeros((3, 1)), np.arange(3), labels, numbers, np.zeros(3), np.zeros(3, np.int64))
    found = requested_facts(path, traits(yaw=[12, 19, 40], errors={"yaw": 2.0}), embedded)
    assert list(found) == ["yaw"]
    assert found["yaw"]["images"] == 3
    assert found["yaw"]["mean_absolute_difference"] == pytest.approx(1.0)
    assert found["yaw"]["mean_difference"] == pytest.approx(1 / 3)
    assert found["yaw"]["largest_share_misplaced"] == pytest.approx(1 / 3)
