"""Ask a store until it answers, for a bounded time, and say in one sentence why it did not."""

import errno
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from vec2face.errors import StorageError, Vec2FaceError
from vec2face.fileio.atomic import explain_os_error

ResultT = TypeVar("ResultT")

# Seconds before each further attempt: for a store that has worked and may be restarting, and for one not met yet.
PATIENT: tuple[float, ...] = (0.2, 0.5, 1, 2, 4, 8, 15, 30, 30)
BRIEF: tuple[float, ...] = (0.2, 0.5)

_THIS_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

# By name, because the packages that raise them are optional.
_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "NoAuthTokenError",
    "UnauthorizedSSOTokenError",
    "TokenRetrievalError",
    "DefaultCredentialsError",
    "RefreshError",
    "LocalTokenNotFoundError",
}
_HOW_TO_LOG_IN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "run `hf auth login`, or set HF_TOKEN",
}
_DEFECTS = (AssertionError, AttributeError, NameError)
_USELESS_TO_REPEAT = (
    NotADirectoryError,
    IsADirectoryError,
    FileExistsError,
    ValueError,
    TypeError,
    NotImplementedError,
)
_ALSO_USELESS = {"ParamValidationError", "InvalidRegionError", "BadRequestError", "HFValidationError"}


def attempt(
    action: Callable[[], ResultT],
    *,
    doing: str,
    url: str,
    pauses: Sequence[float],
) -> ResultT:
    """Call `action` until it succeeds, with growing pauses, as long as its error may pass.

    Args:
        action: one whole operation, which may be repeated.
        doing: what it does, after "cannot", such as "write".
        url: what it does it to.
        pauses: seconds to wait before each further attempt; each is shortened by up to half at random, so that many
            workers do not come back at once.

    Raises:
        FileNotFoundError: there is no such file; the caller knows whether that is an error.
        StorageError: anything else, as one sentence that names `url`.
    """
    waits = iter(pauses)
    attempts = 0
    while True:
        attempts += 1
        try:
            return action()
        except (FileNotFoundError, Vec2FaceError, *_DEFECTS):
            raise
        except Exception as error:  # each store's client raises errors of its own
            if isinstance(error, OSError) and error.errno in _THIS_DISK:
                raise explain_os_error(error, error.filename or "a temporary file") from error
            if (reason := _final_reason(error, url)) is not None:
                raise StorageError(f"cannot {doing} {url}: {reason}.") from error
            pause = next(waits, None)
            if pause is None:
                raise StorageError(
                    f"cannot {doing} {url}: the store failed {attempts} times in a row ({one_line(error)}); "
                    "check the connection and the store, then run the same command again."
                ) from error
            time.sleep(pause * random.uniform(0.5, 1))


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, without a full stop; its type where it has none."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _final_reason(error: Exception, url: str) -> str | None:
    """Say why repeating cannot help, or None if it may."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _NO_CREDENTIALS:
        how = _HOW_TO_LOG_IN.get(url.partition("://")[0], "see the documentation of its fsspec file system")
        return f"no credentials for the store were found ({one_line(error)}); {how}"
    if isinstance(error, PermissionError):
        return f"access is denied ({one_line(error)}); check the credentials and what they may do"
    if isinstance(error, _USELESS_TO_REPEAT) or names & _ALSO_USELESS:
        return one_line(error)
    return None
