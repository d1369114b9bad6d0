"""Biovolumes by formula: sphere, ellipsoid, or a small arithmetic over columns. It is parsed, never run as code.

Formulas as EcoTaxa's documentation has them; ``px`` is the side of a pixel in mm, so that what comes out is mm³. Nothing heavy is
imported here.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from biocosmos.settings import SettingError

FORMULAS: Mapping[str, str] = {
    "sphere": "4/3*pi*(sqrt(area/pi)*px)**3",
    "ellipsoid": "4/3*pi*(major/2*px)*(minor/2*px)**2",
}
"""Of the area (px²) of a specimen, or of the axes (px) of the ellipse that is like it."""
PIXEL, PI = "px", "pi"
LONGEST = 300
COLUMN_PREFIXES = ("", "object_")
"""A name in a formula is a column of that name, or EcoTaxa's with this before it."""
Number = Callable[[str], float]
"""Name -> its value in one row, nan where it is not known."""
_TWO = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Formula:
    """text: as it was told; names: of columns in it; factor: mm³ of what comes out, 1 where the pixel's side is in it."""

    text: str
    names: tuple[str, ...]
    factor: float = 1.0
    _run: Callable[[Number], float] = field(default=lambda of: math.nan, compare=False, repr=False)

    @property
    def of_pixels(self) -> bool:
        """Whether the pixel's side is in it."""
        return PIXEL in self.names

    @property
    def column_names(self) -> tuple[str, ...]:
        """Those that are no pixel."""
        return tuple(name for name in self.names if name != PIXEL)

    def of(self, number: Number) -> float:
        """mm³ of one specimen; nan where a number is not known, and for what is no number above 0."""
        try:
            found = self._run(number) * self.factor
        except (ArithmeticError, ValueError, TypeError):
            return math.nan
        return found if isinstance(found, float) and math.isfinite(found) and found > 0 else math.nan


def formula_of(text: str, factor: float | None = None) -> Formula:
    """Read "sphere", "ellipsoid" or an arithmetic of numbers, columns, ``px``, ``pi``, ``sqrt``, + - * / ** and brackets.

    factor: mm³ of what comes out; None: it has the pixel's side in it, in mm. Raises SettingError for anything else.
    """
    source = FORMULAS.get(text, text)
    known = f"a formula is {', '.join(FORMULAS)} or made of columns, numbers, px, pi, sqrt, + - * / ** and brackets"
    if len(source) > LONGEST:
        raise SettingError(f"--biovolume is {len(source):,} letters long: {known}, of at most {LONGEST} letters")
    try:
        tree = ast.parse(source.strip(), mode="eval").body
        names: dict[str, None] = {}
        run = _compiled(tree, names)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SettingError(f"--biovolume {text!r} is not understood: {known}") from None
    found = Formula(text, tuple(names), 1.0 if factor is None else factor, run)
    if not found.column_names:
        raise SettingError(f"--biovolume {text!r} is the same for all specimens: {known}")
    if factor is None and not found.of_pixels:
        raise SettingError(
            f"--biovolume {text!r} has no unit: put px into it, the side of a pixel, or =mm3 or =um3 behind it: units are told, "
            "never guessed"
        )
    return found


def _compiled(node: ast.AST, names: dict[str, None]) -> Callable[[Number], float]:
    """What computes a node. Raises ValueError for what is not on the list."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        value = float(node.value)  # whole numbers too: 9**9**9 of them would never end, of floats it overflows
        return lambda number: value
    if isinstance(node, ast.Name):
        name = node.id
        if name == PI:
            return lambda number: math.pi
        names[name] = None
        return lambda number: number(name)
    if isinstance(node, ast.BinOp) and type(node.op) in _TWO:
        do, left, right = _TWO[type(node.op)], _compiled(node.left, names), _compiled(node.right, names)
        return lambda number: do(left(number), right(number))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner, sign = _compiled(node.operand, names), -1.0 if isinstance(node.op, ast.USub) else 1.0
        return lambda number: sign * inner(number)
    root = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sqrt"
    if isinstance(node, ast.Call) and root and len(node.args) == 1 and not node.keywords:
        inner = _compiled(node.args[0], names)
        return lambda number: math.sqrt(inner(number))
    raise ValueError("not on the list")


__all__ = ["FORMULAS", "PIXEL", "Formula", "formula_of"]
