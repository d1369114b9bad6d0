"""Every refusal of the gate, and what every answer carries."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from biocosmos.serve.access import Access, Limits
from biocosmos.serve.access.headers import POLICY
from biocosmos.serve.access.hosts import Hosts, is_same_origin
from biocosmos.serve.access.sessions import IDLE_SECONDS, LIFE_SECONDS
from biocosmos.serve.pages import STATIC
from doors import HERE, SECRET, TOKEN, Clock, application, bearer, browser, client, users_file, with_token

NAVIGATING = {"sec-fetch-mode": "navigate", "accept": "text/html"}


# ---------------------------------------------------------------------- nobody


@pytest.mark.parametrize(
    "header", [{}, bearer("wrong"), bearer(TOKEN[:-1]), bearer(TOKEN + "x"), {"Authorization": f"Basic {TOKEN}"}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/read"), ("POST", "/api/write"), ("GET", "/api/nowhere"), ("GET", "/api/openapi.json")]
)
def test_without_the_token_nothing_is_told_under_api(header: dict[str, str], method: str, path: str) -> None:
    answer = client(with_token()).request(method, path, headers=header)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert list(answer.json()) == ["error"] and "Bearer TOKEN" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/image", "/nowhere", "/api", "/specimen?id=a%26b"])
def test_without_the_token_a_page_leads_to_the_login_and_back(path: str) -> None:
    answer = client(with_token()).get(path, headers=NAVIGATING)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login?next=%2F")
    assert client(with_token()).get(path, headers={"sec-fetch-mode": "no-cors"}).status_code == 401
    piece = client(with_token()).get(path, headers={"HX-Request": "true"})
    assert piece.status_code == 401 and piece.headers["hx-redirect"].startswith("/login?next=%2F") and "<html" not in piece.text


def test_a_page_that_is_still_open_is_told_to_reload() -> None:
    answer = client(with_token()).post(
        "/api/write", json={"ids": ["a"]}, headers={"origin": HERE, "sec-fetch-site": "same-origin"}
    )
    assert answer.status_code == 401 and answer.json()["error"].startswith("you are logged out: reload this page")


@pytest.mark.parametrize("path", ["/login", "/health", "/static/app.css"])
def test_what_everybody_may_see(path: str) -> None:
    assert client(with_token()).get(path).status_code == 200
    assert client(with_token()).post(path).status_code in (401, 403, 405)


def test_a_link_from_elsewhere_comes_in_with_the_strict_cookie() -> None:
    answer = client(with_token()).get("/?taxon=a&words=%22%3E", headers={**NAVIGATING, "sec-fetch-site": "cross-site"})
    assert answer.status_code == 200 and "hello" not in answer.text
    assert 'http-equiv="refresh" content="0;url=/?taxon=a&amp;words=%22%3E"' in answer.text


def test_a_websocket_is_closed() -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), client(with_token()).websocket_connect("/api/read"):
        pass


# ---------------------------------------------------------------------- the token and its cookie


def test_the_address_with_the_token_sets_a_cookie_and_hides_the_token() -> None:
    made = client(with_token())
    answer = made.get(f"/?taxon=Copepoda%2FA&token={TOKEN}&words=%C3%A9")
    assert answer.status_code == 303 and answer.headers["location"] == "/?taxon=Copepoda%2FA&words=%C3%A9"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("biocosmos-8765=") and TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")} and "Domain" not in cookie
    assert made.get("/").text.startswith("hello ") and made.get("/api/read").status_code == 200


def test_behind_https_the_cookie_is_for_https_alone() -> None:
    made = client(with_token(hosts=Hosts("127.0.0.1", ["cosmos.example.org"])), base_url="https://cosmos.example.org")
    cookie = made.get(f"/?token={TOKEN}").headers["set-cookie"]
    assert "Secure" in cookie and cookie.startswith("biocosmos-443=")
    assert "Secure" not in client(with_token()).get(f"/?token={TOKEN}").headers["set-cookie"]


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "///evil.example/x", "/%0d%0aSet-Cookie:a=b", "/%5cevil.example"]
)
def test_the_address_without_the_token_is_never_elsewhere(path: str) -> None:
    answer = client(with_token()).get(f"{HERE}{path}?token={TOKEN}")
    place = answer.headers.get("location", "/")
    assert re.match(r"/(?![/\\])", place) and "\n" not in place and "a" not in answer.cookies


def test_a_wrong_token_in_an_address_is_refused() -> None:
    answer = client(with_token()).get("/?token=wrong", headers=NAVIGATING)
    assert answer.status_code == 401 and "expired" in answer.text and "set-cookie" not in answer.headers
    assert browser(with_token()).get("/?token=of-an-upload").text.startswith("hello "), "a parameter of a route's own"
    assert client(with_token()).get(f"/api/read?token={TOKEN}").status_code == 401, "an address of the API holds no token"


def test_a_ticket_comes_in_once_and_soon() -> None:
    clock = Clock()
    access = with_token(clock=clock)
    first, late = access.ticket(), access.ticket()
    assert client(access).get(f"/?token={first}").status_code == 303
    assert client(access).get(f"/?token={first}").status_code == 401
    assert client(access).get("/api/me", headers=bearer(late)).status_code == 401, "it is no token of the API"
    clock.now += 61
    assert client(access).get(f"/?token={late}").status_code == 401


def test_the_token_can_be_pasted_on_the_login_page() -> None:
    made = client(with_token())
    assert made.post("/login", data={"token": "wrong"}, headers={"origin": HERE}).status_code == 401
    answer = made.post("/login", data={"token": TOKEN, "next": "/image?a=1"}, headers={"origin": HERE})
    assert answer.status_code == 303 and answer.headers["location"] == "/image?a=1"
    assert made.get("/image").status_code == 200
    assert made.get("/login").headers["location"] == "/"


def test_a_session_ends_when_it_is_not_used_and_at_last_anyway() -> None:
    clock = Clock()
    made = browser(with_token(clock=clock))
    clock.now += IDLE_SECONDS - 1
    assert made.get("/").status_code == 200
    clock.now += IDLE_SECONDS
    assert made.get("/", headers=NAVIGATING).status_code == 303
    made, begun = browser(with_token(clock=clock)), clock.now
    while clock.now + IDLE_SECONDS / 2 < begun + LIFE_SECONDS:
        assert made.get("/").status_code == 200
        clock.now += IDLE_SECONDS / 2
    clock.now = begun + LIFE_SECONDS
    assert made.get("/api/read").status_code == 401


def test_logging_out_ends_the_session_on_the_server() -> None:
    made = browser(with_token())
    kept = made.cookies["biocosmos-8765"]
    answer = made.post("/logout", headers={"origin": HERE})
    assert answer.status_code == 303 and "Max-Age=0" in answer.headers["set-cookie"]
    assert made.get("/api/read", headers={"cookie": f"biocosmos-8765={kept}"}).status_code == 401


def test_sessions_of_servers_on_two_ports_do_not_mix() -> None:
    access = with_token()
    session = browser(access).cookies["biocosmos-8765"]
    elsewhere = client(access, base_url="http://127.0.0.1:9000")
    assert elsewhere.get("/api/read", headers={"cookie": f"biocosmos-8765={session}"}).status_code == 401
    assert elsewhere.get("/api/read", headers={"cookie": f"a=b; biocosmos-9000={session}"}).status_code == 200


# ---------------------------------------------------------------------- hosts and origins


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST", "127.0.0.1:9999"])
def test_hosts_of_this_machine_are_known(host: str) -> None:
    assert client(with_token()).get("/api/read", headers={**bearer(), "host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "a@localhost",
        "",
        "localhost:x",
        "[::2]",
    ],
)
@pytest.mark.parametrize("path", ["/api/read", "/login", "/health", "/static/app.css", f"/?token={TOKEN}"])
def test_another_host_is_refused_whoever_asks(host: str, path: str) -> None:
    answer = client(with_token()).get(path, headers={**bearer(), "host": host})
    assert answer.status_code == 421 and "set-cookie" not in answer.headers


def test_a_server_for_other_machines_answers_to_addresses_and_given_names() -> None:
    hosts = Hosts("0.0.0.0", ["Cosmos.example.org"])
    assert all(map(hosts.known, ["10.0.0.7:8765", "[fe80::1]:80", "cosmos.example.org", "localhost"]))
    assert not hosts.known("evil.example") and not hosts.known("10.0.0.7.evil.example")
    assert Hosts("10.0.0.7").known("10.0.0.7:80") and not Hosts("10.0.0.7").known("10.0.0.8") and Hosts("::1").known("[::1]")


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        ("http://127.0.0.1:8765", True),
        ("http://127.0.0.1:9999", False),
        ("http://localhost:8765", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("http://127.0.0.1:8765.evil.example", False),
        ("file://", False),
    ],
)
def test_a_write_with_a_cookie_comes_from_a_page_of_this_server(origin: str, ours: bool) -> None:
    made = browser(with_token())
    answer = made.post("/api/write", json={"ids": ["a"]}, headers={"origin": origin, "sec-fetch-site": "same-origin"})
    assert answer.status_code == (200 if ours else 403)
    assert made.get("/api/read", headers={"origin": origin}).status_code == 200, "reads are kept from others by the browser"


def test_without_an_origin_a_write_with_a_cookie_needs_the_browsers_word() -> None:
    made = browser(with_token())
    assert made.post("/api/write", json={"ids": ["a"]}).status_code == 403
    for site, status in (("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403)):
        assert made.post("/api/write", json={"ids": ["a"]}, headers={"sec-fetch-site": site}).status_code == status
    assert client(with_token()).post("/api/write", json={"ids": ["a"]}, headers=bearer()).status_code == 200
    assert client(with_token()).post("/login", data={"token": TOKEN}).status_code == 403, "nobody is logged in by another site"
    twice = [("origin", HERE), ("origin", "https://evil.example")]
    assert made.post("/api/write", json={"ids": ["a"]}, headers=twice).status_code == 403
    assert made.delete("/api/read").status_code == 403


def test_a_proxy_that_took_https_off_does_not_stand_in_the_way() -> None:
    assert is_same_origin("https://cosmos.example.org", "cosmos.example.org")
    assert is_same_origin("https://cosmos.example.org:443", "cosmos.example.org")
    assert not is_same_origin("https://cosmos.example.org:444", "cosmos.example.org")
    assert not is_same_origin("ftp://cosmos.example.org", "cosmos.example.org")


# ---------------------------------------------------------------------- limits

SMALL = Limits(url=500, headers=30, header_bytes=4000, body=1000, upload=5000, stranger=100)


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_read() -> None:
    made = client(with_token(SMALL), headers=bearer())
    answer = made.post("/api/write", content=b"{" + b" " * 2000, headers={"content-type": "application/json"})
    assert answer.status_code == 413 and "at most" in answer.json()["error"]
    assert made.post("/api/write", json={"ids": ["a"]}).json()["count"] == 1
    for length in ("x", "-1", "1" * 30):
        assert made.post("/api/raw", content=b"", headers={"content-length": length}).status_code == 400


@pytest.mark.parametrize("path", ["/api/write", "/api/raw"])
def test_a_body_without_a_length_is_counted_as_it_comes(path: str) -> None:
    made = client(with_token(SMALL), headers=bearer())
    answer = made.post(path, content=(b" " * 100 for _ in range(11)), headers={"content-type": "application/json"})
    assert answer.status_code == 413 and answer.headers["content-security-policy"] == POLICY
    assert made.post("/api/raw", content=(b" " * 100 for _ in range(10))).json() == {"size": 1000}


def test_uploads_may_be_larger_and_end_too() -> None:
    made = client(with_token(SMALL), headers=bearer())
    files = [("images", ("a.jpg", b"x" * 1000)), ("images", ("b.jpg", b"y" * 1200))]
    assert made.post("/api/upload", files=files).json() == {"sizes": [1000, 1200]}
    assert made.post("/api/upload", files={"images": ("a.jpg", b"x" * 6000)}).status_code == 413

    def pieces() -> Any:
        yield b'--q\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
        for _ in range(60):
            yield b"x" * 100

    answer = made.post("/api/upload", content=pieces(), headers={"content-type": "multipart/form-data; boundary=q"})
    assert answer.status_code == 413 and "in parts" in answer.json()["error"]


def test_a_stranger_brings_next_to_nothing() -> None:
    made = client(with_token(SMALL), headers={"origin": HERE})
    assert made.post("/login", data={"token": "x" * 200}).status_code == 413
    assert made.post("/login", files={"token": ("a", b"x" * 200)}).status_code == 413


def test_a_body_that_does_not_come_is_waited_for_only_so_long() -> None:
    app = application(with_token(Limits(idle_seconds=0.05)))
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {TOKEN}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/raw",
        "raw_path": b"/api/raw",
        "query_string": b"",
        "headers": headers,
    }
    sent: list[Any] = []
    first = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> Any:
        if first:
            return first.pop()
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    request = app({**scope, "scheme": "http", "server": ("127.0.0.1", 80), "root_path": ""}, receive, send)
    thread = threading.Thread(target=asyncio.run, args=(request,))  # Playwright, where it runs, has this thread's loop
    thread.start()
    thread.join()
    assert sent[0]["status"] == 408 and b"took too long" in sent[1]["body"]


def test_addresses_and_headers_have_an_end() -> None:
    made = client(with_token(SMALL), headers=bearer())
    assert made.get("/api/read?k=5&x=" + "y" * 600).status_code == 414
    assert made.get("/api/read", headers={"x": "y" * 5000}).status_code == 431
    assert made.get("/api/read", headers={f"x{i}": "y" for i in range(40)}).status_code == 431


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pages.py",
        "/static/%2e%2e/pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e%2f%2e%2e%2f__init__.py",
        "/static//etc/passwd",
        "/static/%5c..%5cpages.py",
        "/static/js/%2e%2e/%2e%2e/pages.py",
        "/static/a%00.css",
        "/static/%2fetc/passwd",
        "/static/",
    ],
)
def test_no_path_leads_out_of_static(path: str) -> None:
    for headers in ({}, bearer()):
        answer = client(with_token()).get(HERE + path, headers=headers)
        assert answer.status_code in (303, 401, 404) and "import" not in answer.text and "root:" not in answer.text


# ---------------------------------------------------------------------- what comes back


def test_every_kind_of_answer_carries_the_headers(tmp_path: Path) -> None:
    made, stranger, known = client(with_token(SMALL)), client(with_token(SMALL)), browser(with_token())
    css = next(STATIC.rglob("*.css")).name
    answers = [
        made.get("/login"), made.get("/"), made.get("/api/read"), made.get(f"/static/{css}"), made.get("/static/none"),
        made.get("/x", headers={"host": "evil.example"}), made.get("/x" * 600), made.get("/health"), made.get(f"/?token={TOKEN}"),
        stranger.post("/login", data={"token": "x" * 300}, headers={"origin": HERE}), stranger.get("/?token=wrong"),
        known.get("/"), known.get("/image"), known.get("/api/read"), known.get("/api/read?k=x"), known.get("/nowhere"),
        known.get("/api/nowhere"), known.get("/fault"), known.get("/api/fault"), known.get("/mend"), known.get("/api/mend"),
        known.post("/api/write"), known.put("/api/read", headers={"origin": HERE}), known.get("/api"),
        known.get("/api/openapi.json"), known.head("/"), known.options("/api/read"),
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} >= {200, 303, 400, 401, 403, 404, 405, 413, 414, 421, 422, 500}
    for answer in answers:
        said = answer.headers
        assert said["content-security-policy"] == POLICY and "unsafe" not in POLICY, answer.url
        assert said["x-content-type-options"] == "nosniff" and said["referrer-policy"] == "same-origin"
        assert said["cross-origin-opener-policy"] == said["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in said["permissions-policy"] and "server" not in said and "access-control-allow-origin" not in said
        own = answer.url.path.startswith("/static/") and answer.status_code == 200
        assert said["cache-control"] == (
            "no-cache" if own else "private, max-age=31536000" if answer.url.path == "/image" else "no-store"
        )
    marked = made.get(f"/static/{css}?v=123").headers["cache-control"]
    assert "immutable" in marked and made.get("/static/none?v=1").headers["cache-control"] == "no-store"


def test_errors_are_one_line_and_show_no_inner_works(capsys: pytest.CaptureFixture[str]) -> None:
    known = client(with_token(), headers=bearer())
    mended = known.get("/api/mend")
    assert (
        mended.status_code == 400
        and "\n" not in mended.json()["error"]
        and mended.json()["error"].startswith("the box lies nowhere")
    )
    fault = known.get("/api/fault")
    assert fault.status_code == 500 and SECRET not in fault.text and "Traceback" not in fault.text
    said = capsys.readouterr().err
    assert fault.json()["reference"] in said and SECRET in said and said.count("\n") == 1 and "doors.py" in said
    page = known.get("/fault")
    assert page.status_code == 500 and SECRET not in page.text and "reference" in page.text and "Traceback" not in page.text
    late = known.get("/api/late")
    assert late.text == "begun" and SECRET in capsys.readouterr().err


def test_a_full_disk_is_told_as_that() -> None:
    answer = client(with_token(), headers=bearer()).get("/api/full")
    assert answer.status_code == 507 and "free some space" in answer.json()["error"]


def test_what_strangers_wrote_is_escaped_in_pages_of_errors() -> None:
    known = client(with_token(), headers=bearer())
    page = known.get("/mend")
    assert page.status_code == 400 and "<script>alert" not in page.text and "&lt;script&gt;" in page.text
    for path in ("/<img src=x onerror=alert(1)>", "/login?next=%22%3E%3Cscript%3E"):
        assert "<img src=x" not in known.get(path).text and "<script>" not in client(with_token()).get(path).text
    piece = known.get("/mend", headers={"hx-request": "true"})
    assert "<script>" not in piece.text and piece.text.startswith("<p ") and 'role="alert"' in piece.text


def test_what_does_not_fit_a_route_is_named() -> None:
    known = client(with_token(), headers=bearer())
    answer = known.get("/api/read?k=many")
    assert answer.status_code == 422 and answer.json()["error"].startswith("k: ") and "\n" not in answer.text
    assert known.post("/api/write", json={"ids": ["a", 3]}).json()["error"].startswith("ids[1]: ")
    assert known.post("/api/write", content=b"{", headers={"content-type": "application/json"}).status_code == 422
    assert known.get("/api/nowhere").json() == {"error": "there is nothing at /api/nowhere"}
    assert known.delete("/api/read").json() == {"error": "DELETE does nothing at /api/read"}


def test_nothing_of_another_page_runs_or_is_framed_here(tmp_path: Path) -> None:
    """No inline script, style or handler in the pages of this room."""
    named = client(Access(users=users_file(tmp_path)))
    known = browser(with_token())
    for page in (known.get("/api"), known.get("/nowhere"), named.get("/login"), client(with_token()).get("/login")):
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style|javascript:|https?://(?!127\.0\.0\.1)", page.text)
