"""Where lines end and quotes open: no row may vanish into the field of another."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers import lines
from biocosmos.specimens.readers.lines import Record, Splitter


def split(text: str, separator: str = ",", *, quote: str = '"', width: int | None = None, end: str | None = None) -> list[Record]:
    splitter = Splitter(io.StringIO(text, newline=""), separator, quote, end)
    splitter.width = width
    return list(splitter)


def rows(text: str, separator: str = ",", *, width: int | None = None) -> list[list[str] | None]:
    return [record.fields if record.problem is None else None for record in split(text, separator, width=width)]


def told(text: str, separator: str, end: str | None = None, width: int | None = None) -> list[str]:
    splitter, failures = Splitter(io.StringIO(text, newline=""), separator, '"', end), Failures()
    splitter.width = width
    list(splitter)
    splitter.tell(failures, "t")
    assert failures.errors == 0
    return [failure.reason for failure in failures]


def test_quotes_enclose_separators_quotes_and_line_ends() -> None:
    assert rows('a,"b, ""c""\nd",e\n\nf,g,h', width=3) == [["a", 'b, "c"\nd', "e"], [], ["f", "g", "h"]]
    assert [record.line for record in split('a,"b\nc",d\ne,f,g\n', width=3)] == [1, 3]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_of_the_three_line_ends(end: str) -> None:
    text = end.join(["a,b", 'c,"d"', "", "e,f", ""])
    assert rows(text, width=2) == [["a", "b"], ["c", "d"], [], ["e", "f"]]
    assert told(text, ",") == []
    for declared in ("\n", "\r\n", "\r"):
        # \r\n is read as \n without a word, as every reader does
        said = told(text, ",", declared)
        assert bool(said) == (declared != end and not (declared == "\n" and end == "\r\n")), (declared, end, said)
        assert [r.fields for r in split(text, width=2, end=declared)] == rows(text, width=2)


def test_a_declared_line_end_of_its_own() -> None:
    assert [r.fields for r in split("a,b|c,d|", width=2, end="|")] == [["a", "b"], ["c", "d"]]
    assert "not with '|' as declared" in told("a,b\nc,d\n", ",", "|")[0]


def test_a_few_lines_that_end_otherwise_are_rows_if_they_are_whole() -> None:
    text = "a\tb\tc\nd\te\tf\rg\th\ti\nj\tk\rl\tm\n"
    assert rows(text, "\t", width=3) == [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"], ["j", "k\rl", "m"]]
    assert told(text, "\t", width=3) == ["1 line ends with \\r where the others do not: read as lines"]


def test_a_lone_quote_in_a_tab_separated_table_is_a_letter() -> None:
    text = 'id\tplace\ns1\t"TUBBY" CREEK" [SIC]\ns2\t"Lake\ns3\tWood\ns4\tFen"\ns5\t"a b"\ns6\t5" pipe\n'
    assert rows(text, "\t", width=2) == [
        ["id", "place"],
        ["s1", '"TUBBY" CREEK" [SIC]'],
        ["s2", '"Lake'],
        ["s3", "Wood"],
        ["s4", 'Fen"'],
        ["s5", "a b"],
        ["s6", '5" pipe'],
    ]
    assert told(text, "\t", width=2) == ["quotes in 2 lines, first in line 2 that enclose no field: taken as letters"]


def test_an_open_quote_in_a_comma_separated_table_costs_its_own_line() -> None:
    records = split('a,x\nb,"open\nc,z\nd,"y"\n', width=2)
    assert [r.fields for r in records if r.problem is None] == [["a", "x"], ["c", "z"], ["d", "y"]]
    assert [r.problem for r in records if r.problem] == [
        "the quote opened in line 2 does not end its field: close it, or double it if it is a letter"
    ]
    assert rows('a,x\nb,y\nc,"never', width=2) == [["a", "x"], ["b", "y"], None]


def test_a_quoted_field_that_holds_whole_rows_names_its_lines() -> None:
    records = split('s1,"Lake\ns2,Wood\ns3,Fen"\ns4,Hill\n', width=2)
    assert [r.problem is None for r in records] == [False, False, False, True]
    assert all("lines 1 to 3 are one quoted field that holds whole rows" in str(r.problem) for r in records[:3])
    assert rows('s1,a,b,"Lake\ns2,a,b c,Wood\ns3,a,b,Fen"\n', width=4) == [None, None, None]


def test_prose_over_several_lines_is_a_field() -> None:
    text = 'a,"first line\nsecond, with a comma\n\nthird"\nb,c\n'
    assert rows(text, width=2) == [["a", "first line\nsecond, with a comma\n\nthird"], ["b", "c"]]
    assert rows('"a\nb",c\n"d\ne",f\n', width=2) == [["a\nb", "c"], ["d\ne", "f"]]
    assert rows('"one\ntwo"\n', width=1) == [["one\ntwo"]]
    assert rows('x\t"one\ntwo"\ty\n', "\t", width=3) == [["x", "one\ntwo", "y"]]


def test_careless_quotes_within_a_line() -> None:
    assert rows('a, "b, c", d\n', width=3) == [["a", "b, c", "d"]]
    assert rows('a,"Lake" Erie,b\n', width=3) == [["a", '"Lake" Erie', "b"]]
    assert rows('a,"x, y" z,b\n', width=3) == [["a", "x, y z", "b"]]
    assert rows('a,"say \\"hi\\"",b\n', width=3) == [["a", '"say \\"hi\\""', "b"]]


def test_huge_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "FIELD_LIMIT", 100)
    monkeypatch.setattr(lines, "DROPPED_LIMIT", 1000)
    monkeypatch.setattr(lines, "CHUNK", 50)
    text = "a,b\n" + "x" * 300 + "\nc,d\n" + 'e,"' + "y\n" * 200 + "f,g\n"
    records = split(text, width=2)
    assert [r.fields for r in records if len(r.fields) == 2] == [["a", "b"], ["c", "d"], ["f", "g"]]
    assert "line 2 has more than 100 characters" in str(records[1].problem)
    assert "opened in line 4 does not end" in str(records[3].problem)
    with pytest.raises(BiocosmosError, match="line 1 has more than 1,000 characters"):
        split("x" * 5000)


def test_a_second_line_that_ends_the_text_without_a_line_end() -> None:
    assert rows("a,b\r\nc,d", width=2) == [["a", "b"], ["c", "d"]]
    assert rows("", width=2) == [] and rows("a", width=1) == [["a"]]


CELL = st.text(st.sampled_from("ab é,\t\"\n;'"), max_size=6)


def written(table: list[list[str]], separator: str, end: str) -> str:
    """As every spreadsheet writes a table: cells with anything odd in quotes, quotes doubled."""
    return "".join(
        separator.join('"' + cell.replace('"', '""') + '"' if set(cell) & set(f'{separator}"\r\n') else cell for cell in row)
        + end
        for row in table
    )


def swallows(table: list[list[str]], separator: str) -> bool:
    """Whether a cell of several lines may look like rows."""
    long = [row for row in table if any("\n" in cell for cell in row)]
    return any(separator in cell and ("\n" in cell or separator == "\t") for row in long for cell in row)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=1, max_size=6)),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
@example([["a", "b\nc"], ["", ""]], ",", "\n")
@example([[";", "\n", ";"]], ";", "\n")
def test_what_is_written_well_is_read_as_written(table: list[list[str]], separator: str, end: str) -> None:
    if swallows(table, separator):
        return
    text = written(table, separator, end)
    read = [record for record in split(text, separator, width=len(table[0])) if record.fields or record.problem]
    assert [record.problem for record in read] == [None] * len(table)
    assert [record.fields for record in read] == table
    assert table == list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.text(st.sampled_from('ab"'), max_size=4), min_size=3, max_size=3), min_size=1, max_size=8))
@example([['"', "", ""], ["", "", ""], ["", "", '"']])
@example([["", "", '""'], ["a", "b", '"'], ["", "", 'a"']])
def test_whatever_the_quotes_every_tab_separated_line_is_a_row(table: list[list[str]]) -> None:
    """The oracle: no cell holds a line end, so that there are as many rows as lines, in their order."""
    text = "".join("\t".join(row) + "\n" for row in table)
    read = split(text, "\t", width=3)
    assert [record.line for record in read] == list(range(1, len(table) + 1))
    for record, row in zip(read, table):
        assert record.problem is None and len(record.fields) == 3
        assert all(a in (b, csv_cell(b)) for a, b in zip(record.fields, row))


def csv_cell(cell: str) -> str:
    """A cell without the quotes that enclose it, if they do."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', ""):
        return cell[1:-1].replace('""', '"')
    return cell


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.sampled_from('ab,"\n\r\t'), max_size=60), st.sampled_from([",", "\t"]), st.one_of(st.none(), st.integers(1, 4)))
def test_no_line_is_lost_whatever_the_text(text: str, separator: str, width: int | None) -> None:
    """Every letter that is not structure comes out in some field, or its line is named by a problem."""
    read = split(text, separator, width=width)
    if not any(record.problem for record in read):
        letters = sorted(letter for letter in text if letter in "ab")
        assert sorted(letter for record in read for cell in record.fields for letter in cell if letter in "ab") == letters
    starts = [record.line for record in read]
    assert starts == sorted(starts)
