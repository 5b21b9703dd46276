"""An imported dataset is audited where it stands: its table is filled, and the report says where it comes from."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.interchange.sets import content
from vec2face.config.audit import AuditOptions
from vec2face.generation.verify import verify
from vec2face.interchange.choose import Wanted, subset
from vec2face.interchange.export import Format, export
from vec2face.interchange.imports import import_set
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.workflow import audit_dataset


@pytest.fixture
def pattern(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pattern_embedders: dict[str, FaceEmbedder]) -> None:
    monkeypatch.setattr("vec2face.evaluation.audit.load_embedder", pattern_embedders.__getitem__)
    monkeypatch.setattr("vec2face.evaluation.audit.digest", lambda reference, *, kind: "0" * 64)
    monkeypatch.setattr("vec2face.evaluation.thresholds.locate", lambda reference, *, kind: tmp_path)


@pytest.mark.usefixtures("pattern")
def test_an_imported_set_is_audited_and_cleaned(dataset: Path, tmp_path: Path) -> None:
    export(dataset, tmp_path / "lmdb", to="lmdb")
    import_set(tmp_path / "lmdb", tmp_path / "faces", name="patterns", licence="for <tests> alone")
    summary = audit_dataset(tmp_path / "faces", AuditOptions(embedder="pattern"))
    assert summary.card is None
    assert summary.facts["dataset"]["origin"]["command"] == "import"
    text = (tmp_path / "faces" / "report" / "report.html").read_text()
    assert "vec2face import" in text
    assert "for &lt;tests&gt; alone" in text
    assert verify(tmp_path / "faces").whole
    table = pq.read_table(tmp_path / "faces" / "metadata.parquet")
    statuses = table["audit_status"].to_pylist()
    assert "not measured" not in statuses
    assert all(-1 <= cosine <= 1 for cosine in table["cosine_to_centre"].to_pylist())
    # What was measured can be asked for, as of a generated dataset.
    lowest = sorted(table["cosine_to_centre"].to_pylist())[5]
    subset(tmp_path / "faces", tmp_path / "clean", Wanted(where=f"cosine_to_centre > {lowest!r}"))
    kept = [value > lowest for value in table["cosine_to_centre"].to_pylist()]
    wanted = [data for (_, data), good in zip(content(dataset), kept, strict=True) if good]
    assert [data for _, data in content(tmp_path / "clean")] == wanted
    assert len(wanted) == 17


@pytest.mark.usefixtures("pattern")
@pytest.mark.parametrize("to", ["recordio", "lmdb"])
def test_an_export_is_no_better_measured_than_the_dataset(dataset: Path, tmp_path: Path, to: Format) -> None:
    export(dataset, tmp_path / "exported", to=to)
    import_set(tmp_path / "exported", tmp_path / "imported", name="patterns")
    summaries = [
        audit_dataset(tmp_path / "exported", AuditOptions(embedder="pattern", out=tmp_path / "out")),
        audit_dataset(tmp_path / "imported", AuditOptions(embedder="pattern")),
    ]
    for summary in summaries:
        (check,) = [one for one in summary.facts["checks"] if one["name"] == "independent embedder"]
        assert check["status"] == "warn"
        assert "not known" in check["reason"]
        assert "Whether the embedder took part in making these faces is not known" in summary.sentence
