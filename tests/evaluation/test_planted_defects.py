"""Defects that are planted among faces are found, and named: each kind, in renderings and in photographs."""

import csv
import functools
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vec2face.checkpoints import load_generator
from vec2face.config.audit import AuditOptions
from vec2face.evaluation.audit import audit
from vec2face.evaluation.dataset import ImageRecord, Shard
from vec2face.evaluation.findings import (
    DUPLICATE_IDENTITY,
    LEAK,
    MIXED_IDENTITY,
    NEAR_DUPLICATE,
    POOR,
    WRONG_LABEL,
)
from vec2face.evaluation.pictures import FEWEST_TURNED, TURNED, sidedness
from vec2face.evaluation.traits import measure_traits
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


@functools.cache
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


def grey(pixels):
    return cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def brighter(pixels):
    return (pixels * 1.3).clip(0, 255).astype(np.uint8)


def faded(pixels, contrast, middle):
    """The picture with less contrast, around the middle as its mean."""
    return ((pixels - pixels.mean()) * contrast + middle).clip(0, 255).astype(np.uint8)


def noisy(pixels):
    noise = np.random.default_rng(0).normal(0, 100, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


# What is done to a picture, and what is then found to be wrong with it.
SPOILT = {
    "blurred": (lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 4), "blurred"),
    "dark": (lambda pixels: faded(pixels, 0.15, 15), "too dark"),
    "bright": (lambda pixels: faded(pixels, 0.15, 240), "too bright"),
    "flat": (lambda pixels: faded(pixels, 0.1, 120), "flat"),
    "noisy": (noisy, "hardly recognisable"),
    "compressed": (lambda pixels: decode_image(jpeg(pixels, 2), where="test"), "hardly recognisable"),
}


@pytest.fixture(scope="module", params=["renderings", pytest.param("photographs", marks=pytest.mark.development_data)])
def found(request, tmp_path_factory):
    """The facts of the audit of a set in which one defect of each kind is planted."""
    count = DATASET_PEOPLE + REFERENCE_PEOPLE
    if request.param == "photographs":
        people = photographs(count, request.getfixturevalue("shared"))
    else:
        people = renderings(count)
    real = {f"real-{number:02d}": people[number][:1] for number in range(DATASET_PEOPLE, count)}
    real["portrayed"] = people[9][:1]
    leaked = people[-1][0]
    relit = np.clip(people[6][0].astype(np.float32) * 1.08, 0, 255).astype(np.uint8)
    again = decode_image(jpeg(relit, 60), where="test")
    planted = {
        "once": people[0][:4],
        "twice": people[0][4:],
        "merged": np.concatenate([people[1][:4], people[2][:4]]),
        "left": people[3],
        "right": np.concatenate([people[4], people[3][:1]]),  # and so the picture is there under its own label as well
        "stray": np.concatenate([people[5][:6], people[3][4:5][:, :, ::-1]]),
        "doubled": np.concatenate([people[6], np.stack([again, grey(people[6][1]), brighter(people[6][2])])]),
        "spoilt": np.concatenate([people[7], np.stack([spoil(people[7][0]) for spoil, _ in SPOILT.values()])]),
        "shown": people[9][1:5],  # other pictures of somebody real than the one that the check has
        "leaky": np.concatenate([people[8], decode_image(jpeg(leaked[:, ::-1], 70), where="test")[None]]),
    }
    root = tmp_path_factory.mktemp(request.param)
    for folder, sets in (("set", planted), ("real", real)):
        for name, images in sets.items():
            (root / folder / name).mkdir(parents=True)
            for number, pixels in enumerate(images):
                (root / folder / name / f"{number:02d}.jpg").write_bytes(jpeg(pixels))
    return audit(
        root / "set",
        AuditOptions(out=root / "report", against=(str(root / "real"),), leak_rate=1e-3, groups="none"),
    )


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
    for pair in (("00", "08"), ("01", "09"), ("02", "10")):  # relit and recompressed, without colour, much brighter
        assert doubled[f"doubled/{pair[0]}.jpg", f"doubled/{pair[1]}.jpg"] == ["doubled"]
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


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_picture(found, kind):
    poor = {one["images"][0]: one["reason"] for one in named(found, POOR)}
    assert SPOILT[kind][1] in poor[f"spoilt/{IMAGES + list(SPOILT).index(kind):02d}.jpg"]
    assert "spoilt/00.jpg" not in poor


def test_the_verdict_names_what_is_wrong(found):
    open_checks = {check["name"]: check["status"] for check in found["checks"] if check["status"] != "pass"}
    assert found["verdict"] == "fail"
    assert open_checks["identities that show two people"] == "fail"
    assert open_checks["images that are there twice"] == "fail"
    assert open_checks["poor images"] in ("warn", "fail")
    assert open_checks["identities that are unique"] in ("warn", "fail")
    assert "identities that resemble people of real" in open_checks


class Pictures:
    """Pictures in memory, as an audited set."""

    def __init__(self, pixels, report):
        self._pixels, self.images, self.report_folder = pixels, len(pixels), report
        self.shards = (Shard(Path("0"), len(pixels), str(hash(pixels.tobytes())), 0),)

    def records(self, shard):
        for number, one in enumerate(self._pixels):
            yield ImageRecord(str(number), 0, number, 0.0, b"", pixels=one)


def sides_of(pixels, report):
    """Which side the turned ones of some pictures look to, and the yaw of each."""
    traits = measure_traits(
        Pictures(pixels, report),
        open_estimators(["yaw"]),
        identity="test",
        images_per_identity=None,
        batch_size=20,
        device="cpu",
        progress=SilentProgress(),
    )
    return sidedness(traits), traits.values["yaw"]


def test_renderings_that_all_look_to_one_side_fail(tmp_path):
    pixels = np.concatenate(renderings(DATASET_PEOPLE + REFERENCE_PEOPLE))
    both, yaw = sides_of(pixels, tmp_path / "both")
    assert both["turned"] > FEWEST_TURNED
    assert both["share"] < ONE_SIDED.good
    (tmp_path / "set").mkdir()
    for number in np.flatnonzero(np.abs(yaw) > 1.5 * TURNED):
        one_side = pixels[number] if yaw[number] > 0 else pixels[number, :, ::-1]
        (tmp_path / "set" / f"{number:03d}.jpg").write_bytes(jpeg(one_side))
    facts = audit(tmp_path / "set", AuditOptions(out=tmp_path / "report", people="none", groups="none"))
    (check,) = [check for check in facts["checks"] if check["name"] == ONE_SIDED.name]
    assert check["value"] == facts["pictures"]["sides"]["share"] > ONE_SIDED.bearable
    assert (check["status"], facts["verdict"]) == ("fail", "fail")


@pytest.mark.development_data
def test_photographs_that_all_look_to_one_side(shared, tmp_path):
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
    assert sides_of(one_side, tmp_path / "one")[0]["share"] > ONE_SIDED.bearable
    assert sides_of(both, tmp_path / "both")[0]["share"] < ONE_SIDED.good
