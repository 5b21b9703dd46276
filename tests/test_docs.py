"""What the documents say is true of the code: commands parse, recipes validate, links lead somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from vec2face.config import library
from vec2face_cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
IDS = [str(document.relative_to(ROOT)) for document in DOCUMENTS]

FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def blocks(document: Path, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(document.read_text(encoding="utf-8")) if found == language]


def commands(document: Path) -> list[list[str]]:
    """Return every `vec2face` command line in the document's bash blocks, without the program's name."""
    lines = [line for body in blocks(document, "bash") for line in body.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == ["vec2face"]]


def check_command(words: list[str]) -> None:
    """Raise unless the words name a command, its options exist, and nothing required is missing."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no command {name!r}"
        command = found
    if words == ["--help"]:
        return
    values, rest, _ = command.make_parser(click.Context(command)).parse_args(list(words))
    assert not rest, f"superfluous: {rest}"
    # What was not given is a sentinel of click's, which is no text and no sequence.
    given = {name for name, value in values.items() if isinstance(value, str | list | tuple) and value}
    missing = [parameter.name for parameter in command.params if parameter.required and parameter.name not in given]
    assert not missing, f"missing: {missing}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_commands_exist(document: Path) -> None:
    for words in commands(document):
        try:
            check_command(words)
        except (click.ClickException, AssertionError) as error:
            pytest.fail(f"vec2face {shlex.join(words)}: {error}")


def test_the_check_of_commands_can_fail() -> None:
    check_command(["recipes", "show", "demo"])
    with pytest.raises(click.NoSuchOption):
        check_command(["recipes", "ls", "--colour"])
    with pytest.raises(AssertionError, match="missing"):
        check_command(["recipes", "show"])
    with pytest.raises(AssertionError, match="superfluous"):
        check_command(["recipes", "ls", "x"])
    with pytest.raises(AssertionError, match="no command"):
        check_command(["cake"])


def test_commands_in_recipe_headers_exist() -> None:
    for recipe in library.shipped_recipes():
        lines = [line for line in recipe.text.splitlines() if line.startswith("# Command:")]
        assert len(lines) == 1, f"{recipe.name} states {len(lines)} commands"
        program, *words = shlex.split(lines[0].removeprefix("# Command:"))
        assert program == "vec2face"
        check_command(words)


def test_examples_in_help_exist() -> None:
    examples = []

    def walk(command: click.Command) -> None:
        for line in (command.help or "").replace("\\\n", " ").splitlines():
            text = line.split("  (")[0].strip().removeprefix("Example: ")
            if text.startswith("vec2face "):
                examples.append(shlex.split(text)[1:])
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                walk(child)

    walk(cli)
    assert len(examples) > 10
    for words in examples:
        check_command(words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_recipes_in_documents_are_valid(document: Path, tmp_path: Path) -> None:
    for number, body in enumerate(blocks(document, "yaml")):
        path = tmp_path / f"{document.stem}-{number}.yaml"
        path.write_text(body)
        assert library.validate_file(path) in library.KINDS
        assert yaml.safe_load(body)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_links_inside_the_project_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_readme_names_every_command() -> None:
    from vec2face_cli.main import COMMANDS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`vec2face {name}`" not in text] == []


def test_every_checkpoint_format_is_described() -> None:
    from vec2face.checkpoints.formats import FORMATS

    text = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS if f"`{name}`" not in text] == []


def test_the_generation_recipe_in_the_documents_shows_the_defaults() -> None:
    from vec2face.config.generation import GenerateRecipe

    shown = yaml.safe_load(blocks(ROOT / "docs" / "generate.md", "yaml")[0])
    assert GenerateRecipe.model_validate(shown).resolved() == GenerateRecipe().resolved()


def test_the_model_card_in_the_documents_is_valid() -> None:
    from vec2face.config.model_card import ModelCard

    assert ModelCard.model_validate_json(blocks(ROOT / "docs" / "audit.md", "json")[0]).data


def test_readme_states_the_size_of_the_demo() -> None:
    values = library.find_recipe("generate/demo").values()
    size = f"{values['identities']['count']} people with {values['images_per_identity']} images each"
    assert size in (ROOT / "README.md").read_text(encoding="utf-8")
