"""Named users: their file, their passwords, their roles, and how logins fail."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Access, Denied, User
from biocosmos.serve.access import accounts as accounts_module
from biocosmos.serve.access.accounts import Accounts, changed_account, read_accounts, removed_account, write_accounts
from biocosmos.serve.access.sessions import MOST, Sessions
from biocosmos.serve.access.throttle import FORGOTTEN, FREE, LONGEST, Throttle
from doors import HERE, PASSWORDS, TOKEN, Clock, bearer, client, users_file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return users_file(tmp_path_factory.mktemp("users"))


@pytest.fixture
def access(file: Path) -> Access:
    return Access(users=file, clock=Clock())


def token_of(access: Access, name: str) -> str:
    answer = client(access).post("/api/login", json={"user": name, "password": PASSWORDS[name]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


# ---------------------------------------------------------------------- logging in


def test_a_user_logs_in_by_the_page(access: Access) -> None:
    made = client(access)
    assert made.get("/", headers={"sec-fetch-mode": "navigate"}).headers["location"] == "/login?next=%2F"
    assert 'name="password"' in made.get("/login").text
    wrong = made.post("/login", data={"user": "ada", "password": "wrong"}, headers={"origin": HERE})
    assert wrong.status_code == 401 and "set-cookie" not in wrong.headers and "wrong" in wrong.text
    given = {"user": "ada", "password": PASSWORDS["ada"], "next": "//evil.example"}
    right = made.post("/login", data=given, headers={"origin": HERE})
    assert right.status_code == 303 and right.headers["location"] == "/" and "HttpOnly" in right.headers["set-cookie"]
    assert made.get("/").text == "hello ada"
    assert made.post("/login", data=given, headers={"origin": "https://evil.example"}).status_code == 403


def test_a_program_logs_in_for_a_token(access: Access) -> None:
    token = token_of(access, "ada")
    assert client(access).get("/api/me", headers=bearer(token)).json() == {"user": "ada", "role": "annotator"}
    assert client(access).post("/api/write", json={"ids": ["a"]}, headers=bearer(token)).json()["by"] == "ada"
    assert client(access).post("/logout", headers=bearer(token)).status_code == 303
    assert client(access).get("/api/me", headers=bearer(token)).status_code == 401


def test_the_token_of_a_start_opens_nothing_where_there_are_users(access: Access) -> None:
    assert client(access).get(f"/?token={TOKEN}", headers={"sec-fetch-mode": "navigate"}).status_code == 303
    assert client(access).get("/api/me", headers=bearer()).status_code == 401
    assert client(access).post("/login", data={"token": TOKEN}, headers={"origin": HERE}).status_code == 401


def test_a_viewer_writes_nothing_and_an_annotator_runs_no_jobs(access: Access) -> None:
    may = {"vera": (200, 403, 403), "ada": (200, 200, 403), "grace": (200, 200, 200)}
    for name, (reading, writing, running) in may.items():
        made = client(access, headers=bearer(token_of(access, name)))
        assert made.get("/api/read").status_code == reading
        written = made.post("/api/write", json={"ids": ["a"]})
        assert written.status_code == writing
        ran = made.post("/api/jobs")
        assert ran.status_code == running
        if running == 403:
            assert "needs an admin" in ran.json()["error"] and name in ran.json()["error"]


def test_a_user_who_is_not_there_and_a_wrong_password_are_answered_alike(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    verify = accounts_module._verify
    monkeypatch.setattr(accounts_module, "_verify", lambda hash_, password: checked.append(hash_) or verify(hash_, password))
    told = [client(access).post("/api/login", json={"user": user, "password": "wrong"}) for user in ("ada", "nobody")]
    assert told[0].status_code == told[1].status_code == 401 and told[0].json() == told[1].json()
    assert len(checked) == 2, "a password is checked for somebody who is not there too"
    assert checked[0].split("$")[:4] == checked[1].split("$")[:4], "and at the same cost"


def test_failed_logins_are_slowed_down_and_the_right_password_waits_too(file: Path) -> None:
    clock = Clock()
    access = Access(users=file, clock=clock)
    made = client(access)
    for _ in range(FREE["both"]):
        assert made.post("/api/login", json={"user": "ada", "password": "wrong"}).status_code == 401
    slowed = made.post("/api/login", json={"user": "ada", "password": PASSWORDS["ada"]})
    assert slowed.status_code == 429 and int(slowed.headers["retry-after"]) >= 1 and "try again" in slowed.json()["error"]
    page = made.post("/login", data={"user": "ada", "password": "wrong"}, headers={"origin": HERE})
    assert page.status_code == 429 and "too many" in page.text
    assert made.post("/api/login", json={"user": "grace", "password": PASSWORDS["grace"]}).status_code == 200
    clock.now += 2
    assert made.post("/api/login", json={"user": "ada", "password": PASSWORDS["ada"]}).status_code == 200
    assert made.post("/api/login", json={"user": "ada", "password": "wrong"}).status_code == 401


def test_the_throttle_counts_names_and_addresses_doubles_and_forgets() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    waits = []
    for _ in range(20):
        clock.now += (wait := throttle.wait("ada", "1"))
        waits.append(wait)
        throttle.wait("ada", "1") if wait else None
    assert waits[:5] == [0] * 5 and waits[5:9] == [1, 2, 4, 8] and max(waits) == LONGEST
    assert throttle.wait("ada", "2") == 0, "from elsewhere she is not locked out"
    for i in range(FREE["address"]):
        throttle.wait(f"user {i}", "3")
    assert throttle.wait("another", "3") > 0, "one address tries many names"
    for i in range(FREE["name"]):
        throttle.wait("grace", f"address {i}")
    assert throttle.wait("GRACE", "yet another") > 0, "many addresses try one name"
    clock.now += FORGOTTEN + 1
    assert throttle.wait("ada", "1") == throttle.wait("another", "3") == 0


def test_many_tries_at_once_are_no_way_around_the_throttle(file: Path) -> None:
    access = Access(users=file, clock=Clock())
    outcomes: list[int] = []

    def guess() -> None:
        try:
            access.login("ada", "wrong", "1.2.3.4")
        except Denied as denied:
            outcomes.append(denied.status)

    threads = [threading.Thread(target=guess) for _ in range(12)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert outcomes.count(401) == FREE["both"] and outcomes.count(429) == 12 - FREE["both"]


def test_sessions_are_bounded_and_their_ids_are_not_kept() -> None:
    sessions = Sessions(Clock())
    first = sessions.begin("ada")
    ids = {sessions.begin("ada") for _ in range(MOST)}
    assert len(ids) == MOST and len(sessions) == MOST and sessions.find(first) is None and all(len(id_) >= 43 for id_ in ids)
    assert first not in repr(vars(sessions)) and next(iter(ids)) not in repr(vars(sessions))


# ---------------------------------------------------------------------- the file


def test_a_file_that_changes_is_taken_up_and_logs_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = users_file(tmp_path)
    access = Access(users=path, clock=Clock())
    ada, grace, vera = (access.login(name, PASSWORDS[name], "1").session for name in ("ada", "grace", "vera"))
    removed_account(path, "vera")
    changed_account(path, "ada", role=None, password="analytical engine")
    hash_ = read_accounts(path)["grace"]
    write_accounts(path, {**read_accounts(path), "grace": accounts_module.Account(User("grace", "viewer"), hash_.hash)})
    assert access.of_session(vera) is None, "removed"
    assert access.of_session(ada) is None and access.login("ada", "analytical engine", "1").user == User("ada", "annotator")
    assert access.of_session(grace) == User("grace", "viewer"), "the role is that of now"
    path.write_text("[users.ada]\nrole = 'emperor'\n")
    assert access.of_session(grace) == User("grace", "viewer") and "emperor" in capsys.readouterr().err
    assert access.of_session(grace) is not None and not capsys.readouterr().err, "said once"
    path.unlink()
    assert access.of_session(grace) is not None and "cannot read" in capsys.readouterr().err


GOOD = "$argon2id$v=19$m=65536,t=3,p=4$MIIRqgvgQbgj220jfp0MPA$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[users.ada", "is no TOML"),
        ("\xff", "is no TOML"),
        ("", "names no user"),
        ("users = 3", "'users' must be tables"),
        ("[user.ada]\nrole = 'admin'", "there is no 'user' in a file of users"),
        ("[users]\nada = 3", "[users.ada] must be a table"),
        (f"[users.ada]\nrole = 'emperor'\npassword = '{GOOD}'", "[users.ada]: role is 'emperor'; it must be one of viewer, anno"),
        (f"[users.ada]\npassword = '{GOOD}'", "[users.ada]: role is None"),
        ("[users.ada]\nrole = 'admin'", "[users.ada]: password is no Argon2id hash"),
        ("[users.ada]\nrole = 'admin'\npassword = 'difference engine'", "[users.ada]: password is no Argon2id hash"),
        ("[users.ada]\nrole = 'admin'\npassword = '$argon2id$v=19$m=1,t$x'", "[users.ada]: password is a damaged"),
        (f"[users.ada]\nrole = 'admin'\npassword = '{GOOD}'\nmail = 'a'", "[users.ada]: there is no 'mail'"),
        (f"[users.ada]\nrole = 'admin'\npassword = '{GOOD}'\n[users.Ada]\nrole = 'admin'\npassword = '{GOOD}'", "letter case"),
        (f"[users.' a']\nrole = 'admin'\npassword = '{GOOD}'", "cannot be the name of a user"),
        (f'[users."a\\nb"]\nrole = "admin"\npassword = "{GOOD}"', "cannot be the name of a user"),
        (f'[users."{"a" * 65}"]\nrole = "admin"\npassword = "{GOOD}"', "cannot be the name of a user"),
    ],
)  # fmt: skip
def test_a_broken_file_of_users_is_told_by_its_name_and_entry(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "users.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BiocosmosError) as told:
        Accounts(path)
    assert says in str(told.value) and "users.toml" in str(told.value) and "\n" not in str(told.value)
    assert "difference engine" not in str(told.value), "a password is not repeated"


def test_a_file_that_is_not_there_or_open_to_others_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BiocosmosError, match=r"cannot read .*none.toml: .*biocosmos users"):
        Accounts(tmp_path / "none.toml")
    path = users_file(tmp_path)
    Accounts(path)
    assert not capsys.readouterr().err
    path.chmod(0o644)
    Accounts(path)
    assert "chmod 600" in capsys.readouterr().err or os.name != "posix"


@pytest.mark.parametrize("name", ["Ada Lovelace", "Ålesund", "王小波", "a.b@c", 'quo"te\\', "x" * 64])
def test_names_of_all_kinds_are_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / "users.toml"
    changed_account(path, name, role="viewer", password="eight characters")
    assert list(read_accounts(path)) == [name] and json.dumps(name, ensure_ascii=False) in path.read_text(encoding="utf-8")
    assert Accounts(path).check(name, "eight characters") is not None


def test_accents_are_the_same_however_they_are_composed(tmp_path: Path) -> None:
    path = tmp_path / "users.toml"
    changed_account(path, "Jose\u0301", role="viewer", password="contrasen\u0303a")
    assert Accounts(path).check("Jos\u00e9", "contrase\u00f1a") is not None


def test_the_file_is_written_whole_or_not_at_all_for_its_owners_eyes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = users_file(tmp_path)
    before = path.read_bytes()
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600
    for name, password, says in [
        ("ada", "short", "at least 8"),
        ("ADA", "long enough", "letter case"),
        ("", "long enough", "cannot be"),
    ]:
        with pytest.raises(BiocosmosError, match=says):
            changed_account(path, name, role="admin", password=password)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(BiocosmosError, match="the disk is full"):
        changed_account(path, "ada", role="admin", password="long enough")
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["users.toml"]


# ---------------------------------------------------------------------- the verb


def test_users_are_made_listed_changed_and_removed(
    tmp_path: Path, biocosmos: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.toml"

    def piped(password: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))

    piped("difference engine")
    biocosmos("users", path, "ada", "--password-stdin")
    piped("nanosecond wire")
    biocosmos("users", path, "grace", "--role", "admin", "--password-stdin")
    assert biocosmos("users", path).splitlines() == ["name\trole", "ada\tannotator", "grace\tadmin"]
    piped("another password")
    biocosmos("users", path, "grace", "--password-stdin")
    found = Accounts(path).check("grace", "another password")
    assert found is not None and found.user == User("grace", "admin")
    biocosmos("users", path, "ada", "--remove")
    assert list(read_accounts(path)) == ["grace"] and "password" not in biocosmos("users", path)


def test_the_verb_asks_twice_and_says_what_does_not_fit(
    tmp_path: Path, biocosmos: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.toml"
    assert "--password-stdin" in biocosmos("users", path, "ada", fails=2)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = ["difference engine", "difference engin", "difference engine", "difference engine"]
    monkeypatch.setattr("getpass.getpass", lambda _: answers.pop(0))
    assert "two passwords" in biocosmos("users", path, "ada", fails=2) and not path.exists()
    biocosmos("users", path, "ada")
    assert Accounts(path).check("ada", "difference engine") is not None
    assert "emperor" in biocosmos("users", path, "ada", "--role", "emperor", fails=2)
    assert "say whose" in biocosmos("users", path, "--remove", fails=2)
    assert "neither" in biocosmos("users", path, "ada", "--remove", "--role", "admin", fails=2)
    assert "there is no user 'eve'" in biocosmos("users", path, "eve", "--remove", fails=1)
    path.write_text("[users.ada]\nrole = 3\n")
    assert "[users.ada]: role is 3" in biocosmos("users", path, "eve", fails=1)
