"""Walking folders and finding files whose names are spelt otherwise than on the disk."""

import inspect
import os
import string
import sys
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from biocosmos import files
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import IMAGE_SUFFIXES, Resolver, image_files, image_names, walk

CAFE, CAFE_APART = "caf\u00e9.jpg", "cafe\u0301.jpg"


def made(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def found(root: Path, name: str) -> str | None:
    """The file below ``root`` that a name means, or None."""
    answer = Resolver(root).find(name)
    return os.path.relpath(answer.path, root) if answer.there else None


# The walk.


def test_every_kind_of_image_is_found_by_name_in_any_case_and_the_rest_is_counted(tmp_path: Path) -> None:
    images = {f"a{i}{suffix.upper() if i % 2 else suffix}" for i, suffix in enumerate(sorted(IMAGE_SUFFIXES))}
    made(tmp_path, *images, "notes.txt", "more.TXT", "LICENSE")
    failures = Failures()
    assert set(image_names(tmp_path, failures)) == images
    assert sorted(f.reason for f in failures) == [
        "1 file without a suffix: not images, left out",
        "2 files ending in .txt: not images, left out",
    ]
    assert failures.errors == 0


def test_folders_are_walked_in_the_order_of_their_names(tmp_path: Path) -> None:
    made(tmp_path, "b.jpg", "a/2.jpg", "a/10.jpg", "a.jpg", "B/1.jpg")
    assert list(walk(tmp_path, Failures())) == ["B/1.jpg", "a/10.jpg", "a/2.jpg", "a.jpg", "b.jpg"]


def test_links_are_followed_and_circles_cut(tmp_path: Path) -> None:
    made(tmp_path, "in/a/x.jpg", "out/y.jpg")
    (tmp_path / "in/link").symlink_to("../out")
    (tmp_path / "in/a/up").symlink_to("..")
    (tmp_path / "in/lost.jpg").symlink_to("nowhere")
    failures = Failures()
    assert list(walk(tmp_path / "in", failures)) == ["a/x.jpg", "link/y.jpg"]
    assert {(Path(f.source or "").name, f.severity) for f in failures} == {("up", "warning"), ("lost.jpg", "error")}


def test_links_that_double_at_every_step_end(tmp_path: Path) -> None:
    for i in range(30):  # 2 to the 30 paths lead to the last folder
        (tmp_path / f"d{i}").mkdir()
        if i:
            for side in "lr":
                (tmp_path / f"d{i - 1}/{side}").symlink_to(f"../d{i}")
    made(tmp_path, "d29/x.jpg")
    failures = Failures()
    seen = list(walk(tmp_path / "d0", failures))
    assert 0 < len(seen) <= files.MOST_VISITS
    assert any("more than" in f.reason for f in failures)


def test_however_deep_the_folders_it_is_no_recursion(tmp_path: Path) -> None:
    made(tmp_path, "/".join(["d"] * 200) + "/x.jpg")
    allowed = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        assert len(list(walk(tmp_path, Failures()))) == 1
    finally:
        sys.setrecursionlimit(allowed)


def test_hidden_images_are_counted_and_what_systems_leave_is_not_spoken_of(tmp_path: Path) -> None:
    made(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", ".DS_Store", "Thumbs.db", "__MACOSX/a.jpg", ".thumbs/t.jpg", "@eaDir/a.jpg")
    failures = Failures()
    assert list(image_names(tmp_path, failures)) == ["a.jpg"]
    assert [(f.reason, f.severity) for f in failures] == [("1 hidden folder and 1 hidden image: left out", "warning")]


def test_a_pipe_called_as_an_image_is_left_out(tmp_path: Path) -> None:
    made(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    failures = Failures()
    assert image_files([tmp_path], failures) == [tmp_path / "a.jpg"]
    assert image_files([tmp_path / "a.jpg", tmp_path / "b.jpg"], failures) == [tmp_path / "a.jpg"]
    assert all("a pipe or a device" in f.reason for f in failures) and len(failures) == 2


def test_a_name_that_is_no_utf_8_is_a_failure(tmp_path: Path) -> None:
    made(tmp_path, "a.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).touch()
    failures = Failures()
    assert image_files([tmp_path], failures) == [tmp_path / "a.jpg"]
    assert [f.reason for f in failures] == ["the file name is not valid UTF-8: rename it"]
    assert "udcff" in (failures.table()["source"][0].as_py())


def test_missing_paths_are_failures_unless_nothing_is_left(tmp_path: Path) -> None:
    made(tmp_path, "a.jpg", "sub/b.webp")
    failures = Failures()
    assert image_files([tmp_path / "none", tmp_path / "sub"], failures) == [tmp_path / "sub/b.webp"]
    assert [(f.reason, f.source) for f in failures] == [("no such file or folder", str(tmp_path / "none"))]
    with pytest.raises(BiocosmosError, match=r"no such file or folder: .*none"):
        image_files([tmp_path / "none"], Failures())
    (tmp_path / "empty").mkdir()
    with pytest.raises(BiocosmosError, match=r"no image below .*empty: looked for .*jfif"):
        image_files([tmp_path / "empty"], Failures())
    assert image_files([], Failures()) == []


# Names that are spelt otherwise.


@pytest.mark.parametrize(
    ("on_disk", "given_name"),
    [
        ("images/a.jpg", "images\\a.jpg"),
        ("images/a.jpg", ".\\images\\a.jpg"),
        ("images/a.jpg", "./images//./a.jpg"),
        ("images/a.jpg", "\\images\\a.jpg"),
        ("images/a.jpg", "C:\\Users\\anna\\images\\a.jpg"),
        ("images/a.jpg", "\\\\server\\share\\images\\a.jpg"),
        ("images/a.jpg", "/home/anna/images/a.jpg"),
        ("Images/A.JPG", "images/a.jpg"),
        (CAFE, CAFE_APART),
        (CAFE_APART, CAFE),
        (f"{CAFE_APART}/x.jpg", CAFE.upper() + "\\X.jpg"),
        ("two  blanks.png", "two  blanks.png"),
        ("Screenshot 1\u202fAM.png", "Screenshot 1\u202fAM.png"),
        ("Screenshot 1\u202fAM.png", "Screenshot 1 AM.png"),
        ("a\u00a0b.png", "a b.png"),
        ("tab\there.png", "tab\there.png"),
        (" padded.png", " padded.png"),
        ("a.jpg", " a.jpg "),
        ("a\\b.jpg", "a\\b.jpg"),
        ("my photo.jpg", "my%20photo.jpg"),
        ("100%25.jpg", "100%25.jpg"),
        ("x/../a.jpg", "x/../a.jpg"),
    ],
)
def test_a_file_is_found_however_its_name_is_spelt(tmp_path: Path, on_disk: str, given_name: str) -> None:
    root = made(tmp_path / "root", "other.jpg", on_disk)
    answer = Resolver(root).find(given_name)
    assert answer.there, answer.problem
    assert Path(answer.path).samefile(root / on_disk)
    assert Path(answer.path).name == Path(on_disk).name


def test_a_name_that_begins_with_the_folder_itself(tmp_path: Path) -> None:
    root = made(tmp_path / "root", "images/a.jpg")
    assert found(root, "root/images/a.jpg") == "images/a.jpg"
    assert found(root, "C:\\data\\root\\images\\a.jpg") == "images/a.jpg"
    assert found(root, "D:\\a.jpg") is None and found(root, "D:\\somewhere\\a.jpg") is None


def test_the_exact_name_wins_and_what_is_equally_near_is_refused(tmp_path: Path) -> None:
    root = made(tmp_path, "a.jpg", "A.jpg", "a.JPG", "b  b.jpg", "b b.jpg", "Two/x.jpg", "two/x.jpg", "two/y.jpg")
    resolver = Resolver(root)
    assert found(root, "a.JPG") == "a.JPG" and found(root, "b  b.jpg") == "b  b.jpg"
    assert found(root, "TWO/y.jpg") == "two/y.jpg"  # only one of the two folders has it
    for name, among in (("A.JPG", ["'A.jpg'", "'a.jpg'", "'a.JPG'"]), ("TWO/X.jpg", ["Two/x.jpg", "two/x.jpg"])):
        answer = resolver.find(name)
        assert answer.ambiguous and not answer.there and not Path(answer.path).exists()
        assert all(one in str(answer.problem) for one in among)
    composed = made(tmp_path / "accents", CAFE, CAFE_APART)
    assert found(composed, CAFE) == CAFE and found(composed, CAFE_APART) == CAFE_APART
    assert Resolver(composed).find("CAF\u00c9.jpg").ambiguous


def test_the_earlier_folder_wins_and_exact_names_before_all(tmp_path: Path) -> None:
    first, second = made(tmp_path / "1", "a.jpg", "B.jpg"), made(tmp_path / "2", "a.jpg", "b.jpg")
    resolver = Resolver(first, second)
    assert resolver.find("a.jpg").path == str(first / "a.jpg")
    assert resolver.find("b.jpg").path == str(second / "b.jpg")
    assert resolver.find("B.JPG").path == str(first / "B.jpg")


def test_absolute_names_are_found_as_they_are_and_in_another_case(tmp_path: Path) -> None:
    made(tmp_path, "Far/Away.jpg", "near/x.jpg")
    resolver = Resolver(tmp_path / "near")
    assert resolver.find(str(tmp_path / "Far/Away.jpg")).path == str(tmp_path / "Far/Away.jpg")
    assert resolver.find(f"file://{tmp_path}/Far/Away.jpg").path == str(tmp_path / "Far/Away.jpg")
    assert resolver.find(str(tmp_path / "far/away.JPG")).path == str(tmp_path / "Far/Away.jpg")
    assert resolver.find("../Far/Away.jpg").there and resolver.find("../far/away.jpg").there


def test_what_is_missing_is_told_with_the_name(tmp_path: Path) -> None:
    made(tmp_path, "a.jpg", "sub/b.jpg")
    resolver = Resolver(tmp_path)
    for name in (
        "b.jpg",
        "a.jpeg",
        "a.jpg/b.jpg",
        "nowhere/a.jpg",
        "x" * 5000,
        "x" * 300 + "/a.jpg",
        "nul\0.jpg",
        "\0/a.jpg",
        "\ud800.jpg",
    ):
        answer = resolver.find(name)
        assert not answer.there and not answer.ambiguous
        assert str(answer.problem).startswith("missing file: ")
        str(answer.problem).encode()


def test_differences_are_told_once_with_their_number(tmp_path: Path) -> None:
    made(tmp_path, "A.JPG", "B.JPG", "c\u00a0d.jpg", CAFE, "sub/e.jpg")
    resolver, failures = Resolver(tmp_path), Failures()
    for name in ("a.jpg", "b.jpg", "c d.jpg", CAFE_APART, "C:\\x\\sub\\e.jpg", "A.JPG", "sub\\e.jpg"):
        assert resolver.find(name).there
    resolver.tell(failures, source="t.csv")
    assert sorted(f.reason for f in failures) == [
        "1 name differs from the file in blanks: 'c d.jpg' is 'c\\xa0d.jpg'",
        "1 name differs from the file in the folders of another computer: 'C:\\\\x\\\\sub\\\\e.jpg' is 'sub/e.jpg'",
        "2 names differ from the file in letter case: 'a.jpg' is 'A.JPG'",
    ]
    assert failures.errors == 0


def test_each_folder_is_listed_once_and_the_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, *(f"{folder}/{i}.jpg" for folder in "abc" for i in range(10)))
    listed: list[str] = []
    plain = os.listdir
    monkeypatch.setattr(files.os, "listdir", lambda folder: listed.append(folder) or plain(folder))
    monkeypatch.setattr(files.os, "stat", None)  # no file is asked about
    resolver = Resolver(tmp_path)
    for i in range(10):
        for folder in "abc":
            assert resolver.find(f"{folder}/{i}.jpg").there
            assert not resolver.find(f"{folder}/missing{i}.jpg").there
    assert len(listed) == len(set(listed))
    monkeypatch.setattr(files, "HELD_NAMES", 15)
    small = Resolver(tmp_path)
    assert all(small.find(f"{folder}/{i}.jpg").there for i in range(10) for folder in "abc")
    assert len(small._folders) <= 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_be_entered_but_not_listed(tmp_path: Path) -> None:
    made(tmp_path, "shut/a.jpg")
    (tmp_path / "shut").chmod(0o111)
    try:
        assert found(tmp_path, "shut/a.jpg") == "shut/a.jpg" and found(tmp_path, "shut/b.jpg") is None
    finally:
        (tmp_path / "shut").chmod(0o755)


def meant(root: Path, name: str) -> tuple[str, str | None]:
    """What a name means, written out: every file below, the nearest class of spelling, none or several refused."""

    def same(how: int, one: str, other: str) -> bool:
        if how == 0:
            return one == other
        one, other = (unicodedata.normalize("NFC", text) for text in (one, other))
        if how >= 2:
            one, other = (unicodedata.normalize("NFC", text.lower()) for text in (one, other))
        if how == 3:
            one, other = ("/".join(" ".join(part.split()) for part in text.split("/")) for text in (one, other))
        return one == other

    every = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    if name in every:
        return "found", name
    for spelt in (name, name.replace("\\", "/")):
        wanted = "/".join(part for part in spelt.split("/") if part not in ("", "."))
        for how in range(4):
            near = [one for one in every if same(how, one, wanted)]
            if len(near) == 1:
                return "found", near[0]
            if near:
                return "ambiguous", None
    return "missing", None


LETTERS = st.text(st.sampled_from("aAbB é\u0301 \u00a0e"), min_size=1, max_size=3)
NAMES = st.builds(
    lambda folder, base, separator: (folder.strip() + separator if folder and folder.strip() else "") + (base + ".jpg"),
    st.one_of(st.none(), LETTERS),
    LETTERS,
    st.sampled_from(["/", "\\"]),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NAMES, min_size=1, max_size=6), st.lists(NAMES, min_size=1, max_size=6))
@example(["a/a.jpg", "A/A.jpg"], ["A/a.jpg"])
@example(["e\u0301.jpg"], ["é.jpg", "É.jpg"])
@example(["A\\A.jpg"], ["A\\a.jpg"])
def test_the_resolver_agrees_with_a_search_of_every_file(there: list[str], asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in there:
            if not (root / name).parent.is_file() and not (root / name).is_dir():
                made(root, name)
        resolver = Resolver(root)
        for name in asked:
            answer = resolver.find(name)
            kind = "found" if answer.there else "ambiguous" if answer.ambiguous else "missing"
            wanted = meant(root, name)
            assert (kind, os.path.relpath(answer.path, root) if answer.there else None) == wanted, name


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(), max_size=40) | st.text(string.punctuation + "aC:", max_size=12))
def test_no_name_whatever_makes_the_resolver_stumble(name: str) -> None:
    answer = Resolver(Path(__file__).parent).find(name)
    str(answer.problem).encode()
