"""Conditions on the columns of a dataset's table, such as `measured_yaw > 10 and sigma < 0.5`.

Read with Python's own grammar, of which only comparisons, `in`, `and`, `or`, `not` and parentheses are taken; nothing
is evaluated as code. A comparison with a value that is missing is not fulfilled.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vec2face.errors import InputError

MAX_LENGTH = 4096
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_EXAMPLE = "such as \"sigma < 0.5 and audit_status == 'consistent'\""


class Query:
    """A condition that was read and fits the columns of a table.

    Attributes:
        condition: for `pyarrow` tables.
        columns: the names it asks for.
    """

    def __init__(self, text: str, schema: pa.Schema) -> None:
        """Read a condition.

        Args:
            text: what the user wrote.
            schema: the table's columns.

        Raises:
            InputError: it is no condition, names a column that is not there, or compares what cannot be compared.
        """
        self._text, self._schema = text, schema
        self.columns: list[str] = []
        if len(text) > MAX_LENGTH:
            raise InputError(f"the condition is {len(text)} characters long; it may have {MAX_LENGTH}.")
        try:
            tree = ast.parse(text.strip(), mode="eval")
            self.condition = self._logic(tree.body)
            self._try()
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise InputError(f"the condition {text!r} cannot be read; write comparisons, {_EXAMPLE}.") from None

    def _try(self) -> None:
        """Apply the condition to no rows, which shows whether types fit."""
        try:
            self._schema.empty_table().filter(self.condition)
        except pa.ArrowException as error:
            reason = " ".join(str(error).split())
            raise InputError(f"the condition {self._text!r} compares what cannot be compared ({reason}).") from None

    def _logic(self, node: ast.expr) -> pc.Expression:
        if isinstance(node, ast.BoolOp):
            parts = [self._logic(part) for part in node.values]
            joined = parts[0]
            for part in parts[1:]:
                joined = joined & part if isinstance(node.op, ast.And) else joined | part
            return joined
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._logic(node.operand)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Name) and pa.types.is_boolean(self._schema.field(self._column(node)).type):
            return pc.field(node.id)
        raise self._refused(node)

    def _comparison(self, node: ast.Compare) -> pc.Expression:
        sides = [node.left, *node.comparators]
        parts = [self._pair(a, op, b) for a, op, b in zip(sides, node.ops, sides[1:], strict=False)]
        joined = parts[0]
        for part in parts[1:]:
            joined = joined & part
        return joined

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pc.Expression:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(left, ast.Name) or not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise self._refused(right)
            kind = self._schema.field(self._column(left)).type
            try:
                values = pa.array([self._constant(part) for part in right.elts], kind)
            except (pa.ArrowException, TypeError, ValueError):
                raise InputError(f"{left.id} holds {kind} values, and not all of {ast.unparse(right)} are.") from None
            found = pc.field(left.id).isin(values)
            return found if isinstance(op, ast.In) else ~found & pc.field(left.id).is_valid()
        if isinstance(op, ast.Is | ast.IsNot):
            if not isinstance(left, ast.Name) or not (isinstance(right, ast.Constant) and right.value is None):
                raise self._refused(right)
            missing = pc.field(self._column(left)).is_null()
            return missing if isinstance(op, ast.Is) else ~missing
        return _COMPARISONS[type(op)](self._value(left), self._value(right))

    def _value(self, node: ast.expr) -> pc.Expression:
        return pc.field(self._column(node)) if isinstance(node, ast.Name) else pc.scalar(self._constant(node))

    def _constant(self, node: ast.expr) -> Any:
        negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str | int | float):
            if not negative:
                return inner.value
            if not isinstance(inner.value, str | bool):
                return -inner.value
        raise self._refused(node)

    def _column(self, node: ast.Name) -> str:
        if node.id not in self._schema.names:
            raise InputError(
                f"there is no column {node.id!r} in the table; it has {', '.join(self._schema.names)} "
                "(an audit adds what it measures)."
            )
        if node.id not in self.columns:
            self.columns.append(node.id)
        return node.id

    def _refused(self, node: ast.expr) -> InputError:
        return InputError(
            f"{ast.unparse(node)!r} has no place in a condition; compare columns with numbers or texts in quotes, "
            f"{_EXAMPLE}."
        )
