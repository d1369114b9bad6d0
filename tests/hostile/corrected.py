"""Malformed lists of names, tables of corrections, and what a collection keeps of its changes, damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judge import lines
from mutations import spoilt_bytes, spoilt_json, spoilt_members, spoilt_table, zipped
from ours import damage, plain
from readable import Make
from stock import CHANGES, Case, copied, lay_out

NAME_USAGE = (
    "col:ID\tcol:parentID\tcol:status\tcol:rank\tcol:scientificName\tcol:authorship\n"
    "K\t\taccepted\tkingdom\tAnimalia\t\n"
    "F\tK\taccepted\tfamily\tCalanidae\tDana, 1849\n"
    "G\tF\taccepted\tgenus\tCalanus\tLeach, 1816\n"
    "S\tG\taccepted\tspecies\tCalanus finmarchicus\t(Gunnerus, 1770)\n"
    "T\tG\tprovisionally accepted\tspecies\tCalanus glacialis\tJaschnov, 1955\n"
    "Y\tS\tsynonym\tspecies\tMonoculus finmarchicus\tGunnerus, 1770\n"
)
BACKBONE = (
    "taxonID\tparentNameUsageID\tacceptedNameUsageID\tscientificName\tcanonicalName\ttaxonRank\ttaxonomicStatus\n"
    "1\t\t\tAnimalia\tAnimalia\tkingdom\taccepted\n"
    "2\t1\t\tCalanus Leach, 1816\tCalanus\tgenus\taccepted\n"
    "3\t2\t\tCalanus finmarchicus (Gunnerus, 1770)\tCalanus finmarchicus\tspecies\taccepted\n"
    "4\t2\t3\tMonoculus finmarchicus Gunnerus, 1770\tMonoculus finmarchicus\tspecies\tsynonym\n"
)
NAMES = "name,authorship,rank\nCalanus finmarchicus,Gunnerus,species\nMonoculus finmarchicus,,\nCalanus hyperboreus,,species\n"


def makers(stock: Path) -> dict[str, Make]:
    """Kind -> what makes one case of it in a sandbox, of a seeded generator."""
    rows = plain(stock / "baseline" / "out.csv")

    def checklists(rng: random.Random, sandbox: Path) -> Case:
        (sandbox / "names.csv").write_text(NAMES)
        path, asked = _checklist(rng, sandbox), [["taxa", "check", "names.csv", "--checklist"]]
        if rng.random() < 0.2:
            (sandbox / "names.csv").write_bytes(spoilt_table(NAMES, rng))
        if rng.random() < 0.5:
            table = "image_path,label\n" + "".join(
                f"{photo},Monoculus finmarchicus\n" for photo in sorted((stock / "photos").rglob("*.png"))
            )
            (sandbox / "table.csv").write_text(table)
            asked.append(["ingest", "table.csv", "-o", "made.cosmos", "--taxonomy"])
        return Case("checklists", path.name, lines(*([*words, path] for words in asked)))

    def corrections(rng: random.Random, sandbox: Path) -> Case:
        (mine,) = copied(stock, sandbox, "mine.cosmos")
        if rng.random() < 0.6:
            text = "id,label,depth,genus\n" + "".join(
                f"{row['id']},{row['label']}x,{i},Calanus\n" for i, row in enumerate(rows[:5])
            )
            line, told = ["update", mine, "table.csv", *(["--clear"] if rng.random() < 0.3 else [])], "update"
        else:
            labels = sorted({row["label"] for row in rows})
            text = "old,new\n" + "".join(f"{label},{label} new\n" for label in labels)
            line, told = ["relabel", mine, "--from", "table.csv"], "relabel"
        (sandbox / "table.csv").write_bytes(spoilt_table(text, rng))
        return Case(
            "corrections", told, lines(line, ["history", mine], ["undo", mine], ["export", mine, "-o", "out.csv"]), _undone(rows)
        )

    def histories(rng: random.Random, sandbox: Path) -> Case:
        (mine,) = copied(stock, sandbox, "changed.cosmos")
        name = damage(mine / "history", rng)
        log = mine / "history" / "changes.jsonl"
        if rng.random() < 0.4 and log.is_file():
            entries = log.read_text("utf-8", "replace").splitlines()
            if len(entries) == CHANGES:
                which, pending = rng.randrange(CHANGES), rng.random() < 0.3
                spoilt = spoilt_json(
                    json.loads((stock / "changed.cosmos/history/changes.jsonl").read_text().splitlines()[which]), rng
                )
                if pending:
                    (mine / "history" / "pending.json").write_bytes(spoilt)
                else:
                    log.write_bytes(b"\n".join(spoilt if i == which else text.encode() for i, text in enumerate(entries)) + b"\n")
                name += f", {'pending' if pending else f'entry {which + 1}'}"
        undone = [["undo", mine]] * CHANGES
        asked = [["history", mine], *undone, ["export", mine, "-o", "out.csv"], ["check", mine]]
        return Case("histories", name, lines(*asked), _undone_or_told(stock))

    return {"checklists": checklists, "corrections": corrections, "histories": histories}


def unspoilt(stock: Path, sandbox: Path) -> tuple[Callable[[], list[int]], Callable[[Path], str | None]]:
    """Work that undoes every change of the undamaged collection, and what it must come to."""
    (mine,) = copied(stock, sandbox, "changed.cosmos")
    return lines(*[["undo", mine]] * CHANGES, ["export", mine, "-o", "out.csv"], ["check", mine]), _undone_or_told(stock)


def _checklist(rng: random.Random, sandbox: Path) -> Path:
    """A checklist, spoilt: a table, a packed folder of ColDP, or a Darwin Core Archive of a backbone."""
    form = rng.choice(("table", "table", "table", "coldp", "backbone", "own"))
    if form == "table":
        path = sandbox / "NameUsage.tsv"
        path.write_bytes(spoilt_table(NAME_USAGE, rng, "\t"))
    elif form == "own":
        path = sandbox / "own.csv"
        own = "id,parent_id,rank,name,accepted_id\n1,,kingdom,Animalia,\n2,1,genus,Calanus,\n3,2,species,Calanus finmarchicus,\n"
        path.write_bytes(spoilt_table(own + "4,2,species,Monoculus finmarchicus,3\n", rng))
    else:
        name = "NameUsage.tsv" if form == "coldp" else "Taxon.tsv"
        members = {
            name: (NAME_USAGE if form == "coldp" else BACKBONE).encode(),
            "VernacularName.tsv": b"taxonID\tname\nS\tfeed\n",
            "metadata.yaml": b"title: x\n",
        }
        made = spoilt_members(members, rng, _spoilt_list)
        if rng.random() < 0.5:
            good = {name: data for name, data in made.items() if name and not name.startswith(("/", "..")) and len(name) < 250}
            return lay_out(sandbox / "list", {name: data for name, data in good.items() if "\\" not in name} or {"a": b""})
        path = sandbox / "list.zip"
        data = zipped(made)
        path.write_bytes(spoilt_bytes(data, rng) if rng.random() < 0.4 else data)
    return path


def _spoilt_list(name: str, data: bytes, rng: random.Random) -> bytes:
    return spoilt_table(data.decode(), rng, "\t") if name.endswith(".tsv") and rng.random() < 0.8 else spoilt_bytes(data, rng)


def _undone(before: list[dict[str, str]]) -> Callable[[Path], str | None]:
    """A change that was made and undone leaves every specimen with the values it had."""

    def check(sandbox: Path) -> str | None:
        if not (sandbox / "out.csv").exists():
            return "nothing was exported"
        return None if _alike(plain(sandbox / "out.csv"), before) else "after undo it is not as it was"

    return check


def _undone_or_told(stock: Path) -> Callable[[Path], str | None]:
    """With every change undone it is as it was at first; where one could not be, a line says so, as after some of them."""
    states = [plain(stock / "baseline" / f"state-{number}.csv") for number in range(CHANGES + 1)]

    def check(sandbox: Path) -> str | None:
        if not (sandbox / "out.csv").exists():
            return None
        told = (sandbox / ".judge" / "err").read_text("utf-8", "replace")
        found = plain(sandbox / "out.csv")
        fits = [number for number, state in enumerate(states) if _alike(found, state)]
        if "error: " not in told:
            return None if 0 in fits else "it undid to what never was, and nothing was said"
        return None if fits else "an error was told, and the specimens are as they never were"

    return check


def _alike(found: list[dict[str, str]], wanted: list[dict[str, str]]) -> bool:
    """The same specimens with the same values; a column that is there without a value is as one that is not."""

    def values(rows: list[dict[str, str]]) -> list[list[tuple[str, Any]]]:
        kept = [sorted((name, value) for name, value in row.items() if value and name != "image_path") for row in rows]
        return sorted(kept)

    return values(found) == values(wanted)
