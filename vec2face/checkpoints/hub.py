"""Files and folders from the model hub. Nothing else in the library touches the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from vec2face.errors import WeightsError


def download_file(repository: str, file: str, repository_type: Literal["model", "dataset"]) -> Path:
    """Download one file into the hub client's own cache, with its progress bar, and return its path there.

    Raises:
        WeightsError: the hub cannot be reached, or does not give the file.
    """
    import huggingface_hub

    with _one_sentence(f"{repository}/{file}"):
        return Path(huggingface_hub.hf_hub_download(repository, file, repo_type=repository_type))


def download_folder(repository: str, revision: str | None, files: list[str]) -> Path:
    """Download the named files of a model repository, as far as it has them, and return the folder they lie in.

    Raises:
        WeightsError: the hub cannot be reached, or does not give the repository.
    """
    import huggingface_hub

    with _one_sentence(repository):
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=files))


@contextmanager
def _one_sentence(what: str) -> Iterator[None]:
    """Turn whatever the hub client raises and logs into one error."""
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # it would report every retry
    try:
        yield
    except LocalEntryNotFoundError:
        raise WeightsError(f"cannot reach the hub for {what}; check the network connection and try again.") from None
    except Exception as error:  # besides its own, the client lets errors of its HTTP library through
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(f"the hub does not give {what}: {lines[0].rstrip('.')}.") from None
    finally:
        logging.set_verbosity(verbosity)
