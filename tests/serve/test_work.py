"""Long work: processes that outlive the server, are found again, cancelled, and told apart by how they ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError
from biocosmos.serve.work import KINDS, Job, Work, states
from biocosmos.serve.work.command import GRACE, Offered, Place, python
from biocosmos.serve.work.supervise import last_words
from biocosmos.serve.work.work import NoJob
from biocosmos.settings import SettingError
from browsing import copy_of

PATIENCE = 240.0
ENDLESS = {"epochs": 10_000, "name": "endless"}
"""A training that nobody would wait for."""
SERVER = """
import sys, time
from biocosmos.serve.work import Work
from biocosmos.specimens.collection import Collection
work = Work(Collection.open(sys.argv[1]))
print(work.start(sys.argv[2], eval(sys.argv[3]), "ada").id, flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def collection(embedded: bc.Collection, tmp_path: Path) -> bc.Collection:
    return bc.Collection.open(copy_of(embedded, tmp_path))


@pytest.fixture
def work(collection: bc.Collection) -> Iterator[Work]:
    made = Work(collection)
    yield made
    for job in made.jobs():
        if not job.is_over:
            made.cancel(job.id)
    made.close()


def until(work: Work, id: str, wanted: Callable[[Job], bool] = lambda job: job.is_over) -> Job:
    end = time.monotonic() + PATIENCE
    while not wanted(job := work.job(id)):
        assert time.monotonic() < end, (job, work.log(id)[0])
        time.sleep(0.1)
    return job


def is_training(job: Job) -> bool:
    return job.status == "running" and job.progress is not None and job.progress["done"] > 0


def process_group(job: Job, work: Work) -> int:
    started = states.started_of(work.folder / job.id)
    assert started is not None and started["child"] is not None
    return int(started["child"]["pid"])


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_job_is_a_verb_that_a_person_could_have_typed(work: Work, collection: bc.Collection) -> None:
    asked = work.start("export", {"format": "csv", "split": "test"}, "ada")
    job = until(work, asked.id)
    assert (job.status, job.code, job.by, job.made) == ("done", 0, "ada", ("plankton.csv",)), work.log(job.id)
    assert job.command.startswith("biocosmos export --output=") and job.command.endswith(f" -- {collection.path}")
    assert "--split=test" in job.words and job.words.index("--") == len(job.words) - 2
    table = work.file(job.id, "plankton.csv").read_text().splitlines()
    assert len(table) == 1 + collection.split().counts()["test"]
    assert job.seconds is not None and job.progress is not None and "specimens" in work.log(job.id)[0]
    for name in ("job.json", "../job.json", "other.csv", ""):
        with pytest.raises(NoJob):
            work.file(job.id, name)


def test_a_verb_that_fails_ends_failed_with_its_one_line(work: Work) -> None:
    job = until(work, work.start("export", {"within": "Nosuchtaxon"}, "ada").id)
    assert job.status == "failed" and job.code == 1 and not job.made
    assert job.message.startswith("no taxon 'Nosuchtaxon'") and "\n" not in job.message


def test_who_asked_stands_in_what_the_verb_records(work: Work, collection: bc.Collection) -> None:
    job = until(work, work.start("refit", {"name": "week-1"}, "grace hopper").id)
    assert job.status == "done", work.log(job.id)
    facts = json.loads((collection.path / "models" / "week-1" / "model.json").read_text())
    assert facts["by"] == "grace hopper"


def test_cancel_ends_a_job_in_order_and_leaves_no_process(work: Work) -> None:
    id = work.start("train", ENDLESS, "ada").id
    group = process_group(until(work, id, is_training), work)
    work.cancel(id, "bob")
    job = until(work, id)
    assert (job.status, job.code) == ("cancelled", 130) and job.message.startswith("interrupted")
    assert gone(group)
    assert work.cancel(id).status == "cancelled", "a second time changes nothing"


def test_one_that_does_not_listen_is_ended_for_certain(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GRACE, "0.5")
    id = work.start("train", ENDLESS, "ada").id
    group = process_group(until(work, id, is_training), work)
    os.kill(group, signal.SIGSTOP)  # it hears nothing
    work.cancel(id)
    job = until(work, id)
    assert job.status == "cancelled" and job.code == -signal.SIGKILL and gone(group)


def test_no_more_run_at_once_than_may_and_one_that_waits_can_be_cancelled(collection: bc.Collection) -> None:
    work = Work(collection, at_once=1)
    try:
        first = work.start("train", ENDLESS, "ada").id
        until(work, first, lambda job: job.status == "running")
        second, third = (work.start("export", {}, "ada").id for _ in range(2))
        until(work, first, is_training)
        assert [work.job(id).status for id in (second, third)] == ["queued", "queued"]
        assert work.cancel(third).status == "cancelled" and work.job(third).message == "cancelled before it began"
        assert [job.id for job in work.jobs()] == [third, second, first], "the latest first"
        work.cancel(first)
        assert until(work, second).status == "done" and not work.job(third).made
    finally:
        work.cancel(first)
        until(work, first)
        work.close()


def server(collection: bc.Collection, kind: str, settings: dict[str, Any]) -> tuple[warm.Popen, str]:
    """A process that has a desk of work and starts a job; and the job's id."""
    process = warm.Popen(
        [sys.executable, "-c", SERVER, str(collection.path), kind, repr(settings)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_kill_9_of_the_server_loses_neither_the_job_nor_its_result(collection: bc.Collection) -> None:
    process, id = server(collection, "clusters", {"method": "ward", "clusters": 7})
    folder = collection.path / states.FOLDER / id
    while states.started_of(folder) is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    work = Work(collection)
    found = work.job(id)
    assert found.status in ("running", "done") and found.by == "ada"
    assert until(work, id).status == "done", work.log(id)
    from biocosmos.discover.kept import read_kept

    assert len(set(read_kept(collection, "clusters").table()["cluster"].to_pylist())) >= 7
    work.close()


def test_a_job_is_found_running_after_kill_9_and_can_be_cancelled_then(collection: bc.Collection) -> None:
    process, id = server(collection, "train", ENDLESS)
    folder = collection.path / states.FOLDER / id
    while states.read(folder / states.PROGRESS) is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    work = Work(collection)
    job = until(work, id, is_training)
    work.cancel(id)
    assert until(work, id).status == "cancelled" and gone(process_group(job, work))
    work.close()


def test_one_that_waited_when_the_server_died_begins_with_the_next(collection: bc.Collection) -> None:
    work = Work(collection, at_once=0)
    id = work.start("export", {}, "ada").id
    work.close()
    again = Work(collection)
    assert until(again, id).status == "done"
    again.close()


def test_a_job_whose_processes_are_gone_is_lost_and_one_whose_number_another_has_too(collection: bc.Collection) -> None:
    process, id = server(collection, "train", ENDLESS)
    folder = collection.path / states.FOLDER / id
    while (started := states.started_of(folder)) is None or started["child"] is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    os.kill(started["supervisor"]["pid"], signal.SIGKILL)
    work = Work(collection)
    assert work.job(id).status == "running", "the verb itself still works"
    work.cancel(id)  # nobody passes the wish on but the desk
    assert until(work, id).status == "lost"
    other = {"pid": os.getpid(), "start": 1}
    states.write(folder / states.STARTED, {**started, "child": other, "supervisor": other})
    assert work.job(id).status == "lost", "a process of the same number is another"
    work.close()


def test_the_stream_tells_everything_once_and_goes_on_where_it_was_broken_off(work: Work) -> None:
    id = work.start("clusters", {"method": "ward", "clusters": 5}, "ada").id

    async def follow(after: int | None = None) -> list[Any]:
        return [event async for event in work.events(id, after)]

    events = asyncio.run(follow())
    names = [event.name for event in events]
    assert names[-1] == "end" and events[-1].data["status"] == "done" and "job" in names
    said = "".join(event.data["text"] for event in events if event.name == "log")
    assert said == (work.folder / id / "log").read_text()
    assert [event.id for event in events] == sorted(event.id for event in events)
    first = next(event for event in events if event.name == "log")
    rest = asyncio.run(follow(first.id))
    assert "".join(event.data["text"] for event in rest if event.name == "log") == said.encode()[first.id :].decode()
    over = asyncio.run(follow(events[-1].id))
    assert [event.name for event in over] == ["job", "end"]


def test_a_log_is_read_by_its_end_in_whole_lines_whatever_its_bytes(tmp_path: Path) -> None:
    (tmp_path / states.LOG).write_bytes(b"".join(b"line %d \xc3\xa9\n" % i for i in range(5000)) + b"\xff half")
    text, end = states.log_tail(tmp_path, 1000)
    assert text.startswith("line ") and text.endswith("\ufffd half") and len(text) <= 1000
    assert end == (tmp_path / states.LOG).stat().st_size
    text, at = states.log_tail(tmp_path, 1000, 0, final=False)
    assert text.startswith("line ") and text.endswith("\n"), "so far back that it begins anew near the end"
    assert states.log_tail(tmp_path, 1000, at, final=False) == ("", at)
    assert states.log_tail(tmp_path / "none", 1000) == ("", 0)


def test_the_last_words_say_why(tmp_path: Path) -> None:
    (tmp_path / states.LOG).write_text("a table\nerror: the disk is full\n")
    assert last_words(tmp_path, 1) == "the disk is full"
    assert "SIGKILL" in last_words(tmp_path, -9) and "memory" in last_words(tmp_path, -9)
    (tmp_path / states.LOG).write_text("nothing of the kind\n")
    assert last_words(tmp_path, 70) == "ended with code 70: its log says more"


HOSTILE: list[tuple[str, dict[str, Any]]] = [
    ("rm", {}),
    ("", {}),
    ("serve", {}),
    ("export", {"output": "/etc/passwd"}),
    ("export", {"format": "csv --overwrite"}),
    ("export", {"split": "nosuch"}),
    ("export", {"within": ["a", "b"]}),
    ("export", {"within": "x\ny"}),
    ("export", {"within": "x" * 300}),
    ("export", {"within": {"a": 1}}),
    ("clusters", {"method": "hdbscan", "clusters": 5}),
    ("clusters", {"clusters": -1, "method": "ward"}),
    ("clusters", {"seed": True}),
    ("clusters", {"encoder": "/tmp/encoder"}),
    ("clusters", {"where": "1=1); DROP"}),
    ("embed", {"encoder": "/etc"}),
    ("embed", {"encoder": "./run"}),
    ("embed", {"encoder": "python:os:system"}),
    ("embed", {"encoder": "timm:x@/etc/passwd"}),
    ("embed", {"encoder": "open_clip:ViT-B-32/../../x"}),
    ("embed", {"encoder": "open_clip:ViT-B-32//etc/passwd"}),
    ("embed", {"allow_code": True}),
    ("evaluate", {"title": "../../x"}),
    ("evaluate", {"title": "-o"}),
    ("evaluate", {"encoder": ["../x"]}),
    ("evaluate", {"head": ["/tmp"]}),
    ("train", {"name": "a/b"}),
    ("train", {"name": "-rf"}),
    ("refit", {"promote": "x"}),
    ("refit", {"name": ".."}),
    ("refit", {"error_rate": 2}),
    ("identify", {"part": "all; --head=x"}),
    ("identify", {"head": "/tmp"}),
    ("ingest", {}),
]


@pytest.mark.parametrize(("kind", "settings"), HOSTILE)
def test_what_a_stranger_would_like_is_refused_and_leaves_nothing(work: Work, kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError) as refused:
        work.start(kind, settings, "mallory")
    assert "\n" not in str(refused.value)
    assert work.jobs() == [] and (not work.folder.exists() or not any(work.folder.iterdir()))


def test_a_value_that_looks_like_an_option_is_a_value(work: Work, tmp_path: Path) -> None:
    job = until(work, work.start("export", {"within": f"-o{tmp_path}/x"}, "mallory").id)
    assert job.status == "failed" and "no taxon" in job.message and not (tmp_path / "x").exists()
    assert f"--within=-o{tmp_path}/x" in job.words


@pytest.mark.parametrize("id", ["", ".", "..", "../jobs", "x", "20261129T101500123-1f0c9a3e", "a" * 5000])
def test_an_id_that_is_none_is_refused(work: Work, id: str) -> None:
    for ask in (work.job, work.cancel, work.log):
        with pytest.raises(NoJob):
            ask(id)


def test_folders_that_a_stranger_prepared_run_nothing_but_checked_settings(work: Work, collection: bc.Collection) -> None:
    def folder(**asked: Any) -> Path:
        id = states.new_id()
        made = work.folder / id
        made.mkdir(parents=True)
        states.write(made / states.ASKED, {"id": id, "kind": "export", "settings": {}, "by": "x", "at": states.now()} | asked)
        return made

    evil = [
        folder(kind="rm"),
        folder(settings={"output": "/tmp/evil.csv"}),
        folder(settings={"format": "--allow-code"}),
        folder(words=["doctor"]),
    ]
    work._wake.set()
    ended = [until(work, made.name) for made in evil]
    assert [job.status for job in ended] == ["failed", "failed", "failed", "done"]
    assert ended[-1].made == ("plankton.csv",) and not Path("/tmp/evil.csv").exists()
    unreadable = work.folder / states.new_id()
    unreadable.mkdir()
    (unreadable / states.ASKED).write_text("[" * 100_000)
    link = work.folder / states.new_id()
    link.symlink_to(collection.path)
    assert {job.id for job in work.jobs()} == {job.id for job in ended}


def test_every_kind_makes_words_that_its_verb_takes(collection: bc.Collection, tmp_path: Path) -> None:
    import typer

    from biocosmos.cli.app import app

    root = typer.main.get_command(app)
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "photo.png").write_bytes(b"x")
    place = Place(collection.path, tmp_path, states.new_id())
    for kind in KINDS.values():
        command: Any = root
        words = list(kind.checked({}, Offered.of(collection)).words(place))
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        context = command.make_context(kind.name, words)
        given = [name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
        assert "collection" in given or "source" in given or "paths" in given, (kind.name, given)
        for one in kind.form(Offered.of(collection)):
            assert one["help"].endswith(".") and one["kind"] in ("bool", "int", "float", "list", "text", "choice", "choices")


def test_what_tells_samples_apart_is_one_list(collection: bc.Collection, tmp_path: Path) -> None:
    settings = KINDS["summarize"].checked({"by": ["station", "depth"]}, Offered.of(collection))
    assert "--by=station,depth" in settings.words(Place(collection.path, tmp_path, states.new_id()))


def test_modules_that_lie_among_the_uploads_are_not_imported(work: Work) -> None:
    id, folder = work.prepare()
    (folder / "made").mkdir()
    for name in ("numpy.py", "json.py", "biocosmos.py"):
        (folder / "made" / name).write_text("raise SystemExit('imported')")
        (folder / name).write_text("raise SystemExit('imported')")
    (folder / states.ASKED).write_text(json.dumps({"id": id, "kind": "export", "settings": {}, "by": "x", "at": states.now()}))
    work._wake.set()
    assert until(work, id).status == "done"
    assert python(["x"])[1] == "-P"


def test_jobs_that_are_over_are_forgotten_the_oldest_first(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    from biocosmos.serve.work import work as module

    monkeypatch.setattr(module, "MOST_KEPT", 2)
    made = []
    for _ in range(4):
        id, folder = work.prepare()
        states.write(folder / states.ASKED, {"id": id, "kind": "export", "settings": {}, "by": "x", "at": states.now()})
        states.write(folder / states.END, {"status": "done", "code": 0, "at": states.now(), "message": ""})
        made.append(id)
        time.sleep(0.002)
    work._forget_old()
    assert [job.id for job in work.jobs()] == made[:1:-1]


def test_the_desk_says_when_a_job_is_over(work: Work) -> None:
    seen: list[Job] = []
    work.when_over(seen.append)
    id = work.start("export", {}, "ada").id
    until(work, id)
    end = time.monotonic() + PATIENCE
    while not seen and time.monotonic() < end:
        time.sleep(0.05)
    assert [job.id for job in seen] == [id]


def test_an_unreadable_collection_is_told(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError):
        states.asked(tmp_path)
