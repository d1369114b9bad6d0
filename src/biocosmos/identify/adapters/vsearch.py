"""Runs ``vsearch --sintax`` where it is installed: a reference of known specimens, queries block by block.

T. Rognes and others: VSEARCH: a versatile open source tool for metagenomics, PeerJ 2016, doi:10.7717/peerj.2584. One thread and a
seed, so that the same call says the same. It compares the strand as given.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.adapters.formats import SINTAX, Support, ToolFile
from biocosmos.identify.adapters.letters import Headers

PROGRAM = "vsearch"


def find_vsearch() -> str:
    """The program. Raises BiocosmosError where it is not installed, with what to do."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise BiocosmosError(
            "--method sintax runs vsearch, which is not on this machine's PATH: install it (apt install vsearch, or conda "
            "install -c bioconda vsearch), or run it elsewhere and read what it wrote with --from"
        )
    return found


@lru_cache(maxsize=1)
def vsearch_version(program: str) -> str:
    """As it says itself: "v2.22.1"."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = (said.stdout + said.stderr).split()
    return next((word.rstrip(",").split("_")[0] for word in words if word[:1] == "v" and word[1:2].isdigit()), "unknown")


class Sintax:
    """A reference that vsearch classifies by, in a folder of its own; use as a context.

    headers: of the tree; known: (id, node, barcode) of the specimens that name; seed: of the bootstrap, 1 or more.
    """

    def __init__(self, headers: Headers, known: Iterable[tuple[str, int, str]], seed: int = 1) -> None:
        self.program, self._headers, self._known, self._seed = find_vsearch(), headers, known, seed
        self.references = 0

    def __enter__(self) -> Sintax:
        self._folder = TemporaryDirectory(prefix="biocosmos-sintax-")
        self.reference = Path(self._folder.name) / "reference.fasta"
        with self.reference.open("w", encoding="ascii") as out:
            for _, node, barcode in self._known:
                tax = self._headers.tax(node)
                if tax:
                    out.write(f">{self.references};tax={tax}\n{barcode}\n")
                    self.references += 1
        if not self.references:
            self._folder.cleanup()
            raise BiocosmosError("no specimen with a barcode and a name at a rank that SINTAX knows: there is nothing to name by")
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def classify(self, barcodes: Sequence[str]) -> list[Support]:
        """What SINTAX says of each barcode, in their order. Raises BiocosmosError where vsearch fails, with its own words."""
        queries, said = self.reference.with_name("queries.fasta"), self.reference.with_name("said.tsv")
        with queries.open("w", encoding="ascii") as out:
            out.writelines(f">{i}\n{barcode}\n" for i, barcode in enumerate(barcodes))
        command = [self.program, "--sintax", str(queries), "--db", str(self.reference), "--tabbedout", str(said)]
        command += ["--randseed", str(self._seed), "--threads", "1", "--quiet"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            words = [line for line in ended.stderr.splitlines() if line.strip()] or [f"exit code {ended.returncode}"]
            raise BiocosmosError(f"vsearch --sintax failed: {words[-1]}")
        found, failures = [Support(str(i), ()) for i in range(len(barcodes))], Failures()
        for _, line in ToolFile(said, SINTAX).parsed(failures):
            if isinstance(line, Support):
                found[int(line.query)] = line
        if len(failures):
            raise BiocosmosError(f"vsearch --sintax wrote what cannot be read: {failures.reasons()[0][0]}")
        return found
