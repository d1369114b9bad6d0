"""A scripted annotator in a real browser, who knows what PlanktonSet's pictures are: objects named an hour, and how rightly.

    python benchmarks/real_annotator.py --data ../shared/data/planktonset --work results/annotator --minutes 10

All specimens but one of each taxon have no label (the taxa have to be known to be chosen). The annotator sees what the page
shows and nothing else: for ids of tiles that are shown it looks up what they are. It clicks strangers, presses keys, and waits
for the page; no time is added for looking and deciding, so the hours are those that the browser and the server take. First
clusters are validated, grown and named, smaller ones of what is left; then, if there is time, a machine learns from the names and
the grid of review is accepted. It goes on where it was stopped: what was named is on disk, what it took in WORK/annotator.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import Error, Page, sync_playwright

from machine import write_results

BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]
TOKEN = "the-annotator-may-know-this"
PURE, ENOUGH = 0.9, 0.7
"""A cluster is grown from this share of one taxon, and named from that."""
SMALLEST = 8
EVERY = 15.0
"""Seconds between two points of the curve."""

SHOWN = "() => [...document.querySelectorAll('#members .tile, #review-grid .tile')].map((tile) => tile.dataset.id)"
PLACE = (
    "(id) => { const tile = [...document.querySelectorAll('.tile')].find((each) => each.dataset.id === id); "
    "const picture = tile.querySelector('img'); "
    "picture.scrollIntoView({block: 'center'}); const box = picture.getBoundingClientRect(); "
    "return [box.x + box.width / 2, box.y + box.height / 2] }"
)
RECENT = "() => [...document.querySelectorAll('#recent button')].map((each) => each.textContent.slice(2))"
OPTION = (
    "(label) => [...document.querySelectorAll('[data-test=taxon-option] span:first-child')]"
    ".findIndex((each) => each.firstChild.textContent === label)"
)
POST = (
    "async ([path, body]) => (await (await fetch(path, {method: 'POST', "
    "headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)})).json())"
)
OVER = "async (id) => ['done', 'failed', 'lost'].includes((await (await fetch('/api/jobs/' + id)).json()).status)"
OF_THIS = (
    "() => { const choice = document.getElementById('taxa'); const name = choice.selectedOptions[0]?.text.split(' (')[0]; "
    "return document.getElementById('told').textContent.includes(`not ${name}.`) }"
)
SETTLED = (
    "() => { const page = document.querySelector('[data-cluster]'); "
    "return page?.dataset.ready && !page.hasAttribute('aria-busy') }"
)


def make(data: Path, work: Path) -> tuple[Path, dict[str, str], dict[str, set[str]]]:
    """(collection, id -> label, label -> all names of its path); the collection is made if it is not there."""
    table = pq.read_table(data / "planktonset.parquet", columns=["image_id", "label"])
    truth = dict(zip(table["image_id"].to_pylist(), table["label"].to_pylist()))
    with (data / "taxonomy.csv").open(newline="") as file:
        paths = {
            row["label"]: {value for name, value in row.items() if value and name != "group"} for row in csv.DictReader(file)
        }
    path = work / "unlabelled.cosmos"
    if not (path / "collection.json").exists():
        seen: set[str] = set()
        kept = [None if label in seen or seen.add(label) else label for label in truth.values()]
        whole = pq.read_table(data / "planktonset.parquet", columns=["image_id", "image"])
        source = work / "unlabelled.parquet"
        pq.write_table(whole.append_column("label", pa.array(kept, pa.string())), source, row_group_size=2000)
        verb = [sys.executable, "-m", "biocosmos"]
        how = ["--taxonomy", str(data / "taxonomy.csv"), "--column", "id=image_id", "-o", str(path)]
        subprocess.run([*verb, "ingest", str(source), *how], check=True)
        subprocess.run([*verb, "embed", str(path)], check=True)
    return path, truth, paths


@dataclass
class Server:
    """biocosmos serve, as a process."""

    collection: Path
    address: str = ""
    process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Server:
        command = [sys.executable, "-m", "biocosmos", "serve", str(self.collection), "--no-open", "--port", "0"]
        environment = {**os.environ, "BIOCOSMOS_TOKEN": TOKEN}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://[^\s/?]+", line):
                self.address = found.group()
                return self
        raise SystemExit("the server did not start")

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


@dataclass
class Annotator:
    """Sees what a page shows, and clicks. seconds: of the browser, since it began, earlier sittings too."""

    page: Page
    address: str
    truth: dict[str, str]
    paths: dict[str, set[str]]
    log: Path
    seconds: float = 0.0
    clicks: int = 0
    keys: int = 0
    acts: int = 0
    seen: int = 0
    names: int = 0
    _since: float = 0.0
    _told: float = -1e9
    _way: str = "clusters"
    points: list[dict[str, Any]] = field(default_factory=list)

    # ---------------------------------------------------------------- time and what there is

    def begin(self, way: str) -> None:
        self._way, self._since = way, time.perf_counter()

    def pause(self) -> None:
        self.seconds += time.perf_counter() - self._since
        self._since = time.perf_counter()

    def tell(self, always: bool = False) -> None:
        """One more point of the curve, read from what the page says."""
        self.pause()
        if always or self.seconds - self._told >= EVERY:
            self._told = self.seconds
            found = self.page.evaluate("async () => (await (await fetch('/api/clusters?count=1')).json()).progress")
            point = {"seconds": round(self.seconds, 1), "named": found["named"], "way": self._way, "clicks": self.clicks}
            more = {"keys": self.keys, "acts": self.acts, "seen": self.seen, "names": self.names}
            self.points.append(point | more)
            with self.log.open("a") as file:
                file.write(json.dumps(self.points[-1]) + "\n")
            print(self.points[-1], flush=True)
        self._since = time.perf_counter()

    def press(self, key: str) -> None:
        self.keys += 1
        self.page.keyboard.press(key)

    def until(self, true: str, arg: Any = None, seconds: float = 60) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            try:
                if self.page.evaluate(true, arg):
                    return
            except Error:  # another page comes
                pass
            time.sleep(0.01)
        raise SystemExit(f"waited in vain at {self.page.url}: {true}")

    def shown(self) -> list[str]:
        """Ids of the tiles that are shown."""
        found: list[str] = self.page.evaluate(SHOWN)
        self.seen += len(found)
        return found

    def click(self, ids: list[str]) -> None:
        """Click the pictures of these."""
        for id_ in ids:
            self.clicks += 1
            x, y = self.page.evaluate(PLACE, id_)
            self.page.mouse.click(x, y)

    def belongs(self, id_: str, taxon: str) -> bool:
        return taxon in self.paths[self.truth[id_]] or taxon == self.truth[id_]

    def commonest(self, ids: list[str]) -> tuple[str, float]:
        kinds: dict[str, int] = {}
        for id_ in ids:
            kinds[self.truth[id_]] = kinds.get(self.truth[id_], 0) + 1
        label = max(kinds, key=lambda each: kinds[each])
        return label, kinds[label] / len(ids)

    # ---------------------------------------------------------------- clusters

    def by_clusters(self, until: float) -> None:
        """Rounds of smaller and smaller clusters, until the time is up or they are too small."""
        self.begin("clusters")
        size = 0
        while self.seconds < until and (not size or size >= SMALLEST):
            self.page.goto(f"{self.address}/clusters")
            self.until("() => document.querySelector('[data-clusters]')?.dataset.ready")
            there = self.page.locator("[data-test=cluster]").count()
            size = size or int(self.page.input_value("[data-test=size]"))  # 128, or where an earlier sitting was
            self.page.fill("[data-test=size]", str(size))
            mark = self.page.evaluate("() => { window.stale = true; return true }")
            assert mark
            self.page.click(
                "[data-test=recluster]" if there or not self.page.locator("#first").count() else "[data-test=first-clusters]"
            )
            self.until("() => !window.stale && document.querySelector('[data-clusters]')?.dataset.ready", seconds=600)
            if not self.page.locator("[data-test=open-cluster]").count():
                return
            self.page.locator("[data-test=open-cluster]").first.click()
            self.until(SETTLED)
            self.tell(always=True)
            while self.seconds < until and self._one_cluster():
                self.tell()
            self.tell(always=True)
            size //= 2

    def _one_cluster(self) -> bool:
        """Validate, grow and name the cluster that is open, or turn to the next; False behind the last."""
        self.acts += 1
        ids = self.shown()
        name = self.page.evaluate("() => document.querySelector('[data-cluster]').dataset.cluster")
        more = not self.page.evaluate("() => document.getElementById('after').disabled")
        if not ids:
            return self._turn(name, more)
        label, share = self.commonest(ids)
        if share < ENOUGH:
            return self._turn(name, more)
        self.click([id_ for id_ in ids if self.truth[id_] != label])
        if share >= PURE:
            self.press("g")
            self.until(f"() => ({SETTLED})()")
            while self.page.evaluate("() => !document.getElementById('growing').hidden"):
                self.click([id_ for id_ in self.shown() if self.truth[id_] != label])
                self.press("Enter")
                self.until(f"() => ({SETTLED})()")
        self._name(label)
        if more:
            self.until(f"(name) => document.querySelector('[data-cluster]').dataset.cluster !== name && ({SETTLED})()", name)
        return more

    def _turn(self, name: str, more: bool) -> bool:
        if more:
            self.press("n")
            self.until(f"(name) => document.querySelector('[data-cluster]').dataset.cluster !== name && ({SETTLED})()", name)
        return more

    def _name(self, label: str) -> None:
        self.names += 1
        recent: list[str] = self.page.evaluate(RECENT)
        if label in recent:
            self.press(str(recent.index(label) + 1))
            return
        self.press("/")
        self.page.locator("[data-test=taxon-search]").fill(label)
        self.keys += 1
        self.until(f"(label) => ({OPTION})(label) >= 0", label)
        for _ in range(self.page.evaluate(OPTION, label)):
            self.press("ArrowDown")
        self.press("Enter")

    # ---------------------------------------------------------------- queues

    def learn(self) -> None:
        """A machine learns from the names so far and names the rest: nobody waits for it, and its time is told apart."""
        self.pause()
        begun = time.perf_counter()
        for path, body in (
            ("/api/labels/take-over", {}),
            ("/api/jobs", {"kind": "identify", "settings": {"part": "unlabelled"}}),
        ):
            done = self.page.evaluate(POST, [path, body])
        self.until(OVER, done["id"], 900)
        print(f"a machine learnt and named for {time.perf_counter() - begun:.0f} s", flush=True)
        time.sleep(2)

    def by_queue(self, until: float) -> None:
        """The grid of one proposed taxon after the other, the surest first: accept all but those clicked."""
        self.begin("queue")
        self.page.goto(f"{self.address}/review?kind=unsure&mode=grid")
        self.until("() => document.querySelectorAll('#review-grid .tile').length > 0")
        self.page.select_option("[data-test=order]", "surest")
        time.sleep(0.3)
        done: set[str] = set()
        while self.seconds < until:
            options: list[str] = self.page.evaluate(
                "() => [...document.querySelectorAll('#taxa option')].map((each) => each.value)"
            )
            left = [each for each in options if each not in done]
            if not left:
                break
            self.page.select_option("[data-test=taxa]", left[0])
            done.add(left[0])
            self.until(OF_THIS)
            while self.seconds < until and self._one_page(left[0]):
                self.tell()
        self.tell(always=True)

    def _one_page(self, address: str) -> bool:
        """Whether it is worth to turn to one more page of the taxon."""
        self.acts += 1
        ids = self.shown()
        taxon = address.split("/")[-1].split(":")[-1]
        odd = [id_ for id_ in ids if not self.belongs(id_, taxon)]
        if not ids or len(odd) > (1 - ENOUGH) * len(ids):
            return False
        self.click(odd)
        before = ids[0]
        self.press("Enter")
        if odd:
            self.until("(count) => document.querySelectorAll('#review-grid .tile').length === count", len(odd))
            self.press("n")
        self.until("(id) => document.querySelector('#review-grid .tile')?.dataset.id !== id", before)
        time.sleep(0.1)
        current = self.page.evaluate("() => document.getElementById('taxa').value")
        return bool(current == address)


def judged(path: Path, truth: dict[str, str], paths: dict[str, set[str]]) -> dict[str, Any]:
    """What was named, and how much of it rightly: by its label, or by a taxon above it."""
    import biocosmos as bc
    from biocosmos.specimens import by_hand

    rows = by_hand.current(bc.Collection.open(path)).to_pylist()
    right = [row["taxon"] in paths[truth[row["id"]]] or row["taxon"] == truth[row["id"]] for row in rows]
    finest = [row["taxon"] == truth[row["id"]] for row in rows]
    count = max(len(rows), 1)
    return {
        "named": len(rows),
        "precision": round(sum(right) / count, 4),
        "of the label itself": round(sum(finest) / count, 4),
        "taxa": len({row["taxon"] for row in rows}),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data/planktonset"))
    arguments.add_argument("--work", type=Path, default=Path("results/annotator"))
    arguments.add_argument("--minutes", type=float, default=10, help="of browser time in this sitting")
    arguments.add_argument("--queue", type=float, default=0.3, help="share of them for the queue")
    arguments.add_argument("--again", action="store_true", help="forget what was named before")
    asked = arguments.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    path, truth, paths = make(asked.data, asked.work)
    log = asked.work / "annotator.jsonl"
    if asked.again:
        for folder in ("identifications", "discoveries/growing", "web"):
            shutil.rmtree(path / folder, ignore_errors=True)
        log.unlink(missing_ok=True)
    points = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    last: dict[str, Any] = points[-1] if points else {}
    browser_path = next(each for each in BROWSERS if Path(each).exists())
    with Server(path) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{server.address}/?token={TOKEN}")
        person = Annotator(page, server.address, truth, paths, log, points=points)
        for name in ("seconds", "clicks", "keys", "acts", "seen", "names"):
            setattr(person, name, last.get(name, 0))
        page.goto(f"{server.address}/clusters")  # the vectors are read once; nobody counts that
        ends = person.seconds + 60 * asked.minutes
        person.by_clusters(ends - 60 * asked.minutes * asked.queue)
        if asked.queue and person.seconds < ends:
            if not list((path / "identifications").glob("*.parquet")):  # else it learnt in an earlier sitting
                person.learn()
            person.by_queue(ends)
        browser.close()
    report(person.points, judged(path, truth, paths))


def persons(point: dict[str, Any]) -> float:
    """Seconds of the browser, and those that a person takes to look, to point and to decide (the keystroke-level model)."""
    from biocosmos.discover.growing import Costs

    costs = Costs()
    looks = costs.look * point.get("seen", 0) + costs.click * point["clicks"] + costs.turn * point["acts"]
    return float(point["seconds"] + looks + costs.known_name * point.get("names", 0))


def report(points: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """Write the results."""
    rows = []
    for way in ("clusters", "queue"):
        mine = [point for point in points if point["way"] == way]
        if len(mine) > 1:
            seconds, named = mine[-1]["seconds"] - mine[0]["seconds"], mine[-1]["named"] - mine[0]["named"]
            rows.append(
                {
                    "way": way,
                    "named": named,
                    "minutes": f"{seconds / 60:.1f}",
                    "an hour": f"{3600 * named / max(seconds, 1):,.0f}",
                }
            )
    first, end = points[0], points[-1]
    an_hour = 3600 * (end["named"] - first["named"]) / max(end["seconds"], 1)
    rows.append(
        {
            "way": "all",
            "named": end["named"] - first["named"],
            "minutes": f"{end['seconds'] / 60:.1f}",
            "an hour": f"{an_hour:,.0f}",
        }
    )
    rows[-1] |= {"with a person's seconds, an hour": f"{3600 * (end['named'] - first['named']) / max(persons(end), 1):,.0f}"}
    rows[-1] |= {"precision": f"{found['precision']:.3f}", "taxa": found["taxa"], "clicks": end["clicks"], "keys": end["keys"]}
    curve = " · ".join(f"{point['seconds'] / 60:.1f} min: {point['named']:,}" for point in points[:: max(len(points) // 12, 1)])
    write_results("annotator", rows, NOTES.format(curve=curve, finest=found["of the label itself"]))
    print(json.dumps(found), rows)


NOTES = (
    "PlanktonSet 1.0, 30,336 specimens of which one of each taxon has its label; a scripted annotator in Chromium who knows what "
    "the pictures shown are, clicks strangers and presses keys. Time is the browser's and the server's; nothing is added for "
    "looking and deciding, but in the column that says so (biocosmos.discover.growing.costs: 0.30 s a picture seen, 1.30 s a "
    "click, 1.63 s a page, 2.65 s a name). Precision is of all names that stand, what nobody looked at between good pages too; "
    "{finest:.3f} have the label itself, the others a taxon above it. Cost curve: {curve}."
)


if __name__ == "__main__":
    main()
