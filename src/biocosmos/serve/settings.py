"""What ``biocosmos serve`` is told. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.settings import check, setting

PORT = 8765


@dataclass(frozen=True)
class ServeSettings:
    """How a collection is served.

    host: the address listened on; anything but this machine's own is said loudly. port: None takes 8765, or the next one that is
    free. users: a file that ``biocosmos users`` makes; without it, one random token opens everything to whoever has it.
    name: host names that a proxy asks for. open: the address in the browser of this machine.
    """

    host: str = setting("127.0.0.1", "Listen on this address; 0.0.0.0 lets other machines in.")
    port: int | None = setting(None, "Listen on this port.", low=0, high=65535, unset=f"{PORT}, or the next that is free")
    users: Path | None = setting(
        None, "Named users with passwords, from a file that 'biocosmos users' made.", file=True, unset="one token for all"
    )
    name: tuple[str, ...] = setting((), "A further host name that it answers to, as of a proxy before it.", repeated=True)
    open: bool = setting(True, "Open the browser.")

    def __post_init__(self) -> None:
        check(self)
