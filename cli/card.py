"""`vec2face card`: write a dataset's card again from the facts of its audit."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath


@click.command(short_help="Write a dataset's card from its audit's facts, without measuring again.")
@click.argument("dataset", type=LocalPath())
@click.option("--out", type=LocalPath(), help="The file; by default card.md beside the facts.")
def card(*, dataset: Path, out: Path | None) -> None:
    """Write the card of DATASET, a dataset that was audited, or the facts.json of an audit.

    The card is Markdown with the header that the Hugging Face hub reads: call it README.md there. Every number in it
    stands in facts.json; nothing is measured again, and a missing fact is an error. Only generated datasets have cards.

    \b
    Examples:
      vec2face card faces
      vec2face card faces --out upload/README.md
      vec2face card data_cards/demo/facts.json
    """
    from vec2face.cards import find_facts, write_card

    path, facts = find_facts(dataset)
    destination = out or path.parent / "card.md"
    write_card(facts, destination)
    click.echo(f"Wrote {destination} from {path}.")
