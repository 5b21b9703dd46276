"""Fixtures of the servers; `tests/conftest.py` passes them on."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.servers.s3 import S3Server

Connect = Callable[[str], None]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["S3Server"]:
    """A real S3 server process on loopback, with an empty bucket `BUCKET`."""
    pytest.importorskip("moto", reason="needs moto, which the extra 'dev' installs")
    from tests.servers.s3 import S3Server

    with S3Server(tmp_path_factory.mktemp("s3") / "server.log") as server:
        yield server


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Connect:
    """Point this process and those it starts at an S3 endpoint, with local copies of their own."""
    import s3fs

    def to(endpoint: str) -> None:
        values = {
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "VEC2FACE_CACHE": str(tmp_path / "copies"),
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()

    return to


@pytest.fixture
def s3_folder(s3_server: "S3Server", connect: Connect) -> str:
    """The URL of a folder of its own on the server, which this process is connected to."""
    from tests.servers.s3 import BUCKET

    connect(s3_server.endpoint)
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}"
