"""Tags and saved views: nothing that was said is lost, and what one did can be taken back without touching what others did."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import warm
from biocosmos.errors import BiocosmosError
from biocosmos.serve.curation import Curation


@pytest.fixture
def curation(tmp_path):
    made = Curation(tmp_path)
    yield made
    made.close()


def standing(curation):
    return {tag.name: set(curation.ids(tag.name)) for tag in curation.tags()}


def test_a_tag_says_who_and_when_and_how_many(curation):
    act = curation.tag("  to  photograph again ", ["a", "b", "b"], by="ada")
    assert (act.kind, act.subject, act.count, act.by) == ("tag", "to photograph again", 2, "ada")
    assert curation.tag("to photograph again", ["a"], by="bob") is None  # all have it
    curation.tag("Ältere", ["a"], by="bob")
    curation.tag("ältere", ["c"], by="bob")  # names are compared as they are written
    assert standing(curation) == {"to photograph again": {"a", "b"}, "Ältere": {"a"}, "ältere": {"c"}}
    (tag,) = [each for each in curation.tags() if each.name.startswith("to")]
    assert (tag.count, tag.by) == (2, "ada") and tag.at.endswith("+00:00")
    assert curation.tags_of(["a", "nobody"]) == {"a": ["to photograph again", "Ältere"]}


def test_where_nothing_may_be_written_tags_are_still_read(tmp_path, monkeypatch):
    made = Curation(tmp_path)
    made.tag("a tag", ["s0"], by="ada")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("biocosmos.serve.curation.database._may_write", lambda _: False)
    beside = Curation(tmp_path)  # while somebody else writes
    assert [tag.name for tag in beside.tags()] == ["a tag"]
    made.tag("another", ["s0"], by="ada")
    assert beside.tags_of(["s0"]) == {"s0": ["a tag", "another"]} and beside.version == 2
    made.close()
    assert standing(Curation(tmp_path)) == {"a tag": {"s0"}, "another": {"s0"}}
    empty = Curation(elsewhere)
    assert (empty.tags(), empty.views(), empty.version, empty.last("ada")) == ([], [], 0, None)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "x" * 101, "a\u202eb"])
def test_a_name_that_cannot_be_shown_is_refused(curation, name):
    for act in (lambda: curation.tag(name, ["a"], by="ada"), lambda: curation.save_view(name, "sort=id", by="ada")):
        with pytest.raises(BiocosmosError, match="name"):
            act()
    assert curation.acts() == []  # what was refused left nothing


def test_a_hostile_name_is_only_a_name(curation):
    name = """'; DROP TABLE tagged; -- <script>alert("1")</script>"""
    curation.tag(name, [name], by=name)
    assert standing(curation) == {name: {name}} and curation.undo(name).subject == name and standing(curation) == {}


def test_renaming_onto_another_tag_makes_them_one_and_can_be_taken_back(curation):
    curation.tag("old", ["a", "b"], by="ada")
    curation.tag("new", ["b", "c"], by="bob")
    curation.rename("old", "new", by="bob")
    assert standing(curation) == {"new": {"a", "b", "c"}}
    curation.undo("bob")
    assert standing(curation) == {"old": {"a", "b"}, "new": {"b", "c"}}
    assert curation.rename("old", "old", by="ada") is None
    with pytest.raises(BiocosmosError, match="no tag 'older'"):
        curation.rename("older", "x", by="ada")
    with pytest.raises(BiocosmosError, match="no tag 'older'"):
        curation.delete("older", by="ada")


def test_what_others_did_since_stays(curation):
    curation.tag("t", ["a", "b", "c"], by="ada")
    curation.untag("t", ["b"], by="bob")
    curation.tag("t", ["b"], by="bob")
    curation.undo("ada")
    assert standing(curation) == {"t": {"b"}}  # bob gave it again
    curation.undo("bob")
    curation.undo("bob")
    assert standing(curation) == {}  # bob's taking away is taken back, and so is what ada had given
    assert curation.undo("bob") is None and curation.undo("ada") is None and curation.undo("eve") is None


def test_a_tag_that_was_renamed_meanwhile_is_still_taken_from_what_one_gave_it(curation):
    curation.tag("t", ["a"], by="ada")
    curation.rename("t", "u", by="bob")
    curation.undo("ada")
    assert standing(curation) == {}


def test_views_are_kept_replaced_deleted_and_taken_back(curation):
    curation.save_view("copepods", "taxon=Copepoda&sort=novelty", by="ada")
    assert curation.save_view("copepods", "taxon=Copepoda&sort=novelty", by="bob") is None
    curation.save_view("copepods", "taxon=Copepoda", by="ada")
    assert [(view.name, view.query, view.by) for view in curation.views()] == [("copepods", "taxon=Copepoda", "ada")]
    curation.undo("ada")
    assert curation.views()[0].query == "taxon=Copepoda&sort=novelty"
    curation.delete_view("copepods", by="bob")
    assert curation.views() == []
    with pytest.raises(BiocosmosError, match="no saved view"):
        curation.delete_view("copepods", by="bob")
    curation.undo("bob")
    assert curation.views()[0].by == "ada"
    curation.undo("ada")
    assert curation.views() == [] and curation.undo("ada") is None
    with pytest.raises(BiocosmosError, match="letters"):
        curation.save_view("long", "x" * 9000, by="ada")


