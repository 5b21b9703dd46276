from pathlib import Path

import pytest

from vec2face.config import library
from vec2face.config.base import Schema
from vec2face.config.training import PackRecipe
from vec2face.errors import ConfigError

HEADER_KEYS = ("Needs:", "Command:", "Result:")


def recipe_files(repo_root: Path) -> list[Path]:
    return sorted(path for path in (repo_root / "recipes").rglob("*") if path.suffix in (".yaml", ".yml"))


def test_every_recipe_in_the_tree_is_shipped_and_counted(repo_root: Path) -> None:
    files = recipe_files(repo_root)
    names = [path.relative_to(repo_root / "recipes").with_suffix("").as_posix() for path in files]
    shipped = library.shipped_recipes()
    assert [recipe.name for recipe in shipped] == names
    assert len(shipped) >= len(library.KINDS)
    assert {recipe.kind for recipe in shipped} == set(library.KINDS)


def test_every_shipped_recipe_is_valid() -> None:
    for recipe in library.shipped_recipes():
        assert isinstance(recipe.parse(), library.schema_for(recipe.kind))


def test_the_kind_of_every_shipped_recipe_is_told_from_its_keys(repo_root: Path) -> None:
    for path in recipe_files(repo_root):
        assert library.validate_file(path) == path.parent.name


def test_every_header_states_purpose_needs_command_and_result() -> None:
    for recipe in library.shipped_recipes():
        header = [line.removeprefix("#").strip() for line in recipe.text.splitlines() if line.startswith("#")]
        assert recipe.purpose == header[0] != ""
        for key in HEADER_KEYS:
            assert any(line.startswith(key) and line != key for line in header), f"{recipe.name} lacks {key}"


def test_a_recipe_is_found_by_either_name_and_misses_list_what_there_is() -> None:
    assert library.find_recipe("pack/embedded") == library.find_recipe("embedded", kind="pack")
    with pytest.raises(ConfigError, match=r"no shipped recipe is called 'nothing'.*pack/embedded"):
        library.find_recipe("nothing")


def test_an_ambiguous_name_is_refused_with_the_full_names(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [library.ShippedRecipe(kind, "twin", "# Twin.\n") for kind in ("generate", "pack")]
    monkeypatch.setattr(library, "shipped_recipes", lambda: twins)
    with pytest.raises(ConfigError, match="generate/twin or pack/twin"):
        library.find_recipe("twin")
    assert library.find_recipe("pack/twin") is twins[1]


def test_load_recipe_reads_a_file_and_a_shipped_name_alike(tmp_path: Path) -> None:
    copied = library.copy_recipe("pack/embedded", tmp_path)
    assert library.load_recipe(str(copied), PackRecipe) == library.load_recipe("embedded", PackRecipe)
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*missing\.yaml"):
        library.load_recipe(str(tmp_path / "missing.yaml"), PackRecipe)


def test_copy_keeps_every_byte_and_overwrites_nothing(tmp_path: Path, repo_root: Path) -> None:
    path = library.copy_recipe("pack/embedded", tmp_path / "mine.yaml")
    assert path.read_bytes() == (repo_root / "recipes/pack/embedded.yaml").read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        library.copy_recipe("pack/embedded", path)


def test_every_problem_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("sources: []\nholdout_share: 2\nholdout_sed: 1\n")
    with pytest.raises(ConfigError) as caught:
        library.validate_file(path)
    for key in ("sources", "holdout_share", "holdout_sed"):
        assert f"bad.yaml: {key}: " in str(caught.value)


def test_a_file_of_no_kind_asks_for_one(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("colour: blue\n")
    with pytest.raises(ConfigError, match="cannot tell what kind"):
        library.validate_file(path)
    with pytest.raises(ConfigError, match=r"odd\.yaml: sources: "):
        library.validate_file(path, kind="pack")


def test_an_unknown_kind_names_the_kinds() -> None:
    with pytest.raises(ConfigError, match=r"no kind of recipe is called 'cake'; the kinds are generate, pack"):
        library.schema_for("cake")


def test_every_kind_has_a_schema() -> None:
    for kind in library.KINDS:
        assert issubclass(library.schema_for(kind), Schema)


def test_a_recipe_lays_its_keys_over_those_it_extends(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: demo\nseed: 5\nidentities: {count: 7, rendered: null}\n")
    (tmp_path / "top.yaml").write_text("extends: base.yaml\nseed: 6\n")
    values, where = library.recipe_values(str(tmp_path / "top.yaml"), kind="generate")
    demo = library.find_recipe("generate/demo").values()
    identities = {**demo["identities"], "count": 7}
    del identities["rendered"]
    assert values == {**demo, "seed": 6, "identities": identities}
    assert where == str(tmp_path / "top.yaml")
    assert library.validate_file(tmp_path / "top.yaml", kind="generate") == "generate"
    assert library.validate_file(tmp_path / "base.yaml") == "generate"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("extends: nothing\nseed: 1\n", "no shipped recipe is called 'nothing'"),
        ("extends: pack/embedded\nseed: 1\n", "no shipped recipe is called 'pack/embedded'"),
        ("extends: absent.yaml\nseed: 1\n", r"cannot read the recipe .*absent\.yaml"),
        ("extends: [demo]\nseed: 1\n", r"must be the name of a recipe or a file, not \['demo'\]"),
        ("extends: mine.yaml\nseed: 1\n", "extends this recipe in turn"),
    ],
)
def test_what_cannot_be_extended_is_told(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        library.recipe_values(str(tmp_path / "mine.yaml"), kind="generate")
