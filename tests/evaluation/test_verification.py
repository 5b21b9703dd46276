"""From images or stored embeddings to figures, by the library and by the command."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper
from PIL import Image
from safetensors.numpy import save_file

from vec2face.cards.benchmark import evaluation_document
from vec2face.contracts import InputContract
from vec2face.errors import ContractError, InputError, WeightsError
from vec2face.evaluation.benchmark import benchmark_scores, run_verification
from vec2face.evaluation.stored_embeddings import read_embeddings
from vec2face.evaluation.subjects import NetworkSubject, open_subject, read_training
from vec2face.evaluation.verification import accuracy_of, measure_sets
from vec2face.evaluation.verification_sets import open_verification_set, open_verification_sets
from vec2face.models.embedders.base import FaceEmbedder
from vec2face_cli.evaluate import evaluate


class LeftRight(FaceEmbedder):
    """Mean colours of the left and the right half: a mirror image gives another vector."""

    name, dim, contract = "left-right", 6, InputContract()
    images = 0

    def forward_contract(self, pixels):
        self.images += len(pixels)
        return torch.cat([pixels[..., :56].mean(dim=(2, 3)), pixels[..., 56:].mean(dim=(2, 3))], dim=1)


def subject():
    contract = InputContract().to_dict()
    facts = {"reference": "x", "name": "left-right", "kind": "network", "network": "LeftRight", "digest": "0" * 64}
    facts |= {"width": 6, "contract": contract, "contract_assumed": False, "device": "cpu"}
    return NetworkSubject(facts, LeftRight(), None)


def encoded(color_left, color_right, size=112):
    pixels = np.empty((size, size, 3), np.uint8)
    pixels[:, : size // 2], pixels[:, size // 2 :] = color_left, color_right
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def colour_pairs(seed, noise=9):
    """Forty pairs of two-coloured pictures; a same pair is a picture and a slightly changed mirror image of it."""
    rng = np.random.default_rng(seed)
    images, same = [], []
    for pair in range(40):
        left, right = rng.integers(40, 215, (2, 3))
        if pair % 2:
            other = (right + rng.integers(-noise, noise, 3), left + rng.integers(-noise, noise, 3))
        else:
            other = tuple(rng.integers(40, 215, (2, 3)))
        images += [encoded(left, right), encoded(*other, size=112 if pair else 96)]
        same.append(bool(pair % 2))
    return images, same


def saved(path, images, same):
    path.write_bytes(pickle.dumps((images, same)))
    return str(path)


@pytest.fixture
def colour_set(tmp_path):
    return saved(tmp_path / "colours.bin", *colour_pairs(0))


def figures(measured):
    return {key: value for key, value in measured.result.to_dict().items() if key != "seconds"}


def test_mirror_images_are_summed_before_the_length_is_taken(colour_set):
    found = open_verification_set(colour_set)
    (small,) = measure_sets(subject(), [found], batch_size=7, resamples=20)
    result = small.result
    assert (result.pairs, result.genuine, result.images, result.name) == (40, 20, 80, "colours")
    assert result.accuracy.mean > 0.9
    assert result.auc > 0.97
    assert result.tar_at_far["0.0001"] is None  # twenty impostor pairs cannot tell 1 in 10,000
    (whole,) = measure_sets(subject(), [found], batch_size=80, resamples=20)
    assert figures(whole) == figures(small)
    assert accuracy_of(LeftRight(), found) == result.accuracy.mean


def test_an_image_that_occurs_often_is_embedded_once(tmp_path):
    images, same = colour_pairs(0)
    images[40:] = images[:40]
    one = subject()
    measure_sets(one, [open_verification_set(saved(tmp_path / "set.bin", images, same))], resamples=20)
    assert one.network.images == 2 * 40


def test_stored_embeddings_give_what_the_network_gives(colour_set, tmp_path):
    found, one = open_verification_set(colour_set), subject()
    network = one.network
    pixels = np.stack([found.images.pixels(n) for n in range(80)])
    both = [
        network.embed(torch.from_numpy(p.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
        for p in (pixels, pixels[:, :, ::-1])
    ]
    np.save(tmp_path / "both.npy", np.stack(both, axis=1))
    save_file({"colours": both[0] + both[1], "other": both[0]}, tmp_path / "several.safetensors")
    (expected,) = measure_sets(one, [found], resamples=20)
    for file in ("both.npy", "several.safetensors"):
        (stored,) = measure_sets(open_subject(str(tmp_path / file)), [found], resamples=20)
        np.testing.assert_allclose(stored.distances, expected.distances, atol=1e-6)


def test_a_damaged_or_oblong_image_is_told_before_the_network_runs(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (50, 40)).save(stream, "PNG")
    images, same = colour_pairs(0)
    for bad, message in ((b"not an image", "image 79 is not an image"), (stream.getvalue(), "image 79 is 50x40")):
        one = subject()
        with pytest.raises(InputError, match=message):
            measure_sets(one, [open_verification_set(saved(tmp_path / "set.bin", [*images[:-1], bad], same))])
        assert one.network.images == 0


def test_embeddings_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "e.npy"
    good = np.ones((6, 4), np.float32)
    cases = (
        (
            np.where(np.arange(24).reshape(6, 4) == 9, np.nan, good),
            "NaN or infinity in 1 of 6 rows, the first is row 2",
        ),
        (good[:5], "holds 5 embeddings for 6 images"),
        (good.astype(int), "floating numbers"),
        (good[:, None].repeat(3, 1), "floating numbers"),
        (good * (np.arange(6) != 3)[:, None], "row 3 is all zeros"),
        (good[:, :0], "holds no embeddings"),
    )
    for array, message in cases:
        np.save(path, array)
        with pytest.raises(InputError, match=message):
            read_embeddings(path, count=6)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"not a readable \.npy"):
        read_embeddings(path)
    tensors = tmp_path / "e.safetensors"
    save_file({"a": good, "b": good}, tensors)
    with pytest.raises(InputError, match=r"no embeddings named 'c'.*a, b.*--format"):
        read_embeddings(tensors, name="c")
    tensors.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"not a readable \.safetensors"):
        read_embeddings(tensors)


def test_embeddings_of_several_sets(tmp_path):
    sets = open_verification_sets([saved(tmp_path / f"{n}.bin", *colour_pairs(n)) for n in (1, 2)])
    np.save(tmp_path / "e.npy", np.ones((80, 4)))
    with pytest.raises(InputError, match="holds the embeddings of one set"):
        measure_sets(open_subject(str(tmp_path / "e.npy")), sets)
    save_file({"1": np.ones((80, 4)), "2": np.ones((80, 5))}, tmp_path / "e.safetensors")
    with pytest.raises(InputError, match="different widths"):
        measure_sets(open_subject(str(tmp_path / "e.safetensors")), sets)


def test_groups_and_documents(tmp_path):
    arguments = [f"RFW/{n}=" + saved(tmp_path / f"{n}.bin", *colour_pairs(n, noise=60)) for n in (1, 2)]
    one, sets = subject(), open_verification_sets(arguments)
    facts = run_verification(one, sets, batch_size=64, resamples=20, seed=0, figures=tmp_path)
    (group,) = facts["groups"]
    values = [entry["accuracy"]["mean"] for entry in facts["sets"]]
    assert group["mean"] == pytest.approx(sum(values) / 2)
    assert group["std"] == pytest.approx(abs(values[0] - values[1]) / 2)
    assert group["skewed_error_ratio"] == pytest.approx((1 - min(values)) / (1 - max(values)))
    assert facts["benchmarks"] == {}
    facts["training"] = {
        "recipe": {"run": {"seed": 3}},
        "datasets": [{"source": "FACES", "classes": 9}],
        "rates": [1, 2],
    }
    sections = {section.title: section for section in evaluation_document(facts).sections}
    fairness = sections["RFW: how evenly groups are served"]
    assert fairness.columns == ("", "1", "2", "mean", "std", "highest over lowest error")
    assert [row[0] for row in fairness.rows] == (
        ["accuracy"] if group["common"] is None else ["accuracy", "FMR", "FNMR"]
    )
    assert sections["How it was trained"].rows == (
        ("recipe.run.seed", "3"),
        ("datasets[0].source", "FACES"),
        ("datasets[0].classes", "9"),
        ("rates", "1, 2"),
    )
    assert all((tmp_path / file).is_file() for file, _ in sections["Verification"].figures)
    with pytest.raises(InputError, match="RFW has one group only"):
        run_verification(one, sets[:1], batch_size=64, resamples=20, seed=0)


def test_folds_of_one_kind_are_told_beside_val(tmp_path):
    images, same = colour_pairs(0)
    order = sorted(range(40), key=lambda pair: same[pair])  # two folds of different people, then two of one person
    ordered = [images[2 * pair + side] for pair in order for side in (0, 1)]
    path = saved(tmp_path / "sorted.bin", ordered, [same[pair] for pair in order])
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(80, 5)))
    out = tmp_path / "out"
    words = ["verification", str(tmp_path / "e.npy"), path, "--folds", "4", "--resamples", "100", "--out", str(out)]
    done = CliRunner().invoke(evaluate, words)
    assert done.exit_code == 0, done.exception
    val = json.loads((out / "result.json").read_text())["sets"][0]["val"]
    assert (val["folds"], val["far_folds"]) == (2, 2)
    assert "VAL of 2, FAR of 2 of 4 folds, the others hold no such pairs" in done.output
    assert "(2 of 4 folds)" in (out / "result.md").read_text()


def test_papers_columns_need_the_sets_name_and_size(colour_set):
    (measured,) = measure_sets(subject(), [open_verification_set(f"lfw={colour_set}")], resamples=20)
    assert benchmark_scores([measured.result]) == {}  # forty pairs are not LFW
    object.__setattr__(measured.result, "pairs", 6000)
    object.__setattr__(measured.result, "name", "SLLFW")
    assert benchmark_scores([measured.result]) == {"SLLFW": 100 * measured.result.accuracy.mean}
    object.__setattr__(measured.result, "name", "lfw")
    assert benchmark_scores([measured.result]) == {"LFW": 100 * measured.result.accuracy.mean}


def test_the_command_writes_result_and_tables(colour_set, tiny_embedder_dir, tmp_path):
    out = tmp_path / "out"
    words = ["verification", str(tiny_embedder_dir), colour_set, "--resamples", "100", "--out", str(out)]
    done = CliRunner().invoke(evaluate, words)
    assert done.exit_code == 0, done.output
    facts = json.loads((out / "result.json").read_text())
    assert facts["sets"][0]["pairs"] == 40
    assert facts["subject"]["contract"]["mean"] == [0.5, 0.5, 0.5]
    assert len(facts["subject"]["digest"]) == 64
    assert "40 pairs, 20 of one person" in done.output
    assert "was fed RGB pixels, mean (0.5, 0.5, 0.5)" in done.output
    markdown, html = (out / "result.md").read_text(), (out / "result.html").read_text()
    assert "| colours | 40 |" in markdown
    assert "<td>colours</td>" in html
    assert html.count("data:image/png;base64,") == 2
    again = CliRunner().invoke(evaluate, words)
    assert isinstance(again.exception, InputError)
    assert "already holds a result.json" in str(again.exception)


def test_an_onnx_file_without_a_contract_says_that_its_pixels_are_assumed(colour_set, tmp_path):
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[56, 56], strides=[56, 56]),
            helper.make_node("Flatten", ["pooled"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 12])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "net.onnx"
    )

    def measured(out):
        words = ["verification", str(tmp_path / "net.onnx"), colour_set, "--resamples", "100", "--out", str(out)]
        done = CliRunner().invoke(evaluate, words)
        assert done.exit_code == 0, done.exception
        return done.output, json.loads((out / "result.json").read_text())["subject"], (out / "result.md").read_text()

    output, facts, markdown = measured(tmp_path / "assumed")
    assert (facts["contract_assumed"], facts["contract"]) == (True, json.loads(json.dumps(InputContract().to_dict())))
    assert "ArcFace's pixels are assumed; if it was trained on others, state them in net.contract.json." in output
    assert "ArcFace's pixels are assumed |" in markdown
    # The example of the documentation is such a file.
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    (tmp_path / "net.contract.json").write_text(text.split("```json\n")[1].split("```")[0])
    output, facts, markdown = measured(tmp_path / "stated")
    assert (facts["contract_assumed"], facts["contract"]["mean"]) == (False, [0.485, 0.456, 0.406])
    assert "assumed" not in output + markdown


def test_bare_checkpoints_need_their_layout(tiny_embedder_dir, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="--format arcface-torch"):
        open_subject(str(tmp_path / "model.pt"))
    with pytest.raises(InputError, match="there is no file absent"):
        open_subject("absent.pt", checkpoint_format="arcface-torch")
    with pytest.raises(WeightsError, match="holds a generator"):
        open_subject(str(tmp_path / "model.pt"), checkpoint_format="vec2face-generator")
    with pytest.raises(InputError, match="no file of embeddings"):
        open_subject(str(tmp_path / "absent.npy"))


def test_an_arcface_torch_checkpoint_is_read(tmp_path):
    from vec2face.checkpoints.convert import to_checkpoint
    from vec2face.checkpoints.formats import find_format
    from vec2face.models.embedders.mobilefacenet import ArcFaceMobileFaceNet

    network = ArcFaceMobileFaceNet(dim=8).eval()
    torch.save(to_checkpoint(network, find_format("arcface-torch"), where="test"), tmp_path / "model.pt")
    found = open_subject(str(tmp_path / "model.pt"), checkpoint_format="arcface-torch")
    images = torch.rand(1, 3, 112, 112) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(found.network.embed(images), network.embed(images))
    assert (found.facts["network"], found.facts["width"]) == ("ArcFaceMobileFaceNet", 8)


def test_another_crop_is_refused_before_any_image(tmp_path, monkeypatch):
    from vec2face.evaluation import subjects

    class Head(LeftRight):
        contract = InputContract(size=224, alignment="head")

    monkeypatch.setattr(subjects, "load_embedder", lambda _: Head())
    with pytest.raises(ContractError, match="224x224"):
        open_subject("embedded")


def test_a_training_runs_result_beside_the_weights_is_taken_up(tmp_path):
    assert read_training(tmp_path) is None
    path = tmp_path / "result.json"
    path.write_text('{"recipe": "x", "seed": 1}')
    assert read_training(tmp_path) == {"recipe": "x", "seed": 1}
    path.write_text('{"format": "vec2face-evaluation/1"}')
    assert read_training(tmp_path) is None
    for damaged in ("[]", "{"):
        path.write_text(damaged)
        with pytest.raises(InputError, match="mend or remove it"):
            read_training(tmp_path)


@pytest.mark.slow
@pytest.mark.development_data
@pytest.mark.parametrize(
    ("weights", "format", "mean", "std"),
    [
        ("teacher_mobilefacenet_ms1m", "mobilefacenet-relu6", 99.67, 0.41),
        ("judge_mobilefacenet_casia", "mobilefacenet-prelu", 98.17, 1.33),
    ],
)
def test_known_accuracies_on_real_faces(shared, weights, format, mean, std):
    file, pairs = shared / "weights" / f"{weights}.safetensors", shared / "data" / "lfw_dev.bin"
    if not (file.is_file() and pairs.is_file()):
        pytest.skip(f"{file.name} or {pairs.name} is not beside the project")
    network = open_subject(str(file), checkpoint_format=format)
    (measured,) = measure_sets(network, [open_verification_set(str(pairs))], resamples=100)
    assert 100 * measured.result.accuracy.mean == pytest.approx(mean, abs=0.3)
    assert 100 * measured.result.accuracy.std == pytest.approx(std, abs=0.3)
