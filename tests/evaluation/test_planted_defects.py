"""Defects that are planted among faces are found, and named: each kind, in renderings and in photographs."""

import csv
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vec2face.checkpoints import digest, load_embedder, load_generator
from vec2face.config.audit import AuditOptions
from vec2face.evaluation.dataset import ImageRecord, Shard
from vec2face.evaluation.embeddings import embed_dataset
from vec2face.evaluation.face_sets import ForeignSet
from vec2face.evaluation.findings import (
    DUPLICATE_IDENTITY,
    LEAK,
    MIXED_IDENTITY,
    NEAR_DUPLICATE,
    POOR,
    WRONG_LABEL,
)
from vec2face.evaluation.inspection import View, inspect, open_traits
from vec2face.evaluation.measure import measure
from vec2face.evaluation.pictures import sidedness
from vec2face.evaluation.references import Reference
from vec2face.evaluation.thresholds import threshold_of
from vec2face.evaluation.traits import STATISTICS, measure_traits
from vec2face.evaluation.verdict import ONE_SIDED
from vec2face.fileio.images import decode_image, encode_image
from vec2face.identities import draw_apart
from vec2face.identities.sources import PcaSource
from vec2face.identities.variation import perturb
from vec2face.models.pixels import to_pixels
from vec2face.progress import SilentProgress
from vec2face.steering.catalogue import open_estimators

DATASET_PEOPLE, IMAGES = 10, 8
REFERENCE_PEOPLE = 55

pytestmark = pytest.mark.integration


def renderings(count):
    """Images of people who do not exist: IMAGES of the first few, one of each other."""
    generator = load_generator("embedded")
    bank = draw_apart(PcaSource(), method="pack", count=count, ceiling=0.25, seed=0, progress=SilentProgress())
    rng = np.random.default_rng(0)
    who = np.concatenate([np.repeat(np.arange(DATASET_PEOPLE), IMAGES), np.arange(DATASET_PEOPLE, count)])
    features = np.stack([perturb(bank.vectors[one], 0.3, generator.config.sigma_unit, rng) for one in who])
    looks = rng.standard_normal((len(who), generator.config.appearance_dim)).astype(np.float32)
    rate, least = generator.config.sampling_mask["mean"], generator.config.sampling_mask["min"]
    parts = []
    for start in range(0, len(who), 32):
        rows = slice(start, start + 32)
        with torch.inference_mode():
            given = torch.from_numpy(features[rows])
            output = generator(
                given,
                mask_noise=torch.from_numpy(rng.random((len(given), 49), np.float32)),
                mask_rate=torch.full((len(given),), rate),
                mask_ratio_min=least,
                appearance=torch.from_numpy(looks[rows]) if looks.shape[1] else None,
            )
        parts.append(to_pixels(output.image).numpy())
    pixels = np.concatenate(parts)
    return [pixels[who == person] for person in range(count)]


def photographs(count, shared):
    """LFW: people with enough photographs first, then others with one."""
    with tarfile.open(shared / "data" / "lfw112_train.tar") as archive:
        files = {}
        for member in archive:
            if member.isfile():
                files.setdefault(member.name.rsplit("/", 2)[-2], []).append(member)
        often = sorted(name for name, members in files.items() if len(members) >= IMAGES)[:DATASET_PEOPLE]
        once = sorted(name for name, members in files.items() if len(members) == 1)[: count - DATASET_PEOPLE]
        assert len(often) == DATASET_PEOPLE
        return [
            np.stack([decode_image(archive.extractfile(one).read(), where=name) for one in files[name][:IMAGES]])
            for name in [*often, *once]
        ]


def jpeg(pixels, quality=95):
    return encode_image(np.ascontiguousarray(pixels), format="jpeg", quality=quality)


@pytest.fixture(scope="module", params=["renderings", pytest.param("photographs", marks=pytest.mark.development_data)])
def found(request, tmp_path_factory):
    """The findings of a set in which one defect of each kind is planted."""
    count = DATASET_PEOPLE + REFERENCE_PEOPLE
    if request.param == "photographs":
        people = photographs(count, request.getfixturevalue("shared"))
    else:
        people = renderings(count)
    real = {f"real-{number:02d}": people[number][:1] for number in range(DATASET_PEOPLE, count)}
    real["portrayed"] = people[9][:1]
    leaked = people[-1][0]
    smeared = cv2.GaussianBlur(people[7][0], (0, 0), 4)
    relit = np.clip(people[6][0].astype(np.float32) * 1.08, 0, 255).astype(np.uint8)
    again = decode_image(jpeg(relit, 60), where="test")
    planted = {
        "once": people[0][:4],
        "twice": people[0][4:],
        "merged": np.concatenate([people[1][:4], people[2][:4]]),
        "left": people[3],
        "right": np.concatenate([people[4], people[3][:1]]),  # and so the picture is there under its own label as well
        "stray": np.concatenate([people[5][:6], people[3][4:5][:, :, ::-1]]),
        "doubled": np.concatenate([people[6], again[None]]),
        "smeared": np.concatenate([people[7], smeared[None]]),
        "shown": people[9][1:5],  # other pictures of somebody real than the one that the check has
        "leaky": np.concatenate([people[8], decode_image(jpeg(leaked[:, ::-1], 70), where="test")[None]]),
    }
    root = tmp_path_factory.mktemp(request.param)
    for folder, sets in (("set", planted), ("real", real)):
        for name, images in sets.items():
            (root / folder / name).mkdir(parents=True)
            for number, pixels in enumerate(images):
                (root / folder / name / f"{number:02d}.jpg").write_bytes(jpeg(pixels))
    source = ForeignSet(str(root / "set"), report=root / "report")
    network, sha256 = load_embedder("embedded"), digest("embedded", kind="embedder")
    embedded = embed_dataset(source, network, embedder_digest=sha256, images_per_identity=None, batch_size=32)
    options = AuditOptions(leak_rate=1e-3)
    measurement = measure(embedded, threshold=threshold_of("embedded").value, options=options, vectors=None)
    inspection = inspect(
        source,
        View(network, sha256, measurement),
        estimators=open_estimators(STATISTICS),
        references=[Reference(str(root / "real"), cache=root / "report" / "cache")],
        table=None,
        options=options,
        progress=SilentProgress(),
    )
    return inspection.facts(source)


