"""The command line: one file per verb group, which parses arguments, calls the rooms below and prints."""

from __future__ import annotations

import signal
import sys
from typing import Any

from biocosmos.cli import ending


def main(*, own_process: bool | None = None) -> None:
    """Run ``biocosmos``; an error a user can mend is one line on standard error. Exit codes: :mod:`biocosmos.cli.ending`.

    own_process: signals and standard output are ours to handle; by default where the caller is the program that was started.
    """
    signals = ending.Signals()
    try:
        if own_process if own_process is not None else sys._getframe(1).f_globals.get("__name__") == "__main__":
            signals.watch()
            ending.print_anything()
        code = _run()
    except BaseException as error:
        code = ending.stopped(signals.received) if signals.received is not None else _ended(error)
    else:
        if signals.received is not None or code == ending.INTERRUPTED:  # the parser has an ending of its own for Ctrl-C
            code = ending.stopped(signals.received or signal.SIGINT)
    sys.exit(code)


def _run() -> int:
    from biocosmos.cli.app import app

    code = app(standalone_mode=False)
    sys.stdout.flush()  # a pipe that broke and a disk that is full are told here, not by the interpreter when it is gone
    return code if isinstance(code, int) else ending.DONE


def _ended(error: BaseException) -> int:
    """Say what happened; the exit code."""
    from biocosmos.errors import BiocosmosError
    from biocosmos.settings import SettingError

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ending.FAILED if error.code else ending.DONE
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return ending.BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt):
        return ending.stopped(signal.SIGINT)
    if isinstance(error, BiocosmosError):
        return ending.said(str(error), ending.MISUSED if isinstance(error, SettingError) else ending.FAILED)
    if hasattr(error, "format_message"):  # of the parser: an unknown option, a value that is no number
        return ending.said(_usage(error), ending.MISUSED)
    return ending.unexpected(error)


def _usage(error: Any) -> str:
    """The parser's complaint in one line, with the help that belongs to it; nothing where it was the help itself."""
    message = " ".join(str(error.format_message()).split())
    context = getattr(error, "ctx", None)
    return f"{message.rstrip('.')}; see: {context.command_path} --help" if message and context is not None else message
