"""What strangers' files say is shown as text: ids, taxa, fields and addresses that would be a page's code."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.serve.pages import NAVIGATION
from browsing import Server

HOSTILE = (
    "<img src=x onerror=document.title='hacked'>",
    "\"><script>document.title='hacked'</script>",
    "'};document.title='hacked';//",
    "</title></textarea></script><script>document.title='hacked'</script>",
    "<a href=\"javascript:document.title='hacked'\" autofocus onfocus=document.title='hacked'>a</a>",
    "{{7*191}}${7*191}<%= 7*191 %>",
    "javascript:document.title='hacked'",
    "a\u202eb\u0000c\u2028d%00%3Cscript%3E",
    "../../../../etc/passwd",
    "' OR 1=1 --",
)
NAMES = [text.replace("\0", "") for text in HOSTILE]
EACH = 6


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    rng = np.random.default_rng(0)
    rows = [(f"{name} {i}", name) for name in NAMES for i in range(EACH)]
    pictures = []
    for i in range(len(rows)):
        held = io.BytesIO()
        base = rng.integers(0, 200, 3)
        Image.fromarray((base + rng.integers(0, 55, (48, 48, 3))).astype(np.uint8)).save(held, "JPEG")
        pictures.append(held.getvalue() if i else b"<script>document.title='hacked'</script>")
    path = tmp_path_factory.mktemp("hostile") / "<b>hostile.cosmos"
    collection = bc.Collection.create(path)
    collection.add(
        pa.table(
            {
                "id": [id_ for id_, _ in rows],
                "label": [name for _, name in rows],
                "genus": [NAMES[(i // 12) % len(NAMES)] for i in range(len(rows))],
                "image": pa.array(pictures, pa.binary()),
                "text": [name for _, name in rows],
                "<svg onload=alert(1)>": [name for _, name in rows],
                "latitude": [float(i % 60) for i in range(len(rows))],
                "longitude": [float(i * 7 % 180) for i in range(len(rows))],
            }
        )
    )
    collection.add_embedding("<i>theirs", [id_ for id_, _ in rows], rng.normal(size=(len(rows), 8)).astype(np.float32))
    server = Server(path).start()
    yield server
    server.end()


def harmless(page: Any) -> None:
    """That nothing of it became code, and no mark of it an element."""
    page.wait_for_load_state("networkidle")
    assert "hacked" not in page.title().replace("document.title='hacked'", ""), page.url
    found = page.evaluate(
        """() => [...document.querySelectorAll('*')].flatMap((element) => [
            ...(element.matches('img[src="x"], svg[onload], i > .never') ? [element.outerHTML] : []),
            ...[...element.attributes].filter((each) => each.name.startsWith('on') ||
                (['href', 'src', 'action', 'formaction'].includes(each.name) && /^\\s*javascript:/i.test(each.value)))
                .map((each) => element.tagName + ' ' + each.name + '=' + each.value)])"""
    )
    assert not found, (page.url, found)
    assert "1337" not in page.evaluate("document.body.innerText"), "a template was filled in twice"


@pytest.mark.parametrize("path", [path for path, _ in NAVIGATION] + ["/api"])
def test_pages_show_hostile_names_as_text(hostile_server: Server, opened: Callable[..., Any], path: str) -> None:
    page = opened(hostile_server, path)
    harmless(page)
    if path == "/explore":
        assert page.locator("[data-test=tile]").count() == EACH * len(NAMES) - 1  # what is no picture was refused
        assert sum(name[:12] in page.evaluate("document.body.innerText") for name in NAMES) > len(NAMES) // 2


@pytest.mark.parametrize("place", range(len(NAMES)))
def test_a_specimen_and_addresses_of_a_hostile_name_are_shown(
    hostile_server: Server, opened: Callable[..., Any], place: int
) -> None:
    name, id_ = NAMES[place], f"{NAMES[place]} 1"
    page = opened(hostile_server, f"/specimen?{urlencode({'id': id_})}")
    harmless(page)
    assert "There is no such page" not in page.inner_text("body")
    given = ("words", "taxon", "tag", "sort", "cluster", "box", "part", "like", "after", "region")[place]
    page.goto(f"{hostile_server.address}/explore?{urlencode({given: name})}")
    harmless(page)
    where = ("search", "review", "likeness", "places", "clusters", "jobs", "reports", "identify", "search", "specimen")[place]
    page.goto(f"{hostile_server.address}/{where}?{urlencode(dict.fromkeys(('like', 'text', 'id', 'kind', 'open', 'by'), name))}")
    harmless(page)
