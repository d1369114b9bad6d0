"""A few words to write LLVM assembly with: values that name themselves, loops, conditions and variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Function:
    """The assembly of one function, written from its first line to its last.

    name: of the function; pointers and integers: names of its arguments, which are ``ptr noalias`` and ``i64``. Variables live
    in memory of the entry block, from where LLVM takes them into registers.
    """

    def __init__(self, name: str, pointers: str, integers: str) -> None:
        arguments = [f"ptr noalias %{p}" for p in pointers.split()] + [f"i64 %{i}" for i in integers.split()]
        self._head = [f"define void @{name}({', '.join(arguments)}) #0 {{", "entry:"]
        self._lines: list[str] = []
        self._names = 0
        self._block = "start"

    def let(self, text: str) -> str:
        """A new value: the name of what the instruction ``text`` gives."""
        name = f"%v{self._next()}"
        self._lines.append(f" {name} = {text}")
        return name

    def do(self, text: str) -> None:
        """An instruction that gives nothing."""
        self._lines.append(f" {text}")

    def variable(self, kind: str, value: str) -> str:
        """The address of a new variable of type ``kind`` that holds ``value`` from here on."""
        name = f"%m{self._next()}"
        self._head.append(f" {name} = alloca {kind}")
        self.set(kind, name, value)
        return name

    def get(self, kind: str, place: str, align: int = 0) -> str:
        """What stands at an address."""
        return self.let(f"load {kind}, ptr {place}{f', align {align}' if align else ''}")

    def set(self, kind: str, place: str, value: str) -> None:
        """Write at an address."""
        self._lines.append(f" store {kind} {value}, ptr {place}")

    def at(self, kind: str, base: str, index: str) -> str:
        """The address of element ``index`` (i64) of an array of ``kind``."""
        return self.let(f"getelementptr {kind}, ptr {base}, i64 {index}")

    def item(self, kind: str, base: str, index: str) -> str:
        """Element ``index`` of an array of ``kind``."""
        return self.get(kind, self.at(kind, base, index))

    @contextmanager
    def loop(self, first: str, stop: str, step: int = 1) -> Iterator[str]:
        """Once for each i64 from ``first`` until ``stop``, which is the name that it gives."""
        n, before = self._next(), self._block
        self._lines += [
            f" br label %head{n}\nhead{n}:\n %i{n} = phi i64 [{first}, %{before}], [%next{n}, %latch{n}]",
            f" %more{n} = icmp slt i64 %i{n}, {stop}\n br i1 %more{n}, label %body{n}, label %end{n}\nbody{n}:",
        ]
        self._block = f"body{n}"
        yield f"%i{n}"
        self._lines.append(f" br label %latch{n}\nlatch{n}:\n %next{n} = add i64 %i{n}, {step}\n br label %head{n}\nend{n}:")
        self._block = f"end{n}"

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Only where the i1 is true."""
        n = self._next()
        self._lines.append(f" br i1 {condition}, label %then{n}, label %after{n}\nthen{n}:")
        self._block = f"then{n}"
        yield
        self._lines.append(f" br label %after{n}\nafter{n}:")
        self._block = f"after{n}"

    @contextmanager
    def forever(self) -> Iterator[str]:
        """Again and again, until :meth:`leave_unless` or :meth:`leave` with the name that it gives."""
        n = self._next()
        self._lines.append(f" br label %head{n}\nhead{n}:")
        self._block = f"head{n}"
        yield f"{n}"
        self._lines.append(f" br label %head{n}\nend{n}:")
        self._block = f"end{n}"

    def leave_unless(self, loop: str, condition: str) -> None:
        """Go on behind the endless loop where the i1 is false."""
        n = self._next()
        self._lines.append(f" br i1 {condition}, label %stay{n}, label %end{loop}\nstay{n}:")
        self._block = f"stay{n}"

    def text(self) -> str:
        """The whole of it."""
        return "\n".join([*self._head, " br label %start\nstart:", *self._lines, " ret void\n}"])

    def _next(self) -> int:
        self._names += 1
        return self._names
