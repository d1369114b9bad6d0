"""Who may come in, as a real browser and a real connection see it."""

from __future__ import annotations

import http.server
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import biocosmos as bc
import browsing
from biocosmos.serve.access import Access, Limits
from browsing import Server
from doors import PASSWORDS, TOKEN, Live, bearer, users_file, with_token

MB = 1 << 20


@pytest.fixture
def live() -> Iterator[Live]:
    with Live(with_token()) as server:
        yield server


@pytest.fixture
def stranger() -> Iterator[Any]:
    """``stranger(html)``: the address of a page of another site."""
    pages: list[str] = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(pages[-1].encode())

        def log_message(self, *_: Any) -> None:
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()

    def show(html: str, host: str = "localhost") -> str:
        pages.append(f"<!doctype html><title>stranger</title>{html}")
        return f"http://{host}:{site.server_port}/"

    yield show
    site.shutdown()
    thread.join()


# ---------------------------------------------------------------------- a browser


def test_named_users_log_in_and_out_in_a_browser(chromium: Any, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with Live(Access(users=users_file(tmp_path))) as server:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"{server.address}/form?a=1&b=%C3%A9")
        assert page.url.startswith(f"{server.address}/login?next=")
        found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
        assert not found, [each["help"] for each in found]
        assert page.evaluate("document.activeElement.name") == "user"
        page.keyboard.type("ada")
        page.keyboard.press("Tab")
        page.keyboard.type("wrong password")
        page.keyboard.press("Enter")
        assert "wrong" in page.locator("[data-test=login-problem]").inner_text()
        assert page.evaluate("document.activeElement.name") == "password", "the name is kept"
        page.keyboard.type(PASSWORDS["ada"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"{server.address}/form?a=1&b=%C3%A9")
        assert page.locator("#who").inner_text() == "ada"
        other = chromium.new_context().new_page()
        other.goto(f"{server.address}/login")
        other.fill("[name=user]", "vera")
        other.fill("[name=password]", PASSWORDS["vera"])
        other.click("[data-test=login-go]")
        assert other.locator("body").inner_text() == "hello vera"
        page.click("button")
        page.wait_for_url(f"{server.address}/login")
        page.goto(f"{server.address}/form")
        assert "/login" in page.url
        other.reload()
        assert other.locator("body").inner_text() == "hello vera"
        other.context.close()
        context.close()


def test_a_page_runs_no_script_that_somebody_wrote_into_it(chromium: Any, live: Live) -> None:
    page = chromium.new_page()
    page.goto(f"{live.address}/form?token={TOKEN}")
    assert page.url == f"{live.address}/form"
    page.wait_for_load_state("networkidle")
    assert page.title() not in ("inline", "handler")
    assert page.evaluate("getComputedStyle(document.getElementById('red')).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.cookie") == "", "no script sees the session"
    page.context.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another site", "another port of this machine"])
def test_a_page_of_another_site_does_nothing_here(chromium: Any, live: Live, stranger: Any, host: str) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{live.address}/?token={TOKEN}")
    page.goto(stranger(f'<form method="post" action="{live.address}/api/jobs"><button>a prize</button></form>', host))
    tried = page.evaluate(
        """async (address) => {
            const seen = [];
            for (const how of [{}, {mode: "no-cors"}, {headers: {"Content-Type": "application/json"}}]) {
                for (const method of ["GET", "POST"]) {
                    const body = method === "POST" ? "{}" : undefined;
                    const path = method === "POST" ? "/api/jobs" : "/api/read";
                    try {
                        const answer = await fetch(address + path, {method, body, credentials: "include", ...how});
                        seen.push(answer.type === "opaque" ? "" : await answer.text());
                    } catch (error) { seen.push(""); }
                }
            }
            const image = new Image();
            seen.push(await new Promise((done) => {
                image.onload = () => done("loaded"); image.onerror = () => done(""); image.src = address + "/image";
            }));
            return seen;
        }""",
        live.address,
    )
    assert tried == [""] * 7
    page.click("button")
    page.wait_for_url(f"{live.address}/api/jobs")
    assert not hasattr(live.app.state, "runs"), "nothing ran"
    page.goto(f"{live.address}/form")
    assert (
        page.evaluate("fetch('/api/jobs', {method: 'POST'}).then((answer) => answer.status)") == 200 and live.app.state.runs == 1
    )
    context.close()


def test_a_link_on_another_site_opens_a_page_for_who_is_logged_in(chromium: Any, live: Live, stranger: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{live.address}/?token={TOKEN}")
    page.goto(stranger(f'<a href="{live.address}/form?a=1">look</a>'))
    page.click("a")
    page.wait_for_selector("#who")
    assert page.url == f"{live.address}/form?a=1"
    page.goto(stranger(f'<a href="{live.address}/form?token={TOKEN}">come in</a>'))
    context.clear_cookies()
    page.click("a")
    page.wait_for_selector("#who")
    assert page.url == f"{live.address}/form"
    context.clear_cookies()
    page.goto(stranger(f'<a href="{live.address}/form">look</a>'))
    page.click("a")
    page.wait_for_url(f"{live.address}/login?next=%2Fform")
    page.goto(stranger(f'<iframe src="{live.address}/login"></iframe>'))
    page.wait_for_load_state("networkidle")
    assert "Log in" not in (page.frames[-1].content() if len(page.frames) > 1 else ""), "no page is framed elsewhere"
    context.close()


# ---------------------------------------------------------------------- a server


def test_a_server_with_users_has_no_token_and_outlives_a_kill(tmp_path: Path) -> None:
    bc.Collection.create(tmp_path / "a.cosmos")
    server = Server(tmp_path / "a.cosmos", ("--users", str(users_file(tmp_path)))).start()
    try:
        given = {"user": "ada", "password": PASSWORDS["ada"]}
        token = httpx.post(f"{server.address}/api/login", json=given).json()["token"]
        me = f"{server.address}/api/me"
        assert httpx.get(me, headers=bearer(token)).json() == {"user": "ada", "role": "annotator"}
        assert httpx.get(me, headers=bearer(browsing.TOKEN)).status_code == 401
        assert httpx.get(f"{server.address}/explore").headers["location"] == "/login?next=%2Fexplore"
        _, said = server.stop(signal.SIGKILL)
        server.start()
        me = f"{server.address}/api/me"
        assert not said and httpx.get(me, headers=bearer(token)).status_code == 401, "a session ends with its server"
        token = httpx.post(f"{server.address}/api/login", json=given).json()["token"]
        assert httpx.get(me, headers=bearer(token)).status_code == 200
    finally:
        server.end()


def test_a_server_does_not_start_on_users_that_do_not_hold(tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    bc.Collection.create(tmp_path / "a.cosmos")
    (tmp_path / "users.toml").write_text("[users.ada]\nrole = 'emperor'\n")
    said = biocosmos("serve", tmp_path / "a.cosmos", "--port", 0, "--no-open", "--users", tmp_path / "users.toml", fails=1)
    assert "users.toml: [users.ada]: role is 'emperor'" in said and len(said.splitlines()) == 1


# ---------------------------------------------------------------------- a connection


def test_who_sends_too_much_is_told_so() -> None:
    with (
        Live(with_token(Limits(body=MB, upload=2 * MB))) as server,
        httpx.Client(base_url=server.address, headers=bearer()) as api,
    ):
        json_ = {"Content-Type": "application/json"}
        assert api.post("/api/write", content=b" " * (8 * MB), headers=json_).status_code == 413
        assert api.post("/api/write", content=(b" " * MB for _ in range(8)), headers=json_).status_code == 413
        assert api.post("/api/upload", files={"images": ("a.jpg", b"x" * (8 * MB))}).status_code == 413
        assert api.post("/api/upload", files={"images": ("a.jpg", b"x" * MB)}).json() == {"sizes": [MB]}
        assert api.get("/api/me").status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200),
        (b"GET /health HTTP/1.0\r\n\r\n", 421),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /static/../pages.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /static/js/..\\..\\pages.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /static/\xc0\xae\xc0\xae/pages.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET /api/me HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n", 401),
        (b"GET /api/me HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: \xff=\xff; biocosmos-80=\xff\r\n\r\n", 401),
        (b"POST /api/write HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5, 6\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_requests_that_no_browser_sends(live: Live, sent: bytes, status: int, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.split(b" ", 2)[1] == str(status).encode(), answer[:300]
    assert b"import" not in answer and b"Traceback" not in answer and "Traceback" not in capfd.readouterr().err
