"""Keys of LPIPS: torchvision's classifiers, of which it takes the convolutions, and its own heads."""

from vec2face.checkpoints.tables.key_table import KeyTable, zeros

# The fully connected layers of VGG-16 and of AlexNet, by torchvision's numbers; LPIPS has no use for them.
_CLASSIFIERS = ("0", "1", "3", "4", "6")

TRUNK = KeyTable(
    {"features.{layer}.*": "trunk.{layer}.*"},
    dropped={f"classifier.{layer}.{leaf}": zeros(1) for layer in _CLASSIFIERS for leaf in ("weight", "bias")},
)
HEADS = KeyTable({"lin{map}.model.1.weight": "heads.{map}"})