IDS, TAGS, USERS = st.sets(st.sampled_from("abcdef")), st.sampled_from(["p", "q"]), st.sampled_from(["ada", "bob"])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("tag"), TAGS, IDS, USERS),
        st.tuples(st.just("untag"), TAGS, IDS, USERS),
        st.tuples(st.just("rename"), TAGS, TAGS, USERS),
        st.tuples(st.just("delete"), TAGS, st.none(), USERS),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_acts_do_what_they_do_to_plain_sets_and_undo_goes_all_the_way_back(tmp_path_factory, acts):
    curation = Curation(tmp_path_factory.mktemp("curation"))
    sets, states = {}, [{}]
    for kind, tag, what, _ in acts:
        there = tag in sets
        if kind == "tag":
            done = curation.tag(tag, what, by="ada")
            sets[tag] = sets.get(tag, set()) | what
        elif kind == "untag":
            done = curation.untag(tag, what, by="ada")
            sets[tag] = sets.get(tag, set()) - what
        elif not there:
            with pytest.raises(BiocosmosError):
                curation.rename(tag, what, by="ada") if kind == "rename" else curation.delete(tag, by="ada")
            continue
        elif kind == "rename":
            done = curation.rename(tag, what, by="ada")
            if tag != what:
                sets[what] = sets.get(what, set()) | sets.pop(tag)
        else:
            done = curation.delete(tag, by="ada")
            sets.pop(tag)
        sets = {name: ids for name, ids in sets.items() if ids}
        assert standing(curation) == sets
        assert (done is None) == (sets == states[-1])
        if done is not None:
            states.append(dict(sets))
    curation.close()  # undo is from what is on the disk
    for state in states[-2::-1]:
        assert curation.undo("ada") is not None
        assert standing(curation) == state
    assert curation.undo("ada") is None
    curation.close()


@settings(max_examples=40, deadline=None)
@given(ACTS)
def test_two_users_take_back_all_they_did_and_nothing_is_left(tmp_path_factory, acts):
    curation = Curation(tmp_path_factory.mktemp("curation"))
    for kind, tag, what, by in acts:
        if kind == "tag":
            curation.tag(tag, what, by=by)
        elif kind == "untag":
            curation.untag(tag, what, by=by)
    for by in ("ada", "bob"):
        while curation.undo(by) is not None:
            assert all(act.by in ("ada", "bob") for act in curation.acts())
    assert curation.last("ada") is None and curation.last("bob") is None
    assert standing(curation) == {}
    curation.close()


def test_threads_and_processes_lose_nothing_of_each_other(curation, tmp_path):
    code = (
        "import sys; from biocosmos.serve.curation import Curation\n"
        "c = Curation(sys.argv[1])\n"
        "for i in range(20): c.tag('shared', [f'{sys.argv[2]}{i}'], by=sys.argv[2])\n"
    )
    others = [warm.Popen([sys.executable, "-c", code, str(tmp_path), who]) for who in ("p", "q")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: curation.tag("shared", [f"t{i}"], by="t"), range(20)))
    assert [each.wait(120) for each in others] == [0, 0]
    assert curation.ids("shared") == {f"{who}{i}" for who in "pqt" for i in range(20)}  # what others did is seen at once
    assert len(curation.acts()) == 60


KILLED = """
import os, signal, sys
from biocosmos.serve.curation import Curation
c = Curation(sys.argv[1])
for i in range(1000):
    c.tag("t", [str(i)], by="ada")
    print(i, flush=True)
"""


def test_kill_loses_no_act_that_was_acknowledged(curation, tmp_path):
    running = warm.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    said = [int(running.stdout.readline()) for _ in range(5)]
    running.send_signal(signal.SIGKILL)
    said += [int(line) for line in running.stdout.read().split()]
    running.wait(60)
    assert {str(i) for i in said} <= curation.ids("t") and len(curation.ids("t")) <= len(said) + 1
    assert curation.undo("ada") is not None


def test_a_newer_or_damaged_file_is_refused_in_one_line(curation, tmp_path):
    curation.tag("t", ["a"], by="ada")
    curation.close()
    with sqlite3.connect(curation.path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(BiocosmosError, match="newer biocosmos"):
        curation.tags()
    curation.path.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    for beside in ("-wal", "-shm"):
        curation.path.with_name(curation.path.name + beside).unlink(missing_ok=True)
    with pytest.raises(BiocosmosError, match="is damaged"):
        curation.tags()


def test_what_is_kept_to_take_back_is_json(curation):
    curation.tag("t", ["a"], by="ada")
    curation.delete("t", by="ada")
    with sqlite3.connect(curation.path) as file:
        rows = file.execute("SELECT kind, before FROM acts ORDER BY number").fetchall()
    file.close()
    import zlib

    assert rows[0] == ("tag", None) and json.loads(zlib.decompress(rows[1][1])) == [["a", 1]]


def test_those_who_listen_hear_of_each_act(curation):
    heard = []
    curation.listen(lambda: heard.append(1))
    curation.tag("t", ["a"], by="ada")
    curation.undo("ada")
    assert len(heard) == 2 and curation.version >= 2
