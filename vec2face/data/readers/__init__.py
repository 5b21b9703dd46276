"""Labelled face sets in several formats, read through one interface.

`open_reader(source)` recognises what `source` is and returns a `FaceReader`: records by position, in order or at
random.
"""

from vec2face.data.readers.base import FaceReader, FaceRecord, People
from vec2face.data.readers.recognise import open_reader

__all__ = ["FaceReader", "FaceRecord", "People", "open_reader"]
