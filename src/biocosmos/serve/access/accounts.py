"""Named users, from a file that a person keeps.

[users.ada]
role = "annotator"
password = "$argon2id$v=19$m=65536,t=3,p=4$..."
"""

from __future__ import annotations

import json
import os
import sys
import threading
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.serve.access.roles import ROLES, Role, User
from biocosmos.unfinished import remove, unfinished_path, writing

LEAST_PASSWORD, LONGEST_PASSWORD = 8, 1024
LONGEST_NAME = 64
LARGEST_FILE = 4 << 20
_KNOWN = {"role", "password"}


@dataclass(frozen=True)
class Account:
    """A user, and the hash of the password: Argon2id, in the form that holds its parameters."""

    user: User
    hash: str


class Accounts:
    """The users of a file, which is read again when it changes. Raises BiocosmosError, one line, if it does not hold at first;
    later what held before stays, and standard error says so."""

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._seen = self._mark()
        self._accounts = read_accounts(self._path)
        if not self._accounts:
            raise BiocosmosError(f"{self._path} names no user: add one by 'biocosmos users {self._path} NAME --role admin'")
        if os.name == "posix" and self._path.stat().st_mode & 0o077:
            print(f"warning: others may read {self._path}: chmod 600 {self._path}", file=sys.stderr)
        # a hash of nobody's, as expensive as theirs: an unknown user takes as long as a wrong password
        costs = extract_parameters(next(iter(self._accounts.values())).hash)
        self._nobody = PasswordHasher.from_parameters(costs).hash("nobody")

    def find(self, name: str) -> Account | None:
        """The account of this name, as the file is now."""
        self._refresh()
        return self._accounts.get(unicodedata.normalize("NFC", name))

    def check(self, name: str, password: str) -> Account | None:
        """The account if the password is its; None else, after the same time whether or not there is such a user."""
        account = self.find(name)
        hash_ = self._nobody if account is None else account.hash
        is_right = len(password) <= LONGEST_PASSWORD and _verify(hash_, password)
        return account if is_right else None

    def _mark(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _refresh(self) -> None:
        mark = self._mark()
        if mark == self._seen:
            return
        with self._lock:
            self._seen = mark
            try:
                self._accounts = read_accounts(self._path)
            except BiocosmosError as error:
                print(f"the users stay as they were: {error}", file=sys.stderr)


def read_accounts(path: Path) -> dict[str, Account]:
    """The accounts of a file by name. Raises BiocosmosError, one line that names the file and the entry, if it does not hold."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        make = f"make it by 'biocosmos users {path} NAME --role admin'"
        raise BiocosmosError(f"cannot read {path}: {error.strerror or error}; {make}") from error
    if len(text) > LARGEST_FILE:
        raise BiocosmosError(f"{path} is too large for a file of users")
    try:
        facts = tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BiocosmosError(f"{path} is no TOML: {first_line(error)}") from error
    if unknown := sorted(set(facts) - {"users"}):
        raise BiocosmosError(f"{path}: there is no {unknown[0]!r} in a file of users; write [users.NAME]")
    users = facts.get("users", {})
    if not isinstance(users, dict):
        raise BiocosmosError(f"{path}: 'users' must be tables, [users.NAME]")
    accounts: dict[str, Account] = {}
    spelt: dict[str, str] = {}
    for name, entry in users.items():
        account = _account(f"{path}: [users.{name}]", name, entry)
        if (other := spelt.setdefault(account.user.name.casefold(), name)) != name:
            raise BiocosmosError(f"{path}: [users.{name}] and [users.{other}] differ only in letter case: rename one")
        accounts[account.user.name] = account
    return accounts


def _account(where: str, name: str, entry: Any) -> Account:
    checked = checked_name(name, where)
    if not isinstance(entry, dict):
        raise BiocosmosError(f"{where} must be a table with role and password")
    if unknown := sorted(set(entry) - _KNOWN):
        raise BiocosmosError(f"{where}: there is no {unknown[0]!r}; role and password are all")
    role, hash_ = entry.get("role"), entry.get("password")
    if role not in ROLES:
        raise BiocosmosError(f"{where}: role is {role!r}; it must be one of {', '.join(ROLES)}")
    again = "make it by 'biocosmos users'"
    if not isinstance(hash_, str) or not hash_.startswith("$argon2id$"):
        raise BiocosmosError(f"{where}: password is no Argon2id hash, which begins with $argon2id$; {again}")
    try:
        extract_parameters(hash_)
    except (InvalidHashError, ValueError) as error:
        raise BiocosmosError(f"{where}: password is a damaged Argon2id hash; {again}") from error
    return Account(User(checked, role), hash_)


def checked_name(name: str, where: str = "") -> str:
    """A name as it is kept. Raises BiocosmosError for one that nobody can have."""
    composed = unicodedata.normalize("NFC", name)
    if not composed or len(composed) > LONGEST_NAME or composed != " ".join(composed.split()) or not composed.isprintable():
        place = f"{where}: " if where else ""
        rule = f"1 to {LONGEST_NAME} characters that can be printed, without blanks around"
        raise BiocosmosError(f"{place}{name!r} cannot be the name of a user: {rule}")
    return composed


def changed_account(path: Path, name: str, *, role: Role | None, password: str) -> Account:
    """Add a user to a file, which is made if it is not there, or give one another password and role; written whole or not at all.

    role: None keeps the one there is, and is "annotator" for a new user. Raises BiocosmosError, one line, for a name, a password
    or a file that does not hold.
    """
    name = checked_name(name)
    if len(password) < LEAST_PASSWORD:
        raise BiocosmosError(f"the password must have at least {LEAST_PASSWORD} characters")
    if len(password) > LONGEST_PASSWORD:
        raise BiocosmosError(f"the password must have at most {LONGEST_PASSWORD} characters")
    accounts = read_accounts(path) if path.exists() else {}
    other = next((each for each in accounts if each.casefold() == name.casefold() and each != name), None)
    if other is not None:
        raise BiocosmosError(f"{path}: there is {other!r} already, which differs only in letter case")
    before = accounts.get(name)
    now = role or (before.user.role if before is not None else "annotator")
    account = Account(User(name, now), PasswordHasher().hash(_bytes(password)))
    write_accounts(path, {**accounts, name: account})
    return account


def removed_account(path: Path, name: str) -> None:
    """Take a user out of a file. Raises BiocosmosError where there is none of this name."""
    accounts = read_accounts(path)
    if accounts.pop(unicodedata.normalize("NFC", name), None) is None:
        raise BiocosmosError(f"{path}: there is no user {name!r}; there are {', '.join(accounts) or 'none'}")
    write_accounts(path, accounts)


def write_accounts(path: Path, accounts: Mapping[str, Account]) -> None:
    """Write a file of users, readable by its owner alone; whole or not at all."""
    lines = ["# Users of biocosmos serve; 'biocosmos users' writes this file, with passwords as Argon2id hashes.\n"]
    for account in accounts.values():
        name, role, hash_ = (
            json.dumps(text, ensure_ascii=False) for text in (account.user.name, account.user.role, account.hash)
        )
        lines.append(f"[users.{name}]\nrole = {role}\npassword = {hash_}\n")
    path = path.resolve()
    with writing(path):
        part = unfinished_path(path)
        try:
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            remove(part)


def _bytes(password: str) -> bytes:
    """As it is hashed: however the keyboard composes accents."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _verify(hash_: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(hash_, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False
