"""Acts on clusters against plain sets: merge, split, put aside, take over what was kept, and undo from the files alone."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos as bc
import warm
from biocosmos.discover import kept
from biocosmos.discover.growing import Session
from biocosmos.discover.growing.border import Border, grow_to_border
from biocosmos.errors import BiocosmosError
from biocosmos.specimens import by_hand
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

TAXA = ("Copepoda", "Hydrozoa", "Appendicularia")


def blobs(sizes=(60, 40, 20), dim=16, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x = np.eye(dim)[truth] + noise * rng.normal(size=(len(truth), dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), truth


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample_table):
    """A collection of 120 specimens with vectors of three kinds; the kind of each id."""
    folder = tmp_path_factory.mktemp("growing")
    collection = bc.Collection.create(folder / "tiny.cosmos")
    collection.add(Source("tiny", "sample", sample_table.slice(0, 120).to_batches(), SAMPLE_RANKS))
    ids = collection.table(["id"])["id"].to_pylist()
    x, truth = blobs()
    np.savez(folder / "v.npz", ids=np.array(ids), vectors=x)
    embed_from(collection, folder / "v.npz")
    return collection, dict(zip(ids, truth.tolist()))


def embed_from(collection, path):
    done = [sys.executable, "-m", "biocosmos", "embed", str(collection.path), "--encoder", "theirs", "--from", str(path)]
    warm.run(done, check=True, capture_output=True, timeout=300)


def forget(collection):
    for folder in ("discoveries", "identifications"):
        shutil.rmtree(collection.path / folder, ignore_errors=True)


@pytest.fixture
def session_of(made):
    collection, kind = made
    collection = bc.Collection.open(collection.path)
    forget(collection)

    def make(by="ada", **more):
        return Session(collection, "theirs", relabel=True, page=10, by=by, **more)

    yield make, kind
    forget(collection)


def standing(session):
    return {one.name: frozenset(session.members(one.name)) for one in session.clusters()}


# -------------------------------------------------------------------- each act


def test_clusters_become_one_and_strangers_of_one_are_strangers_of_all(session_of):
    make, _ = session_of
    session = make()
    a, b, c = session.recluster(40)[:3]
    was = standing(session)
    odd = session.members(b)[-2:]
    session.validate(b, session.members(b)[-5:], odd)
    assert session.merge([a, b, b]) == a
    now = standing(session)
    assert set(now) == {a, c} and now[a] == (was[a] | was[b]) - set(odd)
    assert not set(odd) & set(session.outsiders(a)) and session.strangers(a) == sorted(odd)
    assert session.undo().what == "merge" and standing(session)[b] == was[b] - set(odd)
    assert session.undo().what == "look" and standing(session) == was
    with pytest.raises(BiocosmosError, match="choose another"):
        session.merge([a, a])
    with pytest.raises(BiocosmosError, match="no cluster 'x'"):
        session.merge([a, "x"])


def test_a_cluster_is_split_into_parts_that_take_its_place(session_of):
    make, kind = session_of
    session = make()
    (whole,) = session.recluster(1000)
    parts = session.split(whole, 3)
    assert 2 <= len(parts) <= 3 and {one.name for one in session.clusters()} == set(parts)
    members = [session.members(part) for part in parts]
    assert sorted(id_ for part in members for id_ in part) == sorted(kind)
    assert np.mean([max(np.bincount([kind[id_] for id_ in part])) / len(part) for part in members]) > 0.8
    assert session.next_size == 500  # a split is no round
    session.undo()
    assert list(standing(session)) == [whole]
    with pytest.raises(BiocosmosError, match="not split into 500"):
        session.split(whole, 500)


def test_what_is_put_aside_is_proposed_again(session_of):
    make, kind = session_of
    session = make()
    names = session.recluster(30)
    session.dissolve(names[0])
    assert names[0] not in standing(session) and session.members(names[0])
    again = session.recluster(30, instead=True)
    assert set(standing(session)) == set(again)
    assert sorted(id_ for part in standing(session).values() for id_ in part) == sorted(kind)  # nobody is asked twice
    session.undo()
    assert set(standing(session)) == set(names[1:])


def test_kept_clusters_are_taken_over(session_of):
    make, kind = session_of
    session = make()
    with pytest.raises(BiocosmosError, match="no clusters 'latest'"):
        session.take_kept()
    ids = list(kind)
    label = [kind[id_] if i % 10 else -1 for i, id_ in enumerate(ids)]
    table = pa.table({"id": [*ids, "gone"], "cluster": [*label, 0], "typicality": [*np.linspace(1, 0, len(ids)), None]})
    found = kept.keep(session.collection, "clusters", table, {})
    session.recluster(30)
    names = session.take_kept()
    assert session.taken == found.name and set(standing(session)) == set(names) and len(names) == 3
    assert {frozenset(id_ for id_, each in zip(ids, label) if each == k) for k in range(3)} == set(standing(session).values())
    assert session.next_size == int(np.median([label.count(k) for k in range(3)])) // 2
    assert make().taken == found.name  # after a restart
    session.undo()
    assert session.taken is None and len(standing(session)) >= 3


def test_a_name_is_taken_back_with_its_act(session_of):
    make, _ = session_of
    session = make()
    one = session.recluster(60)[0]
    members = session.members(one)
    session.name(one, "Copepoda")
    assert session.members(one) == [] and session.tile(one).guess == "Copepoda"
    assert make().undo().what == "name"  # from another session
    session.refresh()
    assert session.members(one) == members and session.clusters()[0].taxon is None
    assert len(by_hand.history(session.collection)) == 2 * len(members)  # nothing was overwritten


def test_one_takes_back_only_what_is_ones_own(session_of):
    make, _ = session_of
    ada, grace = make("ada"), make("grace")
    names = ada.recluster(30)
    grace.refresh()
    grace.merge(names[:2])
    ada.refresh()
    assert ada.last().what == "propose" and grace.last().what == "merge"
    ada.undo()  # what grace merged were these
    grace.refresh()
    assert len(standing(grace)) == 1  # what she made one of both stands with what came from the other
    grace.undo()
    assert standing(grace) == {} and grace.undo() is None and ada.undo() is None
    shared = ada.as_user("eve")
    assert shared.last() is None and shared.vectors is ada.vectors


def test_acts_of_the_first_format_are_read_and_are_nobodys(session_of):
    make, _ = session_of
    session = make()
    session.recluster(30)
    (path,) = (session.collection.path / "discoveries" / "growing").glob("*.parquet")
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    again = make()
    assert standing(again) == standing(session) and again.undo() is None


def test_acts_that_come_late_make_the_same_clusters(session_of):
    make, _ = session_of
    session = make()
    a, b = session.recluster(30)[:2]
    session.validate(a, session.page(a), session.page(a)[:3])
    session.join(a, session.members(b)[:2])
    session.undo()
    session.validate(a, session.page(a), session.page(a)[-1:])
    folder = session.collection.path / "discoveries" / "growing"
    files = sorted(folder.glob("*.parquet"))
    late = folder.with_name("late")
    late.mkdir()
    for path in (files[0], files[2]):
        path.rename(late / path.name)
    other = make()
    for path in late.iterdir():
        path.rename(folder / path.name)
    other.refresh()
    assert standing(other) == standing(session) == standing(make())
    assert [other.strangers(name) for name in (a, b)] == [session.strangers(name) for name in (a, b)]


# -------------------------------------------------------------------- what a tile shows


def test_tiles_say_what_there_is(session_of):
    make, kind = session_of
    session = make()
    names = session.recluster(20)
    tile = session.tile(names[0])
    members = session.members(names[0])
    assert tile.size == len(members) and tile.shown[0] == members[0] and tile.shown[-1] == members[-1] and len(tile.shown) == 4
    assert tile.guess is None and np.isnan(tile.sure) and 0 < tile.density <= 1 and tile.looked == 0
    mean = session.vectors[[session._row[id_] for id_ in members]].mean(axis=0)
    cosines = [session.vectors[session._row[id_]] @ mean / np.linalg.norm(mean) for id_ in members]
    assert tile.density == pytest.approx(float(np.mean(cosines)), abs=1e-5)
    session.validate(names[0], members[:5], members[:1])
    assert session.tile(names[0]).looked == 4 and session.tile(names[0]).size == tile.size - 1
    session.name(names[1], TAXA[kind[session.members(names[1])[0]]])
    like = next(n for n in names[2:] if kind[session.members(n)[0]] == kind[next(iter(session._cluster(names[1]).members))])
    assert session.tile(like).guess == session.tile(names[1]).guess  # the nearest that have a name
    assert session.order("round") == [one.name for one in session.clusters()]
    sizes = [session.tile(name).size for name in session.order("size")]
    assert sizes == sorted(sizes, reverse=True) and session.order("size", True) == session.order("size")[::-1]
    density = [session.tile(name).density for name in session.order("density")]
    assert density == sorted(density, reverse=True) and set(session.order("name")) == set(session.order("round"))


def test_a_session_sees_at_once_what_is_new_and_reads_nothing_twice(session_of, monkeypatch):
    make, _ = session_of
    session = make()
    names = session.recluster(10)
    read = []
    real = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda path, *a, **k: (read.append(path), real(path, *a, **k))[1])
    session.validate(names[0], session.page(names[0]), [])
    session.refresh()
    session.refresh()
    assert len(read) == 1  # the act itself


def test_fewer_axes_serve_as_well(session_of):
    make, kind = session_of
    session = make(dims=4)
    assert session.vectors.shape == (120, 4)
    for name in session.recluster(10):
        assert len({kind[id_] for id_ in session.page(name)}) == 1


# -------------------------------------------------------------------- growing without being called back


@settings(max_examples=40)
@given(st.integers(0, 300), st.integers(1, 30), st.integers(0, 60), st.sampled_from([0.0, 0.2]))
def test_the_border_page_by_page_is_that_of_one_call(belong, page, strangers, tolerance):
    ordered = np.random.default_rng(0).permutation(belong + strangers)
    whole = grow_to_border(ordered, lambda rows: rows < belong, page=page, tolerance=tolerance)
    border, shown = Border(ordered, page=page, tolerance=tolerance), 0
    while border.page is not None:
        border.say(border.page < belong)
        shown += 1
    found = border.found()
    assert found.pages == whole.pages == shown
    for one, other in ((found.belong, whole.belong), (found.unseen, whole.unseen), (found.strangers, whole.strangers)):
        assert one.tolist() == other.tolist()


def test_a_cluster_grows_a_page_at_a_time(session_of):
    make, kind = session_of
    session = make()
    one = session.recluster(10)[0]
    own = kind[session.page(one)[0]]
    border = session.border(one)
    while (rows := border.page) is not None:
        ids = [str(id_) for id_ in session.ids[rows]]
        odd = [id_ for id_ in ids if kind[id_] != own]
        session.validate(one, ids, odd)
        border.say(np.array([id_ not in odd for id_ in ids]))
    session.join(one, [str(id_) for id_ in session.ids[border.unseen()]])
    members = session.members(one)
    assert len(members) > 30 and np.mean([kind[id_] == own for id_ in members]) > 0.9


# -------------------------------------------------------------------- any acts, against plain sets

STEP = st.tuples(
    st.sampled_from(["recluster", "instead", "look", "join", "merge", "split", "dissolve", "name", "undo"]),
    st.sampled_from(["ada", "grace"]),
    st.integers(0, 10**6),
)


class Model:
    """Clusters as plain sets, made anew from the list of acts that stand."""

    def __init__(self):
        self.acts, self.undone = [], set()

    def do(self, by, *what):
        self.acts.append((by, what))

    def undo(self, by):
        last = [i for i, (who, _) in enumerate(self.acts) if who == by and i not in self.undone]
        if last:
            self.undone.add(last[-1])

    def standing(self):
        members, odd, gone, names = {}, {}, set(), {}
        for i, (_, what) in enumerate(self.acts):
            if i in self.undone:
                continue
            for kind, cluster, ids in what:
                own, strange = members.setdefault(cluster, set()), odd.setdefault(cluster, set())
                if kind == "in":
                    own |= set(ids)
                    strange -= set(ids)
                elif kind == "out":
                    own -= set(ids)
                    strange |= set(ids)
                elif kind == "gone":
                    gone.add(cluster)
                else:
                    names.update(dict.fromkeys(ids, True))
        left = {name: frozenset(ids - set(names)) for name, ids in members.items() if name not in gone}
        return {name: ids for name, ids in left.items() if ids}, odd, set(names)


@settings(max_examples=25)
@given(st.lists(STEP, max_size=14))
def test_any_acts_do_what_they_do_to_plain_sets(made, steps):
    collection, _ = made
    forget(collection)
    model = Model()
    sessions = {by: Session(collection, "theirs", relabel=True, page=10, by=by) for by in ("ada", "grace")}
    for act, by, number in steps:
        session = sessions[by]
        session.refresh()
        there = [one.name for one in session.clusters()]
        one = there[number % len(there)] if there else None
        if act in ("recluster", "instead"):
            found = session.recluster(20 + number % 50, instead=act == "instead")
            if found:
                gone = [("gone", name, ()) for name in there] if act == "instead" else []
                model.do(by, *[("in", name, set(session._cluster(name).members)) for name in found], *gone)
        elif act == "undo":
            done = session.undo()
            assert (done is not None) == any(w == by and i not in model.undone for i, (w, _) in enumerate(model.acts))
            model.undo(by)
        elif one is None:
            continue
        elif act == "look":
            page = session.page(one, order="border")
            odd = page[: number % 4]
            session.validate(one, page, odd)
            model.do(by, ("in", one, [id_ for id_ in page if id_ not in odd]), ("out", one, odd))
        elif act == "join":
            ids = session.outsiders(one)[: number % 7]
            session.join(one, ids)
            if ids:
                model.do(by, ("in", one, ids))
        elif act == "merge":
            other = there[number // 7 % len(there)]
            if other == one:
                continue
            _, odd, _ = model.standing()
            mine, theirs = set(session._cluster(one).members), set(session._cluster(other).members)
            session.merge([one, other])
            strange = odd[other] - (mine | theirs | odd[one])
            model.do(by, ("in", one, theirs - mine), ("out", one, strange), ("gone", other, ()))
        elif act == "split":
            parts = 2 + number % 3
            if len(session.members(one)) < parts:
                continue
            found = session.split(one, parts)
            model.do(by, *[("in", name, set(session._cluster(name).members)) for name in found], ("gone", one, ()))
        elif act == "dissolve":
            session.dissolve(one)
            model.do(by, ("gone", one, ()))
        else:
            ids = session.members(one)
            session.name(one, TAXA[number % 3])
            model.do(by, ("name", one, ids))
        expected, odd, names = model.standing()
        session.refresh()
        assert standing(session) == expected
        assert {id_ for id_, name in zip(session.ids, session.names) if name is not None} == names
    fresh = Session(collection, "theirs", relabel=True, page=10, by="ada")
    expected, odd, _ = model.standing()
    assert standing(fresh) == expected  # from the files alone
    assert all(set(fresh.strangers(name)) == odd[name] for name in expected)
    for by in sessions:
        while sessions[by].undo() is not None:
            pass
    fresh.refresh()
    assert standing(fresh) == {} and fresh.share == 0


KILLED = """
import sys
import biocosmos as bc
from biocosmos.discover.growing import Session
session = Session(bc.Collection.open(sys.argv[1]), "theirs", relabel=True, page=10, by="ada")
for turn in range(1000):
    names = session.recluster(20, instead=True)
    session.merge(names[:2])
    session.undo()
    session.split(names[0], 2)
    print(len(session._history.acts), flush=True)
"""


def test_kill_loses_no_act_that_was_done(session_of):
    make, _ = session_of
    session = make()
    command = [sys.executable, "-c", KILLED, str(session.collection.path)]
    running = warm.Popen(command, stdout=subprocess.PIPE, text=True)
    said = [int(running.stdout.readline()) for _ in range(3)]
    running.send_signal(signal.SIGKILL)
    said += [int(line) for line in running.stdout.read().split()]
    running.wait(60)
    session.refresh()
    assert len(session._history.acts) >= said[-1] and standing(session) == standing(make())
    while session.undo() is not None:
        pass
    assert standing(session) == {}
