"""Views and their addresses."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue import SORTS, STATES, View

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
NAMES = TEXTS.filter(lambda text: text.strip() != "")
NUMBERS = st.floats(-180, 180, allow_nan=False)
LATITUDES = st.floats(-90, 90, allow_nan=False)
DAYS = st.sampled_from(["", "2019", "2019-02", "2019-02-28", "0001-01-01", "9999"])


@st.composite
def views(draw: Any) -> View:
    """Any view there can be."""
    south, north = sorted([draw(LATITUDES), draw(LATITUDES)])
    like = draw(st.none() | NAMES)
    return View(
        taxon=draw(st.none() | TEXTS),
        part=draw(st.none() | TEXTS),
        states=tuple(draw(st.lists(st.sampled_from(STATES)))),
        words=draw(TEXTS),
        box=draw(st.none() | st.tuples(NUMBERS, st.just(south), NUMBERS, st.just(north))),
        dates=(draw(DAYS), draw(DAYS)),
        tags=tuple(draw(st.lists(NAMES, max_size=3))),
        cluster=draw(st.none() | TEXTS),
        columns=tuple(draw(st.lists(st.tuples(NAMES, TEXTS), max_size=3))),
        region=draw(st.none() | st.lists(st.tuples(*[st.integers(0, 65535)] * 2), min_size=3, max_size=5).map(tuple)),
        like=like,
        sort="likeness" if like else draw(st.sampled_from([sort for sort in SORTS if sort != "likeness"])),
        reverse=draw(st.booleans()),
    )


@given(views())
def test_a_view_and_its_address_are_one(view: View) -> None:
    query = view.query()
    assert View.parse(query) == view
    assert View.parse(parse_qsl(query, keep_blank_values=True)) == view
    assert View.parse(QueryParams(query)) == view
    assert View.parse(query).query() == query
    assert query.isascii() and "<" not in query and '"' not in query and " " not in query


def test_equal_views_have_one_address() -> None:
    one = View.parse("state=validated&state=predicted&tag=b&tag=a&words=%20x%20%20y&is.g=2&is.g=1")
    other = View.parse("is.g=1&tag=a&tag=b&state=predicted,validated&words=x+y&is.g=2&is.g=1&sort=stored&reverse=0&taxon=")
    assert (
        one == other and one.query() == other.query() == "state=predicted&state=validated&words=x%20y&tag=a&tag=b&is.g=1&is.g=2"
    )
    assert View.parse("").query() == View.parse({}).query() == ""
    assert View.parse("&".join(f"state={state}" for state in STATES)) == View()  # all states are no filter
    assert View.parse("like=a") == View(like="a", sort="likeness")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("taxa=x", "'taxa'"),
        ("taxon=a&taxon=b", "'taxon' 2 times"),
        ("state=good", "no state 'good'"),
        ("sort=size", "no sort 'size'"),
        ("reverse=yes", "reverse is 1"),
        ("box=1,2,3", "west,south,east,north"),
        ("box=1,2,3,x", "numbers"),
        ("box=1,2,3,nan", "not finite"),
        ("box=1,50,3,40", "latitudes from 50 to 40"),
        ("box=1,-91,3,40", "latitudes"),
        ("box=-190,0,3,40", "longitudes"),
        ("from=19", "from is a year"),
        ("to=2019-02-30", "to is a year"),
        ("from=٢٠١٩", "from is a year"),
        ("region=1,2,3", "a number is missing"),
        ("region=1,2,3,4", "2 corners"),
        ("region=1,2,3,4,5,65536", "outside the map"),
        ("region=1,2,3,4,5,0.5", "outside the map"),
        ("sort=likeness", "like=ID"),
        ("like=a&sort=id", "like=ID"),
        ("words=" + "a" * 20_001, "20,001 letters"),
        ("taxon=a%00b", "no text has"),
    ],
)
def test_what_an_address_cannot_say_is_named(query: str, said: str) -> None:
    with pytest.raises(BiocosmosError, match=said):
        View.parse(query)


def test_parameters_of_others_are_let_through() -> None:
    assert View.parse("after=x&count=5&node=y&words=z") == View(words="z")
    assert View.parse("kind=novel&words=z", also=("kind",)) == View(words="z")
    with pytest.raises(BiocosmosError, match="'kind'"):
        View.parse("kind=novel")


def test_a_column_may_have_any_name() -> None:
    view = View(columns=(("is.", "a=b&c"), ("Länge (mm)", ""), ("<b>", "'\"")))
    assert View.parse(view.query()) == view
