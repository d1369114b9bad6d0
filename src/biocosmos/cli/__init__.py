"""The command line: one file per verb group, which parses arguments, calls the rooms below and prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``biocosmos``; an error a user can mend is one line on standard error. Exit code 2: an option that does not fit."""
    from biocosmos.cli.app import app
    from biocosmos.errors import BiocosmosError
    from biocosmos.settings import SettingError

    try:
        app()
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BiocosmosError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
