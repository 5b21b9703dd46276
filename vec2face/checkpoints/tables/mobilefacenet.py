"""Keys of three published MobileFaceNets."""

from vec2face.checkpoints.tables.key_table import KeyTable


def _blocks(names: list[str], parts: dict[str, str]) -> dict[str, str]:
    """Rules of the fifteen inverted residuals: `names[i]` is the published prefix of our block i."""
    return {
        f"{name}.{foreign}.*": f"blocks.{index}.{ours}.*"
        for index, name in enumerate(names)
        for foreign, ours in parts.items()
    }


ARCFACE_MBF = KeyTable(
    {
        "layers.0.layers.0.*": "stem.conv.*",
        "layers.0.layers.1.*": "stem.bn.*",
        "layers.0.layers.2.*": "stem.act.*",
        "layers.1.layers.0.*": "second.conv.*",
        "layers.1.layers.1.*": "second.bn.*",
        "layers.1.layers.2.*": "second.act.*",
        **_blocks(
            [
                "layers.2",
                *(f"layers.3.layers.{i}" for i in range(4)),
                "layers.4",
                *(f"layers.5.layers.{i}" for i in range(6)),
                "layers.6",
                *(f"layers.7.layers.{i}" for i in range(2)),
            ],
            {
                "layers.0.layers.0": "expand.conv",
                "layers.0.layers.1": "expand.bn",
                "layers.0.layers.2": "expand.act",
                "layers.1.layers.0": "depthwise.conv",
                "layers.1.layers.1": "depthwise.bn",
                "layers.1.layers.2": "depthwise.act",
                "layers.2.layers.0": "project.conv",
                "layers.2.layers.1": "project.bn",
            },
        ),
        "conv_sep.layers.0.*": "widen.conv.*",
        "conv_sep.layers.1.*": "widen.bn.*",
        "conv_sep.layers.2.*": "widen.act.*",
        "features.layers.0.layers.0.*": "pool.conv.*",
        "features.layers.0.layers.1.*": "pool.bn.*",
        "features.layers.2.*": "projection.1.*",
        "features.layers.3.*": "embedding_bn.*",
    }
)

MOBILEFACENET_PRELU = KeyTable(
    {
        "conv1.conv.*": "stem.conv.*",
        "conv1.bn.*": "stem.bn.*",
        "conv1.prelu.*": "stem.act.*",
        "conv2_dw.conv.*": "second.conv.*",
        "conv2_dw.bn.*": "second.bn.*",
        "conv2_dw.prelu.*": "second.act.*",
        **_blocks(
            [
                "conv_23",
                *(f"conv_3.model.{i}" for i in range(4)),
                "conv_34",
                *(f"conv_4.model.{i}" for i in range(6)),
                "conv_45",
                *(f"conv_5.model.{i}" for i in range(2)),
            ],
            {
                "conv.conv": "expand.conv",
                "conv.bn": "expand.bn",
                "conv.prelu": "expand.act",
                "conv_dw.conv": "depthwise.conv",
                "conv_dw.bn": "depthwise.bn",
                "conv_dw.prelu": "depthwise.act",
                "project.conv": "project.conv",
                "project.bn": "project.bn",
            },
        ),
        "sep.*": "widen.conv.*",
        "sep_bn.*": "widen.bn.*",
        "prelu.*": "widen.act.*",
        "GDC_dw.*": "pool.conv.*",
        "GDC_bn.*": "pool.bn.*",
        "features.*": "projection.0.*",
        "last_bn.*": "embedding_bn.*",
    }
)

MOBILEFACENET_RELU6 = KeyTable(
    {
        "conv1.0.*": "stem.conv.*",
        "conv1.1.*": "stem.bn.*",
        "dw_conv.depthwise.*": "second.0.conv.*",
        "dw_conv.bn1.*": "second.0.bn.*",
        "dw_conv.pointwise.*": "second.1.conv.*",
        "dw_conv.bn2.*": "second.1.bn.*",
        **_blocks(
            [f"features.{i}" for i in range(15)],
            {
                "conv.0.0": "expand.conv",
                "conv.0.1": "expand.bn",
                "conv.1.0": "depthwise.conv",
                "conv.1.1": "depthwise.bn",
                "conv.2": "project.conv",
                "conv.3": "project.bn",
            },
        ),
        "conv2.0.*": "widen.conv.*",
        "conv2.1.*": "widen.bn.*",
        "gdconv.depthwise.*": "pool.conv.*",
        "gdconv.bn.*": "pool.bn.*",
        "conv3.*": "projection.0.*",
        "bn.*": "embedding_bn.*",
    }
)
