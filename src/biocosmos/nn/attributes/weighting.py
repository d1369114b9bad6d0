"""How much each task counts in the common loss: four published rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.distributed import sum_over_processes

TEMPERATURE = 2.0
LEARNING_RATE = 0.025
"""Published for the uncertainties; the network has its own."""
Weighting = Literal["equal", "fixed", "dwa", "uncertainty"]
WEIGHTINGS = {
    "equal": "all tasks alike",
    "fixed": "given numbers",
    "dwa": "more for tasks whose loss falls slowly",
    "uncertainty": "learnt: less for tasks with a large noise",
}


class TaskWeighting(nn.Module):
    """Turns the T losses of the tasks into one.

    - equal: their sum.
    - fixed: sum of w_t L_t, w = given / sum * T.
    - dwa, dynamic weight average (Liu et al. 2019, arXiv:1803.10704, equation 7): in epoch e, w_t = T softmax_t(g_t / 2),
      2 the temperature, g_t = L_t(e - 1) / L_t(e - 2) of the epochs' mean losses; ``given`` or equal in the first two. The losses
      are those handed to :meth:`remember`; :meth:`end_epoch` moves on. A task that was without a loss has g = 1.
    - uncertainty (Kendall et al. 2018, arXiv:1705.07115): sum of L_t exp(-s_t) + s_t / 2 with learnt s, at first 0.

    The state of an interrupted training is in ``state_dict``.
    """

    given: Tensor
    history: Tensor
    running: Tensor
    log_variances: Tensor

    def __init__(
        self, kind: Weighting, tasks: int, *, given: Sequence[float] | None = None, temperature: float = TEMPERATURE
    ) -> None:
        super().__init__()
        if kind not in WEIGHTINGS:
            raise BiocosmosError(f"there is no task weighting '{kind}': choose {', '.join(WEIGHTINGS)}")
        if (kind == "fixed") > (given is not None) or (given is not None and kind not in ("fixed", "dwa")):
            raise BiocosmosError(f"task weighting '{kind}': weights are for fixed, which needs them, and the first epochs of dwa")
        weights = torch.ones(tasks) if given is None else torch.tensor([float(weight) for weight in given])
        if (
            len(weights) != tasks
            or not weights.isfinite().all()
            or (weights < 0).any()
            or not weights.any()
            or not temperature > 0
        ):
            raise BiocosmosError(
                f"task weights {None if given is None else list(given)} must be {tasks} numbers of 0 or more, not all 0, "
                f"and the temperature {temperature} above 0"
            )
        self.kind: Weighting = kind
        self.temperature = float(temperature)
        self.register_buffer("given", weights / weights.sum() * tasks)
        self.register_buffer("history", torch.full((2, tasks), torch.nan, dtype=torch.float64))
        self.register_buffer("running", torch.zeros(2, tasks, dtype=torch.float64))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        if kind == "uncertainty":
            self.log_variances = nn.Parameter(torch.zeros(tasks))

    def weights(self) -> Tensor:
        """(T,) float32, w of this epoch."""
        if self.kind == "uncertainty":
            return (-self.log_variances).exp()
        if self.kind != "dwa" or int(self.get_buffer("epochs")) < 2:
            return self.given
        ratio = self.history[1] / self.history[0]
        ratio = torch.where(ratio.isfinite(), ratio, 1.0)
        return (len(ratio) * (ratio / self.temperature).softmax(0)).float()

    def forward(self, losses: Tensor) -> Tensor:
        """losses: (T,). Returns their weighted sum, a scalar."""
        total = (self.weights() * losses).sum()
        return total + self.log_variances.sum() / 2 if self.kind == "uncertainty" else total

    def remember(self, losses: Tensor, known: Tensor) -> None:
        """Takes in a batch: (T,) mean losses and (T,) sizes of what they are the means of."""
        if self.kind == "dwa":
            self.running += torch.stack([losses.detach() * known, known]).to(self.running)

    def end_epoch(self) -> None:
        """Call after every epoch of training, on every process."""
        if self.kind != "dwa":
            return
        losses, known = sum_over_processes(self.running)
        means = losses / known
        self.history.copy_(torch.stack([self.history[1], means]))
        self.running.zero_()
        self.get_buffer("epochs").add_(1)

    def parameter_groups(self, learning_rate: float = LEARNING_RATE) -> list[dict[str, object]]:
        """For the optimizer beside the network's groups: what is learnt here, with a learning rate of its own; else nothing."""
        return [{"params": [self.log_variances], "lr": learning_rate}] if self.kind == "uncertainty" else []
