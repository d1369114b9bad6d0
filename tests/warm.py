"""Processes that begin in milliseconds: copies of one that has imported biocosmos, torch and what else a verb may need.

``Popen`` and ``run`` are called as those of :mod:`subprocess`, with the interpreter as the first word and then ``-m MODULE``,
``-c PROGRAM`` or a script. What they begin is a process of its own, with its own number, which a signal reaches and kill -9 ends.
It is no new interpreter: a test of what is imported, or of a variable that Python or a library reads when it starts
(PYTHONHASHSEED, PYTHONIOENCODING, PYTHONPATH, ATEN_CPU_CAPABILITY), needs :mod:`subprocess`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import io
import json
import os
import pickle
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

COPIES = hasattr(os, "pidfd_open")
LIGHT, HEAVY = "light", "heavy"
"""What the original has imported: nothing of torch, timm and scikit-learn, or all."""


class Popen:
    """A process that may be asked for, signalled and waited for, as one of :class:`subprocess.Popen`."""

    def __init__(
        self,
        command: Sequence[object],
        *,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        text: bool = False,
        original: str = HEAVY,
    ) -> None:
        self.args, self.returncode = [str(word) for word in command], None
        self.stdout, writes_out, close_out = _end(stdout, 1, text)
        self.stderr, writes_err, close_err = _end(stderr, 2, text)
        self._told, theirs = socket.socketpair()
        with theirs, Path(os.devnull).open() as nothing:
            files = [theirs.fileno(), nothing.fileno(), writes_out, writes_out if stderr == subprocess.STDOUT else writes_err]
            socket.send_fds(_original(original), [b"copy"], files)
        for end in (*close_out, *close_err):
            os.close(end)
        asked = {"words": self.args[1:], "env": dict(os.environ if env is None else env), "cwd": str(cwd or Path.cwd())}
        self._lines = self._told.makefile("rb", buffering=0)
        self.pid = int(self._lines.readline())
        self._told.sendall(json.dumps(asked).encode() + b"\n")

    def poll(self) -> int | None:
        """The exit code, minus the number of the signal that ended it, or None."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """As ``poll``, when it has ended."""
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """All that it says until it ends."""
        said: dict[str, Any] = {}
        readers = [
            threading.Thread(target=lambda name=name, pipe=pipe: said.update({name: pipe.read()}), daemon=True)
            for name, pipe in (("out", self.stdout), ("err", self.stderr))
            if pipe is not None and not pipe.closed
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        return said.get("out"), said.get("err")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _wait(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as ready:
                ready.register(self._told, selectors.EVENT_READ)
                if not ready.select(seconds):
                    return None
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._told.close()
        return self.returncode


def run(
    command: Sequence[object],
    *,
    capture_output: bool = False,
    check: bool = False,
    timeout: float | None = None,
    **given: Any,
) -> subprocess.CompletedProcess[Any]:
    """As :func:`subprocess.run`."""
    if capture_output:
        given |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = Popen(command, **given)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, out, err)
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


def spawn(function: Callable[..., None], args: tuple[Any, ...] = (), nprocs: int = 2) -> None:
    """As :func:`torch.multiprocessing.spawn`: ``function(rank, *args)`` in processes that are waited for."""
    program = "import pickle, sys; sys.path[:] = {path}; function, given = pickle.loads({work}); function({rank}, *given)"
    work = pickle.dumps((function, args))
    together([["-c", program.format(path=sys.path, work=work, rank=rank)] for rank in range(nprocs)])


def torchrun(*words: object, nprocs: int = 2) -> None:
    """``torchrun --nproc-per-node NPROCS -m biocosmos WORDS``, without its agent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": nprocs, "LOCAL_WORLD_SIZE": nprocs, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in range(nprocs)]
    together([["-m", "biocosmos", *words]] * nprocs, [{name: str(value) for name, value in each.items()} for each in ranks])


