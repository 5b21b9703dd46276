"""Schemas of group probes: what decides between groups of people, and what such a probe is fitted on. No torch here."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from vec2face.config.base import Schema, doubled

Cell = Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else str(value))]
Name = Annotated[str, Field(min_length=1)]


class Cells(Schema):
    """Cells of a table: labels as they are written, or a range of numbers."""

    labels: tuple[Cell, ...] = Field((), description="cells of the column, as written in the table")
    low: float | None = Field(None, description="smallest number of the range, in the column's unit; null: no bound")
    below: float | None = Field(None, description="end of the range, which does not belong to it; null: no bound")

    @model_validator(mode="after")
    def _one_kind(self) -> "Cells":
        ranged = self.low is not None or self.below is not None
        if ranged == bool(self.labels):
            raise ValueError("either labels or a range (low, below) must be given")
        if self.low is not None and self.below is not None and not self.low < self.below:
            raise ValueError("a range must have low smaller than below")
        return self

    def hold(self, cell: str) -> bool:
        """Whether a cell is one of them; a cell that is no number is in no range."""
        if self.labels:
            return cell.strip() in self.labels
        try:
            number = float(cell)
        except ValueError:
            return False
        return (self.low is None or number >= self.low) and (self.below is None or number < self.below)


class Rows(Cells):
    """Rows of a table, by their cells in one column."""

    column: Name = Field(description="of the labels table")

    def hold_row(self, row: Mapping[str, str]) -> bool:
        """Whether a row of the table is one of them."""
        return self.hold(row[self.column])


class Group(Cells):
    """One group: the cells of those who belong to it."""

    name: Name = Field(description="what the group is called")


class Window(Schema):
    """The part of a 112x112 crop that the labelled faces really show; what lies around it was filled up."""

    left: int = Field(ge=0, lt=56, description="first column, pixels")
    top: int = Field(ge=0, lt=56, description="first row, pixels")
    right: int = Field(gt=56, le=112, description="column after the last, pixels")
    bottom: int = Field(gt=56, le=112, description="row after the last, pixels")
    blur: float = Field(8.0, gt=0, le=16, description="standard deviation of the blur around it, pixels")

    @model_validator(mode="after")
    def _reflects(self) -> "Window":
        for low, high in ((self.left, self.right), (self.top, self.bottom)):
            if max(low, 112 - high) >= high - low:
                raise ValueError("the window must be wider and higher than what lies on any side of it")
        return self


class GroupsOf(Schema):
    """What one probe decides between."""

    name: Name = Field(description="what divides people, such as an age")
    column: Name = Field(description="of the labels table")
    groups: tuple[Group, ...] = Field(min_length=2, description="the groups; a face that is in none is not used")
    rows: tuple[Rows, ...] = Field((), description="rows that the probe is fitted and measured on; each must hold")
    lasting: bool = Field(False, description="whether somebody is in one group in every picture")
    note: str = Field("", description="what a reader of its results must know")

    @model_validator(mode="after")
    def _names_differ(self) -> "GroupsOf":
        if twice := doubled(group.name for group in self.groups):
            raise ValueError(f"{self.name} has the group {twice} twice")
        return self

    @property
    def columns(self) -> set[str]:
        """The columns that the probe reads."""
        return {self.column, *(rows.column for rows in self.rows)}

    def group_of(self, row: Mapping[str, str], *, where: str) -> int | None:
        """Number of the group that a row of the table is in, None for none; `ValueError` where it is in two."""
        if not all(rows.hold_row(row) for rows in self.rows):
            return None
        found = [number for number, group in enumerate(self.groups) if group.hold(row[self.column])]
        if len(found) > 1:
            both = " and ".join(self.groups[number].name for number in found[:2])
            raise ValueError(f"{where}: {row[self.column]!r} is in two groups of {self.name}, {both}")
        return found[0] if found else None


class GroupsRecipe(Schema):
    """Fit linear probes that estimate, from an embedding, which groups the people of a dataset look like."""

    name: Name = Field(description="what the probes are called")
    embedder: Name = Field("embedded", description="reference of the embedder whose vectors are read")
    probes: tuple[GroupsOf, ...] = Field(min_length=1, description="each decides between groups of its own")
    rows: tuple[Rows, ...] = Field((), description="rows of the table that are used; each must hold")
    further: tuple[Rows, ...] = Field(
        (), description="rows that are only measured on, such as faces the embedder has not seen; each must hold"
    )
    window: Window | None = Field(None, description="what audited pictures are seen through; null: they are seen whole")
    folds: int = Field(5, ge=2, description="parts of the people, each held out in turn to measure on")
    apart: float = Field(0.5, gt=-1, le=1, description="largest cosine of a fitted face to one held out")
    penalty: float = Field(1.0, gt=0, description="inverse strength of the squared penalty on the weights")
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="of the folds")

    @property
    def columns(self) -> set[str]:
        """The columns that are read, beside `key`."""
        own = {rows.column for rows in (*self.rows, *self.further)}
        return own.union(*(probe.columns for probe in self.probes))

    @model_validator(mode="after")
    def _probes_differ(self) -> "GroupsRecipe":
        if twice := doubled(probe.name for probe in self.probes):
            raise ValueError(f"the probe {twice} is there twice")
        return self
