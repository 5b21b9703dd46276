"""Vec2Face: make face-recognition datasets of people who do not exist.

Method: "Vec2Face: Scaling Face Dataset Generation with Loosely Constrained Vectors" (arXiv 2409.02979).
Importing this package loads neither torch nor any other heavy library; import the subpackage you need.
"""

__version__ = "0.3.0"