def together(commands: Sequence[Sequence[object]], more: Sequence[Mapping[str, str]] | None = None) -> None:
    """Processes at the same time; each must end well, or what it said fails the test."""
    begun = [
        Popen([sys.executable, *words], env={**os.environ, **extra}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for words, extra in zip(commands, more or [{}] * len(commands), strict=True)
    ]
    said: list[Any] = [None] * len(begun)
    readers = [
        threading.Thread(target=lambda i=i, each=each: said.__setitem__(i, each.communicate(120)[0]), daemon=True)
        for i, each in enumerate(begun)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(120)
    for each in begun:
        each.kill()
    assert not any(each.wait(10) for each in begun), "\n".join(str(each)[-3000:] for each in said)


def _end(asked: int | IO[Any] | None, number: int, text: bool) -> tuple[Any, int, tuple[int, ...]]:
    """For standard output or error: what this process reads, what the other writes, and what to close when it has begun."""
    if asked is None:
        return None, number, ()
    if asked == subprocess.PIPE:
        reads, writes = os.pipe()
        return os.fdopen(reads, "r" if text else "rb"), writes, (writes,)
    if asked == subprocess.DEVNULL:
        writes = os.open(os.devnull, os.O_WRONLY)
        return None, writes, (writes,)
    if asked == subprocess.STDOUT:
        return None, -1, ()
    return None, asked if isinstance(asked, int) else asked.fileno(), ()


@functools.cache
def _original(kind: str) -> socket.socket:
    """The process that is copied, begun when it is first wanted; it ends with this one."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, kind, str(theirs.fileno())]
    begun = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdout=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        mine.close()
        begun.wait(30)

    atexit.register(end)
    return mine


# ------------------------------------------------------------------------------------------- in the process that is copied


def _serve(kind: str, control: socket.socket) -> tuple[socket.socket, list[int]]:
    """Import, then make a copy for whoever asks; comes back in each copy, with its socket and its standard files."""
    sys.path.insert(0, str(Path(__file__).parent / "hostile"))
    if kind == HEAVY:
        from judge import warm_up

        warm_up()
    else:
        import biocosmos.cli.app
        import biocosmos.specimens.collection  # noqa: F401
    sys.path.pop(0)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is not control:
                    pid, reply = running.pop(key.fd)
                    _tell(reply, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    reply.close()
                    continue
                message, files, _, _ = socket.recv_fds(control, 16, 4)
                if not message:
                    os._exit(0)
                reply = socket.socket(fileno=files.pop(0))
                with warnings.catch_warnings(action="ignore"):  # lance knows itself not fork-safe: nothing of it runs yet
                    pid = os.fork()
                if not pid:
                    for other, (_, told) in running.items():
                        os.close(other)
                        told.close()
                    control.close()
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    return reply, files
                for file in files:
                    os.close(file)
                _tell(reply, pid)
                handle = os.pidfd_open(pid)
                running[handle] = pid, reply
                ready.register(handle, selectors.EVENT_READ)


def _tell(reply: socket.socket, number: int) -> None:
    try:
        reply.sendall(b"%d\n" % number)
    except OSError:  # nobody waits for it
        return


def _become(reply: socket.socket, files: list[int]) -> None:
    """Run what is asked for as if it had been started for it."""
    asked = json.loads(reply.makefile("rb").readline())
    reply.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)))
    err = io.BufferedWriter(io.FileIO(2, "w", closefd=False))
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(err, errors="backslashreplace", line_buffering=True)
    if sys.modules.get("numpy"):
        sys.modules["numpy"].random.seed()
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    how, *words = asked["words"]
    sys.path.append(str(Path(__file__).parent))  # modules of tests import this one
    sys.path[0] = asked["cwd"] if how == "-m" else "" if how == "-c" else str(Path(how).parent)
    sys.argv = [how, *words[how in ("-m", "-c") :]]
    if how == "-m":
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        main = types.ModuleType("__main__")
        main.__dict__["__builtins__"] = __builtins__
        sys.modules["__main__"] = main
        exec(compile(words[0], "<string>", "exec"), main.__dict__)
    else:
        runpy.run_path(how, run_name="__main__")


def _copy(reply: socket.socket, files: list[int]) -> None:
    """Live and end as an interpreter does, but for taking apart what was imported, which is most of the time it would take."""
    code: object = 0
    try:
        _become(reply, files)
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 255 if isinstance(code, int) else 1)


if __name__ == "__main__":
    _copy(*_serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2]))))
