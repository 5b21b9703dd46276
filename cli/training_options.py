"""Options that the commands of `vec2face train` share."""

import click

from vec2face_cli.locations import LocalPath

PACK = click.option(
    "--data", "pack", type=LocalPath(file_okay=False), required=True, help="Face pack (vec2face data pack)."
)
OUT = click.option("--out", type=LocalPath(), required=True, help="Folder of the run; resumed if it holds one.")
DEVICE = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:N or mps. Under torchrun or accelerate launch: auto, cpu or cuda.",
)
TENSORBOARD = click.option("--tensorboard", is_flag=True, help="Write OUT/tensorboard too, as run.tensorboard: true.")
LOSS_NETWORK = click.option(
    "--embedder", "embedder_ref", default="embedded", show_default=True, help="Loss network: name or folder."
)
