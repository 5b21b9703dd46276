"""A real S3 server in a process of its own (moto), on loopback.

moto keeps objects in memory. `restart` therefore stands in for a server with a disk: what it holds is read out, the
process is killed, and the next one gets it back before anybody else is let in.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

BUCKET = "faces"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class S3Server:
    """A server process; `with` starts and stops it."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Any:
        """A client that talks to the server itself, past any proxy."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}),
        )

    def __enter__(self) -> "S3Server":
        self._start()
        self.client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def keys(self, prefix: str = "") -> list[str]:
        """The names of the objects that begin so."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """The content of every object whose name begins so."""
        return {key: self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in self.keys(prefix)}

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def restart(self) -> None:
        """Kill the process and start another one with the same objects; see the module."""
        kept = self.objects()
        self._kill()
        self._start()
        self.client.create_bucket(Bucket=BUCKET)
        for key, data in kept.items():
            self.put(key, data)

    def _start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        while True:
            try:
                self.client.list_buckets()
                return
            except botocore.exceptions.BotoCoreError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the S3 server did not start; see {self._log}") from None
                time.sleep(0.1)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
