"""A proxy before an HTTP server that spoils one request in ten, and can be out of reach for a while."""

import contextlib
import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 10  # in every ten requests, one at a random place is spoilt
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
# Never reaches the server; never reaches it, without an answer; done, but the answer is lost; the answer is cut short.
WAYS = ("503", "reset", "reply lost", "reply cut")


class FlakyProxy:
    """See the module; `with` starts and stops it.

    Attributes:
        requests: how many came.
        spoilt: how many of them were spoilt, by way.
    """

    def __init__(self, port: int, *, seed: int, spoil: bool = True) -> None:
        self.target = port
        self.requests = 0
        self.spoilt: Counter[str] = Counter()
        self._spoil = spoil
        self._random = random.Random(seed)
        self._unlucky = 0
        self._state = threading.Condition()
        self._inside = 0
        self._down = False
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FlakyProxy":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Let the requests inside end, and reset every other connection until the end."""
        self.go_away()
        with self._state:
            self._state.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            self.come_back()

    def go_away(self) -> None:
        """Reset every connection from now on."""
        with self._state:
            self._down = True

    def come_back(self) -> None:
        """Serve again."""
        with self._state:
            self._down = False

    @contextmanager
    def passage(self) -> Iterator[str | None]:
        """Take a request in: gives how to spoil it, or None."""
        with self._state:
            if self._down:
                way: str | None = "reset"
            else:
                if self.requests % BLOCK == 0:
                    self._unlucky = self._random.randrange(BLOCK)
                unlucky = self._spoil and self.requests % BLOCK == self._unlucky
                way = self._random.choice(WAYS) if unlucky else None
                self.requests += 1
                self.spoilt.update([way] if way else [])
            self._inside += 1
        try:
            yield way
        finally:
            with self._state:
                self._inside -= 1
                self._state.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FlakyProxy

    def _serve(self) -> None:
        body = self._body()
        with self.owner.passage() as way:
            if way == "503":
                self._reply(503, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else BUSY)
                return
            if way == "reset":
                self._reset()
                return
            status, headers, answer = self._forward(body)
            if way == "reply lost":
                self._reset()
            elif way == "reply cut":
                self._reply(status, headers, answer, cut=True)
                self._reset()
            else:
                self._reply(status, headers, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.target, timeout=60)
        hop = ("transfer-encoding", "expect", "connection")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
        if body or self.command in ("PUT", "POST"):
            headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body or None, headers)
        reply = connection.getresponse()
        answer = reply.read()
        connection.close()
        return reply.status, reply.getheaders(), answer

    def _reply(self, status: int, headers: list[tuple[str, str]], answer: bytes, *, cut: bool = False) -> None:
        length = str(len(answer))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() == "content-length":
                length = value  # a HEAD request is told the length of what it does not get
            elif name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if cut else answer)
        self.wfile.flush()

    def _reset(self) -> None:
        self.close_connection = True
        # Closing with a zero linger time sends a reset instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)
            self.rfile.close()
            self.wfile.close()
            self.connection.close()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Stay silent."""
