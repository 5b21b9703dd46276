"""The base of every schema, and reading YAML so that all problems are reported at once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from vec2face.errors import ConfigError, InputError
from vec2face.fileio.location import refuse_url


class Schema(BaseModel):
    """A frozen schema that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _paths_are_of_this_machine(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse URLs where a field takes none: as a path, s3://bucket/x would be a folder of that name here."""
        if isinstance(value, Path):
            try:
                refuse_url(value, what=str(info.field_name))
            except InputError as error:
                raise ValueError(str(error).removesuffix(".")) from None
        return value


SchemaT = TypeVar("SchemaT", bound=Schema)


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML's readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands twice; keep one", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def parse(schema: type[SchemaT], values: Mapping[str, Any], *, where: str) -> SchemaT:
    """Validate `values` against `schema`.

    Raises:
        ConfigError: names every problem at once, each with its key, as "where: key: problem".
    """
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_describe(error, schema, where)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises `ConfigError` if the file is missing, is not YAML, or is not a mapping.

    Raises `InputError` for a URL.
    """
    refuse_url(path, what="RECIPE")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {getattr(error, 'strerror', None) or error}.") from None
    try:
        values = yaml.load(text, _UniqueKeys)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, as the shipped recipes do.")
    return values


def doubled(names: Iterable[str]) -> str:
    """Return the names that stand there more than once, in order and joined by commas; empty if none does."""
    return ", ".join(sorted(name for name, count in Counter(names).items() if count > 1))


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over nested values; null takes a key out (JSON merge patch, RFC 7396)."""
    result = dict(values)
    for key, change in changes.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, Mapping):
            old = result.get(key)
            result[key] = merged(old if isinstance(old, Mapping) else {}, change)
        else:
            result[key] = change
    return result


def _describe(error: ValidationError, schema: type[Schema], where: str) -> str:
    lines = []
    problems = error.errors()
    for problem in problems:
        if problem["type"] == "too_short" and _has_inner_problem(problem["loc"], problems):
            continue  # pydantic counts the valid items alone; what is wrong with the others is said already
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = _known_keys(schema, problem["loc"][:-1])
            message = f"unknown key; known here: {', '.join(known)}" if known else "unknown key"
        elif problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
            context = problem["ctx"]  # pydantic quotes the name of the key that tells the kinds apart
            found = f", not {context['tag']!r}" if "tag" in context else ""
            expected = f" must be one of {context['expected_tags']}{found}" if found else " is missing"
            message = context["discriminator"].strip("'") + expected
        elif problem["type"] != "value_error" and "input" in problem and not isinstance(problem["input"], dict):
            message = f"{message[0].lower()}{message[1:]}, not {problem['input']!r}"
        lines.append(f"{where}: {key}: {message}" if key else f"{where}: {message}")
    return "\n".join(lines)


def _has_inner_problem(location: tuple[int | str, ...], problems: list[ErrorDetails]) -> bool:
    depth = len(location)
    return any(len(other["loc"]) > depth and other["loc"][:depth] == location for other in problems)


def _known_keys(schema: type[Schema], location: tuple[int | str, ...]) -> list[str]:
    current: Any = schema
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        current = None if field is None else _schema_in(field.annotation)
    return sorted(getattr(current, "model_fields", {}))


def _schema_in(annotation: Any) -> Any:
    """Return the schema of an optional section, or the annotation itself."""
    schemas = [one for one in get_args(annotation) if hasattr(one, "model_fields")]
    return schemas[0] if len(schemas) == 1 else annotation
