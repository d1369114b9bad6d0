"""Cells that a spreadsheet would take for formulas, made safe and given back.

A program that opens a CSV runs a cell that begins with = + - @, a tab or a line end (OWASP, "CSV injection"); an apostrophe
before it is what makes it text. Files written so begin with a byte-order mark, without which spreadsheets garble accents;
where one is found, the apostrophes are taken away again.
"""

from __future__ import annotations

import re

MARK = "\ufeff"
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""What would run, however many apostrophes stand before it: so that taking one away always gives the text back."""
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet runs; numbers stay numbers.

    >>> guarded("=1+1"), guarded("-5.3"), guarded("a=b")
    ("'=1+1", '-5.3', 'a=b')
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def unguarded(text: str) -> str:
    """What :func:`guarded` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text, 1) else text
