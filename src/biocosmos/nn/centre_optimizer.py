"""AdamW for centres of which only some take part in a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from biocosmos.errors import BiocosmosError

SERIAL_VALUES = (1 << 15) - 1  # torch gives an operation on more numbers to several threads (its GRAIN_SIZE)


class CentreAdamW(Optimizer):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) that touches only the rows a sparse gradient names.

    A row that was not sampled keeps its value, its moments and its own count of steps, so its bias correction is right when its
    turn comes (a global count would make a row's first step three times too long). Weight decay, too, acts on a row when it
    is sampled. With dense gradients, or sparse ones that name every row, it equals torch.optim.AdamW. Gradients of several
    backward passes add up as usual; rows sampled in any of them are updated once.

    params: float tensors of (rows, dim), or groups of them. lr, betas, eps, weight_decay: as in torch.optim.AdamW, read at every
    step, so that torch's schedulers drive them. ``state_dict`` holds moments and counts: resuming is exact. Memory: two tensors
    of the centres' size, whose pages the system hands out as rows are first used.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value, fits in [
            ("lr", lr, lr >= 0),
            ("betas", betas, all(0 <= beta < 1 for beta in betas)),
            ("eps", eps, eps > 0),
            ("weight_decay", weight_decay, weight_decay >= 0),
        ]:
            if not fits:
                raise BiocosmosError(f"CentreAdamW: {name} = {value} is out of range")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every row that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.contiguous_format)
            state["exp_avg_sq"] = torch.zeros_like(weight, memory_format=torch.contiguous_format)
            # float32, as load_state_dict makes of every state; whole numbers are exact in it up to 16 million steps
            state["steps"] = torch.zeros(len(weight), dtype=torch.float32, device=weight.device)
        rows, gradient = _rows_and_values(weight.grad)  # type: ignore[arg-type]
        if rows is None:
            rows = torch.arange(len(weight), device=weight.device)
        if len(rows) == 0:
            return
        state["steps"].index_add_(0, rows, torch.ones_like(rows, dtype=torch.float32))
        exact = torch.float32 if weight.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        count = state["steps"][rows].to(exact)[:, None]
        beta1, beta2 = group["betas"]
        step_size = (group["lr"] / (1 - beta1**count)).to(weight.dtype)
        inverse_root = (1 - beta2**count).rsqrt().to(weight.dtype)
        tensors = (weight.detach(), state["exp_avg"], state["exp_avg_sq"])

        def update(part: slice) -> None:
            where = rows[part]
            w, m, v = (x.index_select(0, where) for x in tensors)
            g = gradient[part]
            w.mul_(1 - group["lr"] * group["weight_decay"])
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            root = v.sqrt().mul_(inverse_root[part]).add_(group["eps"])
            w.addcdiv_(m * step_size[part], root, value=-1)
            for whole, new in zip(tensors, (w, m, v)):
                whole.index_copy_(0, where, new)

        if weight.device.type != "cpu":
            update(slice(None))
        else:
            _in_threads(update, len(rows), max(1, SERIAL_VALUES // weight.shape[1]))


def _in_threads(update: Callable[[slice], None], rows: int, size: int) -> None:
    """Call ``update`` on slices of ``size`` rows, from as many threads as torch would use.

    Slices below torch's threshold for threads of its own stay in one core's cache through all operations, and the threads
    meet once, not after every operation, which costs seconds where other processes want the cores too.
    """
    threads = min(torch.get_num_threads(), -(-rows // size))

    def span(i: int) -> None:
        begin, end = rows * i // threads, rows * (i + 1) // threads
        with torch.no_grad():  # which is a thread's own
            for start in range(begin, end, size):
                update(slice(start, min(start + size, end)))

    if threads == 1:
        return span(0)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(span, range(threads)))


def _rows_and_values(gradient: Tensor) -> tuple[Tensor | None, Tensor]:
    """Sorted unique rows (None: all) and their gradients (rows, dim); several backward passes are added up."""
    if gradient.layout == torch.strided:
        return None, gradient
    rows, values = gradient._indices()[0], gradient._values()
    if bool((rows[1:] > rows[:-1]).all()):  # one backward pass: sorted already, although autograd drops the mark of it
        return rows, values
    unique, place = torch.unique(rows, return_inverse=True)
    return unique, values.new_zeros(len(unique), values.shape[1]).index_add_(0, place, values)
