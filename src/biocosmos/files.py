"""Files as people have them: one walk of folders, and one way to find a file whose name is spelt otherwise than on the disk.

Every verb that takes a folder walks it with :func:`image_names`, every reader finds the files of its table with a
:class:`Resolver`, so that no two of them disagree about what is an image or where it lies.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from biocosmos.errors import BiocosmosError, Failures

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".j2k"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".avif", ".heic", ".heif"}
)
"""Files that are taken for images when a folder is asked about. What cannot be read among them is a failure, never left out."""

JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db", "$recycle.bin", "system volume information", "@eadir"})
COMPANION = "._"
"""macOS keeps what FAT and zip cannot hold of a.jpg in ._a.jpg."""
MOST_VISITS = 64
"""A folder that links lead to more often is left out: links to links double with every one."""
HELD_NAMES = 2_000_000
"""Names that a Resolver keeps in memory; the folder not asked about for longest goes first."""
_DRIVE = re.compile(r"[A-Za-z]:")


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image's."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def is_junk(name: str) -> bool:
    """Whether an operating system or editor left this file or folder: hidden ones, Thumbs.db, __MACOSX."""
    return name.startswith(".") or name.lower() in JUNK


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; False also for a name that is too long for any, and for links that go in circles."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; False as of :func:`is_file`."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def is_there(path: str | Path) -> bool:
    """Whether there is anything of this name; False as of :func:`is_file`."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def refuse_special(path: str | Path) -> None:
    """Raise BiocosmosError for a device or a pipe, which has no end or can be read only once; folders and files pass."""
    path = Path(path)
    if is_there(path) and not is_file(path) and not is_folder(path):
        raise BiocosmosError(f"{readable(str(path))} is a device or a pipe, which cannot be read twice: save it as a file first")


def readable(text: str) -> str:
    """A file name as text that can be stored: bytes that are no UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def walk(root: Path, failures: Failures, *, stage: str = "read") -> Iterator[str]:
    """Paths of all files below ``root``, relative, with forward slashes, in the order of their names.

    Links to folders are followed; one that leads back to a folder it lies in is recorded and left out. Hidden files and what
    operating systems leave are left out; images and folders among the hidden ones are counted in a warning.
    """
    visits, hidden = Counter[tuple[int, int]](), Counter[str]()

    def tell(reason: str, where: str, *, warning: bool = False) -> None:
        failures.add(reason, stage=stage, source=readable(where), severity="warning" if warning else "error")

    def listed(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[_Place]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            tell(f"cannot open the folder: {error.strerror}", folder)
            return
        for entry in entries:
            if is_junk(entry.name):
                _count_hidden(entry, hidden)
                continue
            try:
                if not entry.is_dir():
                    if entry.is_file():
                        yield _Place(prefix + entry.name)
                    else:
                        entry.stat()  # says so where a link leads nowhere
                        tell("neither a file nor a folder (a pipe or a device): left out", entry.path, warning=True)
                    continue
                identity = _identity(entry.stat())
            except FileNotFoundError:
                tell("missing file: a link that leads nowhere" if entry.is_symlink() else "missing file", entry.path)
                continue
            except OSError as error:
                tell(f"cannot be reached: {error.strerror}", entry.path)
                continue
            visits[identity] += 1
            if identity in above:
                tell("a link back to a folder above it: left out", entry.path, warning=True)
            elif visits[identity] > MOST_VISITS:
                tell(f"links lead to this folder more than {MOST_VISITS} times: left out from here on", entry.path, warning=True)
            else:
                yield _Place(f"{prefix}{entry.name}/", entry.path, (*above, identity))

    stack = [listed(str(root), "", (_identity(root.stat()),))]
    while stack:
        place = next(stack[-1], None)
        if place is None:
            stack.pop()
        elif place.folder is None:
            yield place.name
        else:
            stack.append(listed(place.folder, place.name, place.above))
    if hidden:
        told = " and ".join(f"{n} hidden {what}{'s' if n > 1 else ''}" for what, n in sorted(hidden.items()))
        tell(f"{told}: left out", str(root), warning=True)


@dataclass(frozen=True)
class _Place:
    name: str
    folder: str | None = None
    above: tuple[tuple[int, int], ...] = ()


def _count_hidden(entry: os.DirEntry[str], hidden: Counter[str]) -> None:
    if entry.name.lower() in JUNK or entry.name.startswith(COMPANION):
        return
    if entry.is_dir(follow_symlinks=False):
        hidden["folder"] += 1
    elif is_image_name(entry.name):
        hidden["image"] += 1


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def image_names(root: Path, failures: Failures, *, stage: str = "read", ignored: Sequence[Path] = ()) -> Iterator[str]:
    """The images of :func:`walk`; the other files are counted by their endings in warnings once the walk has ended.

    ignored: files that are used otherwise (a table of labels in the folder) and not to be spoken of.
    """
    used = {path.resolve() for path in ignored}
    others = Counter[str]()
    for name in walk(root, failures, stage=stage):
        if not is_image_name(name):
            file = root / name
            if not used or file.resolve() not in used:
                others[readable(file.suffix.lower())] += 1
        elif readable(name) != name:
            failures.add("the file name is not valid UTF-8: rename it", stage=stage, source=readable(str(root / name)))
        else:
            yield name
    for suffix, count in others.items():
        files = "1 file" if count == 1 else f"{count} files"
        ending = f"ending in {suffix}" if suffix else "without a suffix"
        failures.add(f"{files} {ending}: not images, left out", stage=stage, source=root, severity="warning")


def image_files(paths: Sequence[Path], failures: Failures, *, stage: str = "read") -> list[Path]:
    """Files as they are and folders as the images below them, sorted; what is missing or left out goes to ``failures``.

    Raises BiocosmosError if paths are given and no image is found at any of them.
    """
    found: list[Path] = []
    for path in paths:
        if is_folder(path):
            found += [path / name for name in image_names(path, failures, stage=stage)]
        elif is_file(path) and readable(str(path)) == str(path):
            found.append(path)
        else:
            reason = "no such file or folder" if not is_there(path) else "neither a file nor a folder (a pipe or a device)"
            reason = reason if not is_file(path) else "the file name is not valid UTF-8: rename it"
            failures.add(reason, stage=stage, source=readable(str(path)))
    if paths and not found:
        missing = [path for path in paths if not is_there(path)]
        if missing:
            raise BiocosmosError(f"no such file or folder: {readable(str(missing[0]))}")
        looked = ", ".join(sorted(IMAGE_SUFFIXES))
        raise BiocosmosError(f"no image below {', '.join(readable(str(path)) for path in paths)}: looked for {looked}")
    return found


# How far a name may be from the one on the disk: the nearest wins, and two that are equally near are refused.
EXACT, ACCENTS, CASE, BLANKS = range(4)
SPELLINGS = ("", "in how accents are composed", "in letter case", "in blanks")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _caseless(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())


def alike(name: str) -> str:
    """What names that differ only in how accents are composed, in letter case or in blanks have in common."""
    return " ".join(_caseless(name).split())


class Names:
    """A set of names in which one is found however it is spelt: accents composed or not, letter case, kinds of blanks.

    >>> Names(["a.JPG", "b.jpg"]).find("a.jpg")
    [(2, 'a.JPG')]
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._loose: dict[str, list[str]] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __len__(self) -> int:
        return len(self._names)

    def find(self, name: str) -> list[tuple[int, str]]:
        """(distance, name) of every name that may be meant, nearest first: EXACT, ACCENTS, CASE or BLANKS."""
        if self._loose is None:
            self._loose = {}
            for own in sorted(self._names):
                self._loose.setdefault(alike(own), []).append(own)
        near = self._loose.get(alike(name), ())
        return sorted((_distance(own, name), own) for own in near)


