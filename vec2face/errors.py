"""Errors a user can act on.

Every message is one sentence (or a short list) that says what is wrong, where, and how to fix it. The command line
prints the message of any `Vec2FaceError` and exits with code 2; anything else is a defect and keeps its traceback.
"""


class Vec2FaceError(Exception):
    """Base of every error that a user can cause and mend."""


class ConfigError(Vec2FaceError):
    """A recipe or option is unusable; the message lists every problem found."""


class InputError(Vec2FaceError):
    """A file or value given by the user is unusable."""


class WeightsError(Vec2FaceError):
    """A checkpoint is missing, damaged, unsafe or does not fit its network."""


class ContractError(Vec2FaceError):
    """Two parts that do not fit together were joined (feature width, colour order, image size)."""


class DatasetError(Vec2FaceError):
    """A dataset folder is foreign, damaged, or was planned with other settings."""


class StorageError(Vec2FaceError):
    """The disk is full, read-only or out of reach."""


class WorkerError(Vec2FaceError):
    """A worker process died; what was finished stays."""


class MissingDependencyError(Vec2FaceError):
    """An optional package is not installed; the message names the install command."""


class CardError(Vec2FaceError):
    """A card or report cannot be written because a fact it needs is missing."""
