"""Are all files of the package inside its wheel and its sdist?

    python tools/package_contents.py WHEEL SDIST
    python tools/package_contents.py --same WHEEL WHEEL      # do two wheels hold the same?

Every file under src/biocosmos must be in both: templates, recipes, the sample, sentences, batch scripts, py.typed. The sdist
must also hold what is needed to test it. Ends with code 1 and the names that are missing.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "biocosmos"
BESIDE = (
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Makefile",
    "constraints.txt",
    "mkdocs.yml",
    "pyproject.toml",
)
NOT_SHIPPED = (".pyc",)


def package_files() -> set[str]:
    """Names of the package's files, as they stand in a wheel."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in NOT_SHIPPED)
    return {f"biocosmos/{path.relative_to(PACKAGE).as_posix()}" for path in files}


def missing(wheel: Path, sdist: Path) -> list[str]:
    """What either lacks, each with the archive's name."""
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    beside = {*BESIDE, *(f"src/{name}" for name in package_files())}
    beside |= {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "tests").rglob("*.py")}
    return [
        *(f"{wheel.name} lacks {name}" for name in sorted(package_files() - in_wheel)),
        *(f"{wheel.name} holds {name}" for name in sorted(in_wheel - package_files()) if ".dist-info/" not in name),
        *(f"{sdist.name} lacks {name}" for name in sorted(beside - in_sdist)),
    ]


def contents(wheel: Path) -> dict[str, str]:
    """Name to digest of every file of a wheel but the record of it."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}


def main(arguments: list[str]) -> list[str]:
    """What is wrong."""
    if arguments[0] == "--same":
        first, second = (contents(Path(path)) for path in arguments[1:])
        return [
            f"the two wheels differ in {name}"
            for name in sorted(first.keys() | second.keys())
            if first.get(name) != second.get(name)
        ]
    return missing(*map(Path, arguments))


if __name__ == "__main__":
    wrong = main(sys.argv[1:])
    print("\n".join(wrong) if wrong else f"{len(package_files()):,} files of the package are where they belong")
    sys.exit(bool(wrong))
