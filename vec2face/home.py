"""Where this toolkit keeps what it brings onto a machine. No torch here."""

import os
from pathlib import Path

HOME_VARIABLE = "VEC2FACE_HOME"


def home_folder() -> Path:
    """Return the folder that the variable VEC2FACE_HOME names, or ~/.cache/vec2face."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "vec2face"
