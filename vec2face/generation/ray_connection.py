"""Connecting to a Ray cluster, or starting one on this machine, and what Ray's errors say."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from vec2face.errors import ConfigError, MissingDependencyError

_ANSWER_SECONDS = 10.0
# Shards go through the dataset's folder, not through Ray's store.
_STORE_BYTES = 128 << 20


def reason(error: Exception) -> str:
    """Return the telling line of one of Ray's errors: the last of a failed start, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1 if "creation task" in lines[0] else 0].rstrip(".:")


def import_ray() -> ModuleType:
    """Return Ray. Raises `MissingDependencyError` where it is not installed."""
    try:
        import ray
    except ImportError:
        raise MissingDependencyError(
            "rendering on a cluster needs Ray, which is not installed; install it with: pip install 'vec2face[ray]'."
        ) from None
    return ray


@contextmanager
def connected(ray: ModuleType, address: str | None) -> Iterator[bool]:
    """Connect to a cluster, or start one on this machine; yields whether it was started here, and ends it then.

    Args:
        ray: the module.
        address: auto, local, HOST:PORT or ray://HOST:PORT; None takes RAY_ADDRESS, or starts one. A connection that
            this process has already is used instead, and left open.

    Raises:
        ConfigError: no cluster answers there, or it is of another release.
    """
    if ray.is_initialized():
        yield False
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own = address == "local"
    if own:
        # Nothing here reports to anybody unless the user's environment says so.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings = {"include_dashboard": False, "object_store_memory": _STORE_BYTES} if own else {}
    with _termination_kept():
        try:
            _require_answer(address)
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **settings)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"no Ray cluster can be used at {address} ({reason(error)}); start one with 'ray start --head', or "
                "leave --address out to use this machine."
            ) from None
    try:
        yield own
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT or ray://HOST:PORT: Ray itself asks for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()


@contextmanager
def _termination_kept() -> Iterator[None]:
    """Keep this process's answer to SIGTERM, which Ray replaces when it connects."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
