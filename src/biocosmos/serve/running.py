"""Run the server: the address is printed when it answers, the browser opened, and Ctrl-C stops it in order."""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk
from biocosmos.serve.settings import PORT, ServeSettings
from biocosmos.specimens.collection import Collection

TOKEN = "BIOCOSMOS_TOKEN"
"""With this variable set, its value is the token, so that scripts and bookmarks outlive a restart."""
LEAST_TOKEN = 16
NEXT_PORTS = 20
PATIENCE = 5
"""Seconds that requests which are being answered have, once the server is asked to stop."""


def serve(collection: Collection, settings: ServeSettings, say: Callable[[str], None]) -> None:
    """Serve a collection until Ctrl-C, SIGTERM or SIGHUP.

    say: is told the address and whatever a person should know. Raises BiocosmosError for an address that cannot be listened on, a
    token that is too short, and a file of users that is malformed.
    """
    listening = _listen(settings)
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    token = None if settings.users is not None else token_of_start()
    access = Access.from_settings(users=settings.users, token=token, host=settings.host, names=settings.name)
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    opening = f"http://{shown}:{port}/" + (f"?token={access.ticket()}" if token else "")
    desk = Desk(collection)
    config = uvicorn.Config(
        make_app(desk, access),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=PATIENCE,
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = _Server(config, lambda: _tell(collection, settings, address, opening, say), desk.hush)
    with listening:
        desk.open()  # at once, so that damage is told as by every verb, and the first page is there at once
        server.run(sockets=[listening])
    say("stopped")


def token_of_start() -> str:
    """The token of :data:`TOKEN`, or a new one. Raises BiocosmosError for one that could be guessed."""
    given = os.environ.get(TOKEN)
    if given is None:
        return secrets.token_urlsafe(24)
    if len(given) < LEAST_TOKEN or not given.isascii() or not given.replace("-", "").replace("_", "").isalnum():
        raise BiocosmosError(f"{TOKEN} must be at least {LEAST_TOKEN} letters, digits, - and _: unset it to get a random one")
    return given


def is_own(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(uvicorn.Server):
    """Says when it answers; a signal ends it in order, a second one at once."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._stopping = ready, stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if not self.should_exit:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not uvicorn's own, which would raise the signal once more when all is done: stopping a server is no failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self._stopping()


def _listen(settings: ServeSettings) -> socket.socket:
    ports = [settings.port] if settings.port is not None else [*range(PORT, PORT + NEXT_PORTS)]
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    problem: OSError | None = None
    for port in ports:
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else Nagle waits 40 ms an answer
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, port))
        except OSError as error:
            listening.close()
            problem = error
            if not isinstance(error, OSError) or error.errno is None or settings.port is not None:
                break
            continue
        listening.listen(2048)
        return listening
    assert problem is not None
    what = f"{settings.host}:{ports[0]}" if len(ports) == 1 else f"{settings.host}, ports {ports[0]} to {ports[-1]}"
    raise BiocosmosError(f"cannot listen on {what}: {problem.strerror or problem}; choose another --port or --host")


def _tell(collection: Collection, settings: ServeSettings, address: str, opening: str, say: Callable[[str], None]) -> None:
    """Say where the server is; opening: the address that the browser is told, which others of this machine may see."""
    if not is_own(settings.host):
        print(
            f"warning: {settings.host} lets other machines in, unencrypted: put an HTTPS proxy before it, and use --users",
            file=sys.stderr,
        )
    say(f"{collection.path.name} at {address}")
    say("Ctrl-C stops it")
    if settings.open:
        threading.Thread(target=webbrowser.open, args=(opening,), daemon=True).start()
