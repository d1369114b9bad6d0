"""users: who may log in to biocosmos serve."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.settings import SettingError


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, users)


def users(
    file: Annotated[Path, typer.Argument(help="The file of users, as users.toml.", show_default=False)],
    name: Annotated[str | None, typer.Argument(help="The user who is added, or changed; without one, all are listed.")] = None,
    role: Annotated[
        str | None, typer.Option(help="viewer, annotator or admin.", show_default="annotator, or the one there is")
    ] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take this user out.")] = False,
) -> None:
    """Make the file of named users that 'biocosmos serve --users' takes.

    biocosmos users users.toml ada --role annotator

    biocosmos users users.toml grace --role admin --password-stdin < password.txt

    biocosmos users users.toml ada --remove

    The password is asked for twice, and kept as an Argon2id hash; the file is for its owner's eyes alone. A viewer reads, an
    annotator names and tags, an admin runs jobs too. A server that is running takes up changes by itself; whoever gets another
    password, or is removed, is logged out.
    """
    from biocosmos.serve.access.accounts import changed_account, checked_name, read_accounts, removed_account
    from biocosmos.serve.access.roles import role_of

    if name is None:
        if role is not None or password_stdin or remove:
            raise SettingError("say whose: biocosmos users FILE NAME")
        accounts = read_accounts(file)
        show_table(("name", "role"), [(each.user.name, each.user.role) for each in accounts.values()])
        return
    if remove:
        if role is not None or password_stdin:
            raise SettingError("--remove takes neither --role nor --password-stdin")
        removed_account(file, name)
        say(f"{file}: {name} removed")
        return
    wanted = None if role is None else role_of(role)
    if file.exists():
        read_accounts(file)  # a file that does not hold is told before anything is asked
    account = changed_account(file, name, role=wanted, password=_password(checked_name(name), piped=password_stdin))
    say(f"{file}: {account.user.name}, {account.user.role}")


def _password(name: str, *, piped: bool) -> str:
    """The password: a line of standard input, or what a person typed twice without seeing it."""
    if piped:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise SettingError("nobody can be asked for the password here: give it with --password-stdin")
    first = getpass.getpass(f"password of {name}: ")
    if getpass.getpass("again: ") != first:
        raise SettingError("these are two passwords: nothing was written")
    return first
