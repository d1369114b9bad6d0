"""The command line: one file per verb group, which parses arguments, calls the rooms below and prints."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run ``biocosmos``; an error a user can mend is one line on standard error. Exit code 2: an option that does not fit."""
    from biocosmos.cli.app import app
    from biocosmos.errors import BiocosmosError
    from biocosmos.settings import SettingError

    try:
        code = app(standalone_mode=False)
    except SettingError as error:
        sys.exit(_told(str(error), 2))
    except BiocosmosError as error:
        sys.exit(_told(str(error), 1))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:
        if not hasattr(error, "format_message"):  # of the parser: an unknown option, a value that is no number
            raise
        sys.exit(_told(_usage(error), 2))
    if code == INTERRUPTED:
        print("interrupted: run the same command again to go on", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _told(message: str, code: int) -> int:
    if message:
        print(f"error: {message}", file=sys.stderr)
    return code


def _usage(error: Exception) -> str:
    """The parser's complaint in one line, with the help that belongs to it; nothing where it was the help itself."""
    message = " ".join(str(error.format_message()).split())  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message.rstrip('.')}; see: {context.command_path} --help" if message and context is not None else message
