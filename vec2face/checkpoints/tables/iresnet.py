"""Keys of IResNet checkpoints of ArcFace's and MagFace's PyTorch code, with or without squeeze-excitation."""

from vec2face.checkpoints.tables.key_table import KeyTable
from vec2face.models.embedders.iresnet import STAGE_WIDTHS

_BLOCK = {
    "bn1": "bn1",
    "conv1": "conv1",
    "bn2": "bn2",
    "prelu": "act",
    "conv2": "conv2",
    "bn3": "bn3",
    "downsample.0": "downsample.conv",
    "downsample.1": "downsample.bn",
    "attn.fc1": "gate.reduce",
    "attn.fc2": "gate.expand",
}

IRESNET = KeyTable(
    {
        "conv1.*": "stem_conv.*",
        "bn1.*": "stem_bn.*",
        "prelu.*": "stem_act.*",
        **{
            f"layer{stage + 1}.{{block}}.{foreign}.*": f"stages.{stage}.{{block}}.{ours}.*"
            for stage in range(len(STAGE_WIDTHS))
            for foreign, ours in _BLOCK.items()
        },
        "bn2.*": "bn_out.*",
        "fc.*": "linear.*",
        "features.*": "embedding_bn.*",
    }
)
