"""Look 20,000 names up in a checklist of a million, beside a scan of all its names with rapidfuzz.

    python benchmarks/bench_names.py

The checklist is synthetic, in the Catalogue of Life's format (NameUsage.tsv): genera of 1/i sizes, authors and years, a fifth
synonyms, one name in 200 a homonym. Of the names that are looked up, 65 % are there as they are, 20 % with another authorship
format, 10 % have a misspelt epithet and 5 % a misspelt genus. The peer is what people write: a dictionary of the names, and
rapidfuzz.process.extractOne over all names for what it lacks; the scan runs on a part of these, interleaved with ours. What a
person gets is compared too: the peer takes the closest name, ours offers it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from rapidfuzz import process

from biocosmos.taxonomy.checklists import Checklist, Matcher, Query
from biocosmos.taxonomy.scientific_names import forget
from machine import peak_memory_gib, write_results

GENERA = 60_000
SEED = 0
ROUNDS = 3
START = """bra car dro eph fal gra hel ixo jun kal lim mor nep oph pter qua rhi sca tri umb ver xen ypo zyg""".split()  # noqa: SIM905
MIDDLE = ["ba", "co", "di", "fe", "ga", "hi", "lo", "mu", "na", "pe", "ri", "so", "ta", "ve"]
END = ["us", "a", "um", "is", "ia", "on", "ella", "ops"]
AUTHORS = """Linnaeus Fabricius Gunnerus Latreille Müller Smith Kirby Walker Boheman Sars Dana Claus Brady""".split()  # noqa: SIM905


def words(rng: np.random.Generator, count: int, syllables: int, *, upper: bool) -> list[str]:
    """Distinct Latin-looking words."""
    found: dict[str, None] = {}
    while len(found) < count:
        middle = "".join(rng.choice(MIDDLE, int(rng.integers(1, syllables + 1))))
        word = str(rng.choice(START)) + middle + str(rng.choice(END))
        found.setdefault(word.capitalize() if upper else word)
    return list(found)


def write_checklist(path: Path, species: int) -> list[tuple[str, str]]:
    """NameUsage.tsv with so many species; the (name, authorship) of each species row."""
    rng = np.random.default_rng(SEED)
    genera, epithets = words(rng, GENERA, 4, upper=True), words(rng, 20_000, 3, upper=False)
    weight = 1 / np.arange(1, GENERA + 1) ** 0.7
    genus = rng.choice(GENERA, species, p=weight / weight.sum())
    epithet, author = rng.integers(0, len(epithets), species), rng.integers(0, len(AUTHORS), species)
    year, synonym = rng.integers(1758, 2020, species), rng.random(species) < 0.2
    accepted = np.flatnonzero(~synonym)
    target = rng.choice(accepted, species)
    listed = []
    with path.open("w", encoding="utf-8") as out:
        out.write("ID\tparentID\tstatus\trank\tscientificName\tauthorship\n")
        out.writelines(f"g{i}\t\taccepted\tgenus\t{name}\t{AUTHORS[i % len(AUTHORS)]}\n" for i, name in enumerate(genera))
        for i in range(species):
            name, said = f"{genera[genus[i]]} {epithets[epithet[i]]}", f"({AUTHORS[author[i]]}, {year[i]})"
            above = f"s{target[i]}\tsynonym" if synonym[i] else f"g{genus[i]}\taccepted"
            out.write(f"s{i}\t{above}\tspecies\t{name}\t{said}\n")
            listed.append((name, said))
    return listed


def asked(listed: list[tuple[str, str]], count: int) -> list[str]:
    """The names to look up."""
    rng = np.random.default_rng(SEED + 1)
    names = []
    for i, kind in zip(rng.choice(len(listed), count), rng.random(count)):
        name, said = listed[i]
        at = int(rng.integers(2, name.index(" "))) if kind > 0.95 else len(name) - int(rng.integers(3, 5))
        if kind < 0.65:
            names.append(f"{name} {said}")
        elif kind < 0.85:
            names.append(f"{name} {said.strip('()').split(',')[0]}")
        else:
            names.append(name[:at] + chr(97 + int(rng.integers(0, 26))) + name[at + 1 :])
    return names


def timed(path: Path, count: int, part: int) -> dict[str, object]:
    """Seconds of processor time, in a process of its own."""
    listed = write_checklist(path / "NameUsage.tsv", int((path / "species").read_text()))
    names = asked(listed, count)
    queries = [Query(name) for name in names]
    start = time.process_time()
    Checklist.open(path / "NameUsage.tsv", cache=path / "cache")
    compiled = time.process_time() - start
    made = peak_memory_gib()
    start = time.process_time()
    checklist = Checklist.open(path / "NameUsage.tsv", cache=path / "cache")
    opened = time.process_time() - start
    known = {name: i for i, (name, _) in enumerate(listed)}
    choices = list(known)
    fresh, warm, peer, found = [], [], [], []
    lost = [name for name in names if " ".join(name.split()[:2]) not in known]
    for round in range(ROUNDS):
        scanned = lost[round * part : (round + 1) * part]
        matcher = Matcher(checklist)
        forget()
        start = time.process_time()
        matches = matcher.match(queries)
        fresh.append(time.process_time() - start)
        start = time.process_time()
        matcher.match(queries)
        warm.append(time.process_time() - start)
        start = time.process_time()
        found += [process.extractOne(" ".join(name.split()[:2]), choices, score_cutoff=80) for name in scanned]
        peer.append((time.process_time() - start) / part * len(lost))
    statuses = [match.status for match in matches]
    return {
        "names": len(checklist), "compile": compiled, "compile GiB": made, "open": opened,
        "fresh": median(fresh), "warm": median(warm), "peer": median(peer),
        "statuses": {status: statuses.count(status) for status in dict.fromkeys(statuses)},
        "lost": len(lost), "taken": sum(best is not None for best in found) / len(found),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--species", type=int, default=1_000_000)
    parser.add_argument("--names", type=int, default=20_000)
    parser.add_argument("--part", type=int, default=20, help="names that the peer scans for, a round")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(timed(Path(options.only), options.names, options.part)))
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "species").write_text(str(options.species))
        command = [sys.executable, __file__, "--only", folder, "--names", str(options.names), "--part", str(options.part)]
        done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    n = options.names
    rows = [
        {"what": f"compile {done['names']:,} names, once", "cpu s": done["compile"], "peak GiB": done["compile GiB"]},
        {"what": "open them compiled (reads the file to know it)", "cpu s": done["open"]},
        {"what": f"look up {n:,} names", "cpu s": done["fresh"], "names a second": n / done["fresh"]},
        {"what": "the same again", "cpu s": done["warm"], "names a second": n / done["warm"]},
        {
            "what": f"rapidfuzz scan for the {done['lost']:,} names that are not there, {options.part} a round, scaled",
            "cpu s": done["peer"],
            "names a second": n / done["peer"],
            "times ours (cpu)": done["peer"] / done["fresh"],
        },
    ]
    said = ", ".join(f"{count:,} {status}" for status, count in done["statuses"].items())
    notes = (
        f"Synthetic checklist in ColDP form, {options.species:,} species and {GENERA:,} genera. Came out: {said}. The scan gives "
        f"{100 * done['taken']:.0f} % of the names that are not there another name, whatever the genus; ours offers candidates. "
        f"Medians of {ROUNDS} rounds, both sides in turn; one thread."
    )
    for row in rows:
        print(row)
    print(write_results("names", rows, notes))


if __name__ == "__main__":
    main()
