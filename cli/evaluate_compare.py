"""`vec2face evaluate compare`: results beside each other and beside published ones."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath

_PATH = LocalPath()


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True)
@click.option("--published", is_flag=True, help="Add published accuracies of synthetic and real training sets.")
@click.option("--out", type=_PATH, help="Folder for comparison.json, .html, .md and a plot.")
@click.option("--overwrite", is_flag=True, help="Replace an existing comparison.")
def compare(results: tuple[str, ...], published: bool, out: Path | None, overwrite: bool) -> None:
    """Set RESULTs of `evaluate verification` (result.json, or its folder; NAME=RESULT names it) side by side.

    Each row says in what its training differs from that of the first. Published rows come from other backbones, heads,
    augmentations and ways to choose a checkpoint; the table says which, as far as the sources do.

    \b
    Example:
      vec2face evaluate compare run-a run-b --published --out comparison
    """
    from vec2face.cards.benchmark import comparison_document, write_document
    from vec2face.errors import InputError
    from vec2face.evaluation.compare import bars, read_runs
    from vec2face.evaluation.compare import compare as join
    from vec2face.evaluation.plots import plot_comparison
    from vec2face.fileio.atomic import write_json
    from vec2face.fileio.outputs import require_writable

    if out is not None:
        if (out / "comparison.json").exists() and not overwrite:
            raise InputError(f"{out} already holds a comparison.json; choose another folder or add --overwrite.")
        require_writable(out, output=out)
    facts = join(read_runs(results), published=published)
    label, values = bars(facts)
    if out is not None:
        plot_comparison(out / "comparison.png", values, label=f"accuracy, {label}")
        write_document(comparison_document(facts, figure="comparison.png"), out, "comparison")
        write_json(out / "comparison.json", facts)
    width = max(len(row["name"]) for row in facts["rows"])
    widths = {column: max(9, 2 + len(column)) for column in facts["columns"]}
    click.echo(" " * width + "".join(f"{column:>{widths[column]}}" for column in facts["columns"]))
    for row in facts["rows"]:
        cells = (
            f"{row['scores'][column]:>{widths[column]}.2f}" if column in row["scores"] else f"{'-':>{widths[column]}}"
            for column in facts["columns"]
        )
        click.echo(f"{row['name']:<{width}}" + "".join(cells) + ("" if row["own"] else f"  [{row['mark']}]"))
    first, *others = facts["rows"]
    for row in others:
        if row["own"]:
            text = "; ".join(row["differs"]) or "nothing that both state"
            silent = f"; not stated by both: {', '.join(row['unstated'])}" if row["unstated"] else ""
            click.echo(f"{row['name']} differs from {first['name']} in {text}{silent}.")
    for row in facts["rows"]:
        if row["own"] and row["note"]:
            click.echo(f"{row['name']}: {row['note']}.")
    if facts["differing"]:
        click.echo(f"Not the same set in every result: {', '.join(facts['differing'])}.", err=True)
    if facts["warning"] is not None:
        click.echo(facts["warning"], err=True)
