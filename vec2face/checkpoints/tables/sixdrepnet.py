"""Keys of 6DRepNet's RepVGG in deploy form."""

from vec2face.checkpoints.tables.key_table import KeyTable

SIXDREPNET = KeyTable(
    {
        "layer0.rbr_reparam.*": "stem.0.0.*",
        **{f"layer{stage + 1}.{{block}}.rbr_reparam.*": f"stages.{stage}.{{block}}.0.*" for stage in range(4)},
        "linear_reg.*": "linear.*",
    }
)