def named(found, kind):
    return [one for one in found["findings"]["listed"] if one["kind"] == kind]


def test_an_identity_that_is_there_twice(found):
    assert ["once", "twice"] in [sorted(one["people"]) for one in named(found, DUPLICATE_IDENTITY)]


def test_two_identities_under_one_label(found):
    assert "merged" in [one["people"][0] for one in named(found, MIXED_IDENTITY)]
    assert found["pictures"]["mixed_identities"] >= 1


def test_a_wrong_label(found):
    wrong = {one["images"][0]: one["people"] for one in named(found, WRONG_LABEL)}
    assert wrong["stray/06.jpg"] == ["stray", "left"]


def test_nearly_the_same_picture_within_an_identity_and_across_two(found):
    doubled = {tuple(sorted(one["images"])): one["people"] for one in named(found, NEAR_DUPLICATE)}
    assert doubled["doubled/00.jpg", "doubled/08.jpg"] == ["doubled"]
    assert sorted(doubled["left/00.jpg", "right/08.jpg"]) == ["left", "right"]
    assert found["near_duplicates"]["pairs_across_identities"] >= 2


def test_a_real_face_recompressed_and_mirrored(found):
    leaks = {one["people"][0]: one for one in named(found, LEAK)}
    last = DATASET_PEOPLE + REFERENCE_PEOPLE - 1
    assert leaks["leaky"]["images"] == ["leaky/08.jpg"]
    assert f"real-{last}" in leaks["leaky"]["reason"]
    assert leaks["leaky"]["value"] > 0.7
    (leakage,) = found["leakage"]
    assert leakage["no_limit"] is None
    closest = leakage["comparisons"][0]["closest"][0]
    assert (closest["person"], leakage["people"]) == (f"real-{last}", REFERENCE_PEOPLE + 1)


def test_another_picture_of_a_real_person(found):
    leaks = {one["people"][0]: one for one in named(found, LEAK)}
    assert "portrayed" in leaks["shown"]["reason"]
    assert 0.4 < leaks["shown"]["value"] < 0.98  # far from a copy


def test_a_blurred_picture(found):
    poor = {one["images"][0]: one["reason"] for one in named(found, POOR)}
    assert "blurred" in poor["smeared/08.jpg"]
    assert "smeared/00.jpg" not in poor


class Pictures:
    """Pictures in memory, as an audited set."""

    def __init__(self, pixels, report):
        self._pixels, self.images, self.report_folder = pixels, len(pixels), report
        self.shards = (Shard(Path("0"), len(pixels), str(hash(pixels.tobytes())), 0),)

    def records(self, shard):
        for number, one in enumerate(self._pixels):
            yield ImageRecord(str(number), 0, number, 0.0, b"", pixels=one)


@pytest.mark.development_data
def test_faces_that_all_look_to_one_side(shared, tmp_path):
    with open(shared / "data" / "utkface112.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["yaw"] and abs(float(row["yaw"])) > 25][:40]
    yaw = {row["key"]: float(row["yaw"]) for row in rows}
    pictures = {}
    with tarfile.open(shared / "data" / "utkface112.tar") as archive:
        for member in archive:
            key = member.name.rsplit("/", 1)[-1].removesuffix(".jpg")
            if key in yaw:
                pictures[key] = decode_image(archive.extractfile(member).read(), where=key)
            if len(pictures) == len(yaw):
                break
    one_side = np.stack([pixels if yaw[key] > 0 else pixels[:, ::-1] for key, pixels in pictures.items()])
    both = one_side.copy()
    both[::2] = both[::2, :, ::-1]
    estimators = open_traits(AuditOptions())
    shares = {}
    for name, pixels in (("one", one_side), ("both", both)):
        traits = measure_traits(
            Pictures(pixels, tmp_path / name),
            estimators,
            identity="test",
            images_per_identity=None,
            batch_size=20,
            device="cpu",
            progress=SilentProgress(),
        )
        shares[name] = sidedness(traits)["share"]
    assert shares["one"] > ONE_SIDED.bearable
    assert shares["both"] < ONE_SIDED.good