def _distance(own: str, name: str) -> int:
    if own == name:
        return EXACT
    if _composed(own) == _composed(name):
        return ACCENTS
    return CASE if _caseless(own) == _caseless(name) else BLANKS


@dataclass(frozen=True)
class Found:
    """Where a name leads: ``path`` is absolute; without a file there, ``problem`` says why.

    ``ambiguous``: several files may be meant, and none is chosen; otherwise a file with a problem is missing.
    """

    path: str
    problem: str | None = None
    ambiguous: bool = False

    @property
    def there(self) -> bool:
        """Whether the file was found."""
        return self.problem is None


class Resolver:
    """Finds files by the names that tables give, below some folders; every folder is listed once.

    The name as it is comes first, then with forward slashes, then what differs in how accents are composed, in letter case or
    in blanks; names equally near are refused. An absolute path of another computer is found by its end if that names a
    folder and a file, or all of it. Not thread-safe.

    >>> Resolver("photos").find("Fir\\\\A.jpg")     # doctest: +SKIP
    Found(path='/data/photos/fir/a.JPG', problem=None, ambiguous=False)
    """

    def __init__(self, *roots: str | Path) -> None:
        if not roots:
            raise ValueError("a Resolver needs a folder to look in")
        self.roots = tuple(os.path.abspath(root) for root in roots)  # noqa: PTH100 - Path.absolute keeps ".."
        self._folders: OrderedDict[str, Names | None] = OrderedDict()
        self._held = 0
        self._spelt: dict[str, tuple[int, str, str]] = {}

    def find(self, name: str) -> Found:
        """The file that ``name`` means. A missing one has the path it should have been at."""
        for spelt in _spellings(name):
            for root in self.roots:
                path = os.path.join(root, spelt)  # noqa: PTH118 - a million times
                folder, base = os.path.split(path)
                if base and self._has(folder, base):
                    return Found(path)
        for spelt in _spellings(name):
            starts = ["/"] if spelt.startswith("/") else self.roots
            for root in starts:
                found = self._near(root, spelt.lstrip("/").split("/"), name)
                if found is not None:
                    return found
        found = self._by_end(name)
        if found is not None:
            return found
        path = os.path.join(self.roots[0], tidy(name.strip()))  # noqa: PTH118
        return Found(path, f"missing file: {readable(name)!r} is not in {readable(self.roots[0])}")

    def tell(self, failures: Failures, *, stage: str = "read", source: str | Path | None = None) -> None:
        """Add one warning for each way in which names and files differed, with a first example; then forget them."""
        for how, (count, name, path) in self._spelt.items():
            names = "1 name differs" if count == 1 else f"{count} names differ"
            first = f"{readable(name)!r} is {readable(path)!r}"
            failures.add(f"{names} from the file {how}: {first}", stage=stage, source=source, severity="warning")
        self._spelt = {}

    def _has(self, folder: str, base: str) -> bool:
        names = self._listing(folder)
        if names is not None:
            return base in names
        try:
            return os.path.lexists(os.path.join(folder, base))  # noqa: PTH118 - a folder that may be entered, not listed
        except ValueError:  # a NUL
            return False

    def _listing(self, folder: str) -> Names | None:
        """The names in a folder (none if it is not there); None where they may not be listed."""
        if folder in self._folders:
            self._folders.move_to_end(folder)
            return self._folders[folder]
        try:
            names: Names | None = Names(os.listdir(folder))  # noqa: PTH208
        except PermissionError:
            names = None
        except (OSError, ValueError):  # missing, no folder, a name too long or with a NUL
            names = Names(())
        self._folders[folder] = names
        self._held += 1 + len(names or ())
        while self._held > HELD_NAMES and len(self._folders) > 1:
            _, oldest = self._folders.popitem(last=False)
            self._held -= 1 + len(oldest or ())
        return names

    def _near(self, root: str, parts: Sequence[str], name: str) -> Found | None:
        """The file below ``root`` whose path is nearest to ``parts``; None if there is none."""
        places = [(EXACT, root)]
        for part in parts:
            below: list[tuple[int, str]] = []
            for distance, folder in places:
                if part == "..":
                    below.append((distance, os.path.dirname(folder)))  # noqa: PTH120
                elif (names := self._listing(folder)) is not None:
                    below += [(max(distance, d), os.path.join(folder, own)) for d, own in names.find(part)]  # noqa: PTH118
                elif self._has(folder, part):
                    below.append((distance, os.path.join(folder, part)))  # noqa: PTH118
            places = below
        if not places:
            return None
        nearest = min(distance for distance, _ in places)
        paths = sorted(path for distance, path in places if distance == nearest)
        if len(paths) > 1:
            among = " or ".join(repr(readable(os.path.relpath(path, root))) for path in paths[:5])
            reason = f"the name {readable(name)!r} is ambiguous: it may mean {among}; write it as the file's"
            return Found(os.path.join(root, *parts), reason, ambiguous=True)  # noqa: PTH118
        if nearest > ACCENTS:
            self._note(SPELLINGS[nearest], name, os.path.relpath(paths[0], root))
        return Found(paths[0])

    def _by_end(self, name: str) -> Found | None:
        """A file by the end of a path that was absolute on another computer, or that begins with the name of our folder."""
        parts = [part for part in tidy(name.strip()).split("/") if part]
        absolute = bool(_DRIVE.match(name.strip())) or name.strip().startswith(("/", "\\"))
        if parts and _DRIVE.match(parts[0]):
            parts[0] = parts[0][2:]
            parts = parts if parts[0] else parts[1:]
        for start in range(len(parts) if absolute else 1):
            end = parts[start:]
            if start and len(end) < 2:
                break
            for root in self.roots:
                found = self._near(root, end, name) if absolute else None
                if found is None and len(end) > 1 and end[0].lower() == os.path.basename(root).lower():  # noqa: PTH119
                    found = self._near(root, end[1:], name)
                if found is not None:
                    if absolute and found.there:
                        self._note("in the folders of another computer", name, os.path.relpath(found.path, root))
                    return found
        return None

    def _note(self, how: str, name: str, path: str) -> None:
        count, first, its_path = self._spelt.get(how, (0, name, path))
        self._spelt[how] = (count + 1, first, its_path)


def _spellings(name: str) -> list[str]:
    """A name as it is, then with forward slashes, without "./" and empty parts, and out of a file: address or %20."""
    plain = tidy(name)
    spelt = [name, plain] if plain != name else [name]
    if plain[:5].lower() == "file:":
        spelt.append(tidy(unquote(urlsplit(plain.strip()).path)))
    elif "%" in name:
        spelt.append(tidy(unquote(name)))
    return [one for one in spelt if one.strip()]


def tidy(name: str) -> str:
    """A name with forward slashes, without "./" and empty parts."""
    if "\\" in name:
        name = name.replace("\\", "/")
    if "./" not in name and "//" not in name:
        return name
    parts = [part for i, part in enumerate(name.split("/")) if part not in ("", ".") or i == 0]
    return "/".join(parts[1:] if parts[0] == "." and len(parts) > 1 else parts)
