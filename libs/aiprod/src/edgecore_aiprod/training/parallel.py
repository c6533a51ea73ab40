"""Several processes on one lesson: every one draws batches of its own, and their gradients are averaged.

`python -m torch.distributed.run --nproc-per-node 2 -m edgecore_aiprod.train …` starts them; they share one
folder of runs. Without torchrun a process is a team of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(hours=1)  # for the leader, which encodes a bank of clips while the others wait

#: Arguments as of `Lesson.loss` → the loss, and figures for the log.
BatchLoss = Callable[..., tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class Team:
    """This process's place among those that train together. Only rank 0, the leader, writes."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The others wait until the leader is through, and find the files it made."""
        if not self.leads:
            distributed.barrier()
        yield
        if self.leads and self.size > 1:
            distributed.barrier()

    def mean(self, figures: dict[str, float]) -> dict[str, float]:
        """Of every figure over the team; all have the same names."""
        if self.size == 1:
            return figures
        total = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return dict(zip(figures, (total / self.size).tolist(), strict=True))


ALONE = Team()


@contextmanager
def join(device: str = "cpu") -> Iterator[Team]:
    """The team that torchrun started, over gloo on CPUs and nccl on CUDA, one device a process; or a team of
    one. What is made meanwhile is made on the team's device.
    """
    if not distributed.is_torchelastic_launched():
        team = Team(device=torch.device(device))
    else:
        local = int(os.environ["LOCAL_RANK"])
        where = torch.device(device, local) if device == "cuda" else torch.device(device)
        if device == "cuda":
            torch.cuda.set_device(where)
        distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
        team = Team(distributed.get_rank(), distributed.get_world_size(), where)
    try:
        with team.device if device == "cuda" else nullcontext():
            yield team
    finally:
        if team.size > 1:
            distributed.destroy_process_group()


class SharedLoss:
    """A lesson's loss; descending it averages the gradients over the team at the last batch of a step."""

    def __init__(self, model: nn.Module, loss: BatchLoss, team: Team) -> None:
        self._loss = loss
        self._parallel: DistributedDataParallel | None = None
        if team.size > 1:
            self._parallel = DistributedDataParallel(_Forward(model, loss))

    def __call__(self, *batch: object) -> tuple[Tensor, dict[str, float]]:
        outcome: tuple[Tensor, dict[str, float]] = (self._parallel or self._loss)(*batch)
        return outcome

    def gathering(self, last: bool) -> AbstractContextManager[None]:
        """Where a batch's loss is computed and descended."""
        if self._parallel is None or last:
            return nullcontext()
        return self._parallel.no_sync()


class _Forward(nn.Module):
    """The loss as a module's forward, which is what DistributedDataParallel takes."""

    def __init__(self, model: nn.Module, loss: BatchLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *batch: object) -> tuple[Tensor, dict[str, float]]:
        return self.loss(*batch)
