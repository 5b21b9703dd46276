"""Photos become aligned faces; all that cannot be used are named together."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.checkpoints import load_embedder
from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.detection import Detection, largest, open_detector
from vec2face.data.photos import read_reference_faces, write_crops
from vec2face.errors import InputError
from vec2face.fileio.images import decode_image, encode_image

TEMPLATE = np.asarray(ARCFACE_TEMPLATE)
RNG = np.random.default_rng(0)


class Marks:
    """Finds a face at every pixel without blue and full of red, its size in per cent given by the green."""

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        found = []
        for y, x in np.argwhere((rgb[..., 0] == 255) & (rgb[..., 2] == 0)):
            size = float(rgb[y, x, 1]) / 100
            landmarks = TEMPLATE * size + [x, y]
            found.append(Detection(np.array([x, y, x + 112 * size, y + 112 * size]), 0.9, landmarks))
        return found


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(pixels, format="png"))
    return path


def crop() -> np.ndarray:
    return RNG.integers(0, 255, (112, 112, 3), dtype=np.uint8)


def photo(*marks: tuple[int, int, int]) -> np.ndarray:
    pixels = RNG.integers(1, 255, (300, 320, 3), dtype=np.uint8)
    for x, y, size in marks:
        pixels[y, x] = (255, size, 0)
    return pixels


def test_crops_are_taken_as_they_are_in_order(tmp_path: Path) -> None:
    crops = {name: crop() for name in ("b", "a", "c")}
    for name, pixels in crops.items():
        write(tmp_path / "folder" / f"{name}.png", pixels)
    single = write(tmp_path / "z.png", crop())
    (tmp_path / "folder" / ".hidden").write_text("not a photo")
    seen: list[tuple[int, int]] = []
    faces = read_reference_faces([single, tmp_path / "folder"], None, progress=lambda *step: seen.append(step))
    assert [face.name for face in faces] == ["z", "a", "b", "c"]
    np.testing.assert_array_equal(faces[2].pixels, crops["b"])
    assert all(face.notes == () for face in faces)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_largest_face_is_aligned_and_a_choice_is_noted(tmp_path: Path) -> None:
    pixels = photo((100, 50, 100), (5, 5, 60))
    (face,) = read_reference_faces([write(tmp_path / "a.png", pixels)], Marks())
    np.testing.assert_array_equal(face.pixels, pixels[50 : 50 + 112, 100 : 100 + 112])
    assert face.notes == ("the largest of 2 faces taken",)


def test_an_enlarged_face_is_noted(tmp_path: Path) -> None:
    (face,) = read_reference_faces([write(tmp_path / "a.png", photo((100, 50, 25)))], Marks())
    assert face.notes == ("a small face, enlarged 4.0 times",)


def test_conversions_of_the_file_are_noted(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(crop()).convert("L").save(tmp_path / "grey.png")
    (face,) = read_reference_faces([tmp_path / "grey.png"], None)
    assert face.notes == ("grey converted to RGB",)


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    write(tmp_path / "good.png", photo((100, 50, 100)))
    write(tmp_path / "empty.png", photo())
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="2 of 3 photos cannot be used") as caught:
        read_reference_faces([tmp_path], Marks())
    assert "no face was found in" in str(caught.value)
    assert "empty.png" in str(caught.value)
    assert "notes.txt is not an image" in str(caught.value)

    skipped: list[str] = []
    faces = read_reference_faces([tmp_path], Marks(), on_unusable=skipped.append)
    assert [face.name for face in faces] == ["good"]
    assert len(skipped) == 2


def test_no_usable_photo_is_an_error_even_where_unusable_ones_may_be_skipped(tmp_path: Path) -> None:
    write(tmp_path / "empty.png", photo())
    skipped: list[str] = []
    with pytest.raises(InputError, match="no face was found"):
        read_reference_faces([tmp_path], Marks(), on_unusable=skipped.append)
    assert skipped == []


def test_a_photo_without_a_detector_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png has 320x300 pixels; give --detector FILE .* aligned 112x112 crop"):
        read_reference_faces([write(tmp_path / "a.png", photo())], None)


def test_names_must_be_unique(tmp_path: Path) -> None:
    first, second = (write(tmp_path / folder / "same.png", crop()) for folder in ("one", "two"))
    with pytest.raises(InputError, match="would both be called 'same'") as caught:
        read_reference_faces([first, second], None)
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)
    assert [face.name for face in read_reference_faces([first, second], None, by_folder=True)] == ["one", "two"]


def test_two_folders_of_one_name_are_not_one_person(tmp_path: Path) -> None:
    photos = [write(tmp_path / folder / "ann" / f"{folder}.png", crop()) for folder in ("one", "two")]
    with pytest.raises(InputError, match="would be one person 'ann'"):
        read_reference_faces(photos, None, by_folder=True)


def test_one_file_given_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", crop())
    assert len(read_reference_faces([path, tmp_path], None)) == 1


def test_missing_paths_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no photo or folder .*missing"):
        read_reference_faces([tmp_path / "missing"], None)
    (tmp_path / "facts.json").write_text("{}")  # beside pictures, not one
    with pytest.raises(InputError, match="holds no photos"):
        read_reference_faces([tmp_path], None)
    with pytest.raises(InputError, match="no photos were given"):
        read_reference_faces([], None)


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    for index in range(25):
        (tmp_path / f"{index:02}.txt").write_text("x")
    with pytest.raises(InputError, match="25 of 25") as caught:
        read_reference_faces([tmp_path], None)
    assert str(caught.value).endswith("and 5 more")


def test_crops_are_written_under_their_names(tmp_path: Path) -> None:
    faces = read_reference_faces([write(tmp_path / "ann" / "1.png", crop())], None)
    write_crops(faces, tmp_path / "flat")
    np.testing.assert_array_equal(decode_image((tmp_path / "flat" / "1.png").read_bytes(), where="x"), faces[0].pixels)
    grouped = read_reference_faces([tmp_path / "ann"], None, by_folder=True)
    write_crops(grouped, tmp_path / "grouped", by_folder=True)
    assert (tmp_path / "grouped" / "ann" / "1.png").is_file()


@pytest.mark.development_data
def test_every_development_photo_is_aligned_to_the_template(shared: Path) -> None:
    detector = open_detector(shared / "weights" / "yunet_n_dynamic.onnx")
    faces = read_reference_faces([shared / "data" / "photos"], detector)
    assert len(faces) == 24
    distances = []
    for face in faces:
        # Black around the crop, so that the detector sees a face within a picture again.
        framed = np.pad(face.pixels, ((40, 40), (40, 40), (0, 0)))
        again = largest(detector.detect(framed)).landmarks - 40
        distances.append(np.linalg.norm(again - TEMPLATE, axis=1).mean())
        # A face of another shape than the template, or turned away, keeps a residual that no similarity can remove.
        assert distances[-1] < 8, f"{face.name}: {distances[-1]:.1f} pixels"
    assert np.mean(distances) < 5


@pytest.mark.development_data
def test_an_independent_alignment_of_the_same_photos_gives_nearly_the_same_vectors(shared: Path) -> None:
    embedder = load_embedder(str(shared / "weights" / "MobileFaceNet.onnx"))
    faces = read_reference_faces(
        [shared / "data" / "photos"], open_detector(shared / "weights" / "yunet_n_dynamic.onnx")
    )
    cosines = []
    with tarfile.open(shared / "data" / "lfw112_train.tar") as tar:
        for face in faces:
            member = tar.extractfile(f"{face.name.rpartition('_')[0]}/{face.name}.jpg")
            assert member is not None
            theirs = decode_image(member.read(), where=face.name)
            both = torch.from_numpy(np.stack([face.pixels, theirs])).permute(0, 3, 1, 2).float() / 127.5 - 1
            ours, other = (embedder.embed(image[None])[0] for image in both)
            cosines.append(torch.cosine_similarity(ours, other, dim=0).item())
    assert np.mean(cosines) > 0.9
    assert min(cosines) > 0.6
