"""A network's settings, as `config.json` states them: checked before anything is built from them."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, get_type_hints

import torch
from diffusers.models.modeling_utils import ModelMixin
from pydantic import create_model
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from vec2face.config.base import Schema, parse
from vec2face.errors import Vec2FaceError, WeightsError

_LARGEST_NUMBER = 65_536  # a width or a number of blocks beyond this is a mistake, or meant to exhaust the machine
_SPARE_TENSORS = 1_000


def check_settings(model: type[ModelMixin], settings: Mapping[str, Any], *, where: str) -> None:
    """Check settings against the types that a network's constructor states.

    Args:
        model: the network's class.
        settings: its constructor arguments, as JSON gives them.
        where: the file they come from, for messages.

    Raises:
        WeightsError: names every setting that is unknown, missing, of the wrong type or absurdly large.
    """
    arguments = {name: value for name, value in signature(model).parameters.items() if name != "self"}
    unknown = sorted(set(settings) - set(arguments))
    if unknown:
        raise WeightsError(f"{where} holds settings that {model.__name__} does not have: {', '.join(unknown)}.")
    hints = get_type_hints(model.__init__)
    fields: dict[str, Any] = {
        name: (hints[name], ... if argument.default is Parameter.empty else argument.default)
        for name, argument in arguments.items()
    }
    try:
        parse(create_model(model.__name__, __base__=Schema, **fields), settings, where=where)
    except Vec2FaceError as error:
        raise WeightsError(str(error)) from None
    for name, value in settings.items():
        if any(isinstance(number, int | float) and abs(number) > _LARGEST_NUMBER for number in _leaves(value)):
            raise WeightsError(f"{where}: {name}: {value} is beyond {_LARGEST_NUMBER:,}, which no network of ours has.")


def construct(model: type[ModelMixin], settings: Mapping[str, Any], *, where: str, tensors: int) -> ModelMixin:
    """Build a network without memory for its weights (on torch's meta device).

    Args:
        model: the network's class.
        settings: its constructor arguments.
        where: the file they come from, for messages.
        tensors: how many the weights file holds; a network of far more is not built to its end.

    Raises:
        WeightsError: no network can be built from the settings.
    """
    try:
        with torch.device("meta"), _at_most(10 * tensors + _SPARE_TENSORS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about layers of size 0; that they do not fit is told as an error
            return model(**settings)
    except Vec2FaceError as error:
        raise WeightsError(f"{where}: {error}") from None
    except (TypeError, ValueError, KeyError, IndexError, ArithmeticError, RuntimeError) as error:
        # What a layer says to a size it cannot have.
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{where} describes no {model.__name__} that can be built: {reason}.") from None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(inner)
    else:
        yield value


@contextmanager
def _at_most(limit: int) -> Iterator[None]:
    """Raise `WeightsError` when more parameters than `limit` are being made."""
    made = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal made
        made += 1
        if made > limit:
            raise WeightsError("the network would have far more weights than the file holds.")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
