"""The template protocol against a slow version of insightface's script, and from files to results."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.metrics import roc_curve

from vec2face.cards.benchmark import evaluation_document
from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.errors import InputError
from vec2face.evaluation.ijb import Setting, measure_templates, tar_nearest, template_vectors, weigh
from vec2face.evaluation.ijb_files import TemplateProtocol, read_protocol
from vec2face.evaluation.ijb_run import open_ijb, run_ijb
from vec2face.evaluation.rates import operating_curve
from vec2face.evaluation.subjects import open_subject
from vec2face_cli.evaluate import evaluate


def made_up(seed, people=12, templates=30, faces=150, pairs=3000):
    rng = np.random.default_rng(seed)
    owner = rng.integers(people, size=templates)
    numbers = rng.permutation(1000)[:templates]
    place = np.concatenate([np.arange(templates), rng.integers(templates, size=faces - templates)])
    vectors = rng.normal(size=(people, 16))[owner[place]] + 2.0 * rng.normal(size=(faces, 16))
    first, second = rng.integers(templates, size=(2, pairs))
    protocol = TemplateProtocol(
        images=[f"{n}.jpg" for n in range(faces)],
        template=numbers[place],
        medium=rng.integers(4, size=faces),
        first=numbers[first],
        second=numbers[second],
        same=owner[first] == owner[second],
    )
    return vectors, rng.uniform(0.3, 1.0, faces), protocol


def naive_scores(vectors, score, protocol, *, keep_length, detector_score):
    """Template by template, medium by medium."""
    if not keep_length:
        vectors = vectors / np.sqrt(np.sum(vectors**2, -1, keepdims=True))
    if detector_score:
        vectors = vectors * score[:, None]
    templates = {}
    for template in np.unique(protocol.template):
        (inside,) = np.where(protocol.template == template)
        media = [
            np.mean([vectors[i] for i in inside if protocol.medium[i] == medium], axis=0)
            for medium in np.unique(protocol.medium[inside])
        ]
        total = np.sum(media, axis=0)
        templates[template] = total / np.linalg.norm(total)
    return np.array([templates[a] @ templates[b] for a, b in zip(protocol.first, protocol.second, strict=True)])


def naive_tar(scores, same, far):
    fpr, tpr, _ = roc_curve(same, scores)
    fpr, tpr = np.flipud(fpr), np.flipud(tpr)
    gaps = [(abs(value - far), place) for place, value in enumerate(fpr)]
    return tpr[min(gaps)[1]]


@pytest.mark.parametrize("keep_length", [True, False])
@pytest.mark.parametrize("detector_score", [True, False])
def test_templates_and_rates_equal_a_slow_version(keep_length, detector_score):
    vectors, score, protocol = made_up(seed=1)
    setting = Setting(keep_length=keep_length, detector_score=detector_score)
    scores = naive_scores(vectors, score, protocol, keep_length=keep_length, detector_score=detector_score)
    templates, numbers = template_vectors(weigh(vectors, setting, score), protocol.template, protocol.medium)
    found = [
        templates[np.searchsorted(numbers, a)] @ templates[np.searchsorted(numbers, b)]
        for a, b in zip(protocol.first, protocol.second, strict=True)
    ]
    np.testing.assert_allclose(found, scores, atol=1e-12)
    (result,), _ = measure_templates(vectors, protocol, score=score, settings=(setting,))
    assert result.setting == setting.name
    assert result.tar_at_far["1e-06"] is None
    for far in ("0.001", "0.01", "0.1"):
        # Pairs of equal templates score 1 up to rounding, which one way of adding ties and another does not.
        expected = naive_tar(np.round(scores, 12), protocol.same, float(far))
        assert result.tar_at_far[far] == pytest.approx(expected, abs=2 / protocol.same.sum())


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_point_is_that_of_scikit_learns_curve(seed):
    rng = np.random.default_rng(seed)
    same = rng.random(2000) < 0.3
    scores = np.round(rng.normal(same, 0.8), 2 if seed % 2 else 9)
    curve = operating_curve(scores[same], scores[~same])
    for far in (1e-3, 2.3e-3, 1e-2, 1e-1):
        assert tar_nearest(curve, far) == pytest.approx(naive_tar(scores, same, far), abs=1e-12)
    assert tar_nearest(curve, 1e-4) is None


def test_what_does_not_fit_is_refused():
    vectors, _, protocol = made_up(seed=2)
    plain = (Setting(keep_length=True, detector_score=False),)
    with pytest.raises(InputError, match="149 embeddings for 150 faces"):
        measure_templates(vectors[1:], protocol, score=None, settings=plain)
    with pytest.raises(InputError, match="N1D1 weighs faces by the detector's score, which is not known"):
        measure_templates(vectors, protocol, score=None, settings=(Setting(keep_length=True, detector_score=True),))
    with pytest.raises(InputError, match=r"template \d+ sum to zero"):
        measure_templates(0 * vectors, protocol, score=None, settings=plain)


@pytest.fixture
def ijb_folder(tmp_path):
    """Six people in twelve templates of two faces each, as 120x120 pictures whose landmarks are shifted by 4."""
    root = tmp_path / "IJBC"
    (root / "meta").mkdir(parents=True)
    (root / "loose_crop").mkdir()
    rng = np.random.default_rng(0)
    points = " ".join(f"{value + 4:.4f}" for value in np.ravel(ARCFACE_TEMPLATE))
    faces, landmarks = [], []
    for template in range(12):
        for face in range(2):
            name = f"{2 * template + face}.jpg"
            color = np.array([40 * (template // 2), 200 - 30 * (template // 2), 90]) + rng.integers(-9, 9, 3)
            Image.new("RGB", (120, 120), tuple(int(c) for c in color)).save(root / "loose_crop" / name)
            faces.append(f"{name} {template + 1} {face}")
            landmarks.append(f"{name} {points} 0.9{face}")
    pairs = [f"{a + 1} {b + 1} {int(a // 2 == b // 2)}" for a in range(12) for b in range(a + 1, 12)]
    for suffix, lines in (("face_tid_mid", faces), ("template_pair_label", pairs), ("name_5pts_score", landmarks)):
        (root / "meta" / f"ijbc_{suffix}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_from_files_to_a_result(ijb_folder, tiny_embedder_dir, tmp_path):
    kept, out = tmp_path / "kept.npy", tmp_path / "out"
    words = [str(tiny_embedder_dir), str(ijb_folder), "--benchmark", "ijbc", "--out", str(out)]
    done = CliRunner().invoke(evaluate, ["ijb", *words, "--keep-embeddings", str(kept)])
    assert done.exit_code == 0, done.exception
    facts = json.loads((out / "result.json").read_text())
    assert facts["counts"] == {"images": 24, "templates": 12, "genuine": 6, "impostor": 60}
    assert [run["setting"] for run in facts["settings"]] == ["N1D1", "N1D0", "N0D1"]
    assert "IJB-C N1D1" in done.output
    assert "data:image/png" in (out / "result.html").read_text()
    again = run_ijb(open_subject(str(kept)), open_ijb(ijb_folder, "ijbc"), settings=["N1D1"], batch_size=8)
    assert again["settings"][0]["auc"] == pytest.approx(facts["settings"][0]["auc"], abs=1e-3)
    assert evaluation_document(again).sections[0].rows[0][0] == "N1D1"


def test_damaged_lists_are_told(ijb_folder, tiny_embedder_dir):
    meta, subject = ijb_folder / "meta", open_subject(str(tiny_embedder_dir))

    def changed(suffix, change, message):
        path = meta / f"ijbc_{suffix}.txt"
        before = path.read_text()
        path.write_text(change(before))
        with pytest.raises(InputError, match=message):
            open_ijb(ijb_folder, "ijbc")
        path.write_text(before)

    changed("face_tid_mid", lambda text: text.replace("3.jpg 2 1", "3.jpg 2"), "line 4: a line is")
    changed("template_pair_label", lambda text: text + "99 1 0\n", "names 1 templates that .* gives no face.* is 99")
    changed("template_pair_label", lambda text: text + "1 1 2\n", "0 or 1")
    changed("template_pair_label", lambda text: text + "1 x 0\n", "not lines of TEMPLATE")
    changed("template_pair_label", lambda text: "1 2 1\n", "one kind only")
    changed("name_5pts_score", lambda text: text[: text.rindex("23.jpg")], "23 lines for 24 faces")
    changed("name_5pts_score", lambda text: text.replace("5.jpg", "6.jpg", 1), r"the image here is 5\.jpg")
    changed("name_5pts_score", lambda text: text.replace("0.91", "high", 1), "not all numbers")
    changed("name_5pts_score", lambda text: text.replace("0.91", "nan", 1), "not finite")
    for name in ("3.jpg", "7.jpg"):
        (ijb_folder / "loose_crop" / name).unlink()
    with pytest.raises(InputError, match=r"2 of the 24 images are missing .* the first is 3\.jpg"):
        run_ijb(subject, open_ijb(ijb_folder, "ijbc"), settings=["N1D0"], batch_size=8)
    (meta / "ijbc_name_5pts_score.txt").unlink()
    with pytest.raises(InputError, match="choose settings with D0"):
        run_ijb(subject, open_ijb(ijb_folder, "ijbc"), settings=["N1D1"], batch_size=8)
    with pytest.raises(InputError, match="by which the faces are aligned"):
        run_ijb(subject, open_ijb(ijb_folder, "ijbc"), settings=["N1D0"], batch_size=8)
    with pytest.raises(InputError, match="cannot read"):
        read_protocol(meta / "absent.txt", meta / "ijbc_template_pair_label.txt")
