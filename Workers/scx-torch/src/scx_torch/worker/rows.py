"""Requests that are computed as one product, with their rows one below the other."""

from collections.abc import Callable
from dataclasses import dataclass

from scx_torch.link.errors import LinkError, invalid
from scx_torch.link.frame import Array
from scx_torch.worker.batcher import Job


@dataclass
class Member:
    """A request that is part of the product: its place among all of the batch, and its rows."""

    index: int
    job: Job
    first: int
    end: int


@dataclass
class RowBatch:
    """The members, the rows of all of them, and an error for each request that was refused."""

    members: list[Member]
    arrays: list[Array]
    errors: dict[int, LinkError]

    @staticmethod
    def of(jobs: list[Job], channels: int, admit: Callable[[Job, int], None]) -> "RowBatch":
        """Takes the rows of the requests, except of those that `admit` refuses."""
        batch = RowBatch([], [], {})
        for index, job in enumerate(jobs):
            tensor = job.request.tensor
            try:
                if tensor is None or tensor.shape[1] != channels or tensor.shape[0] == 0:
                    raise invalid(f"'{job.request.kind.name}' needs rows of {channels} channels")
                admit(job, tensor.shape[0])
            except LinkError as error:
                batch.errors[index] = error
                continue
            first = batch.rows
            batch.members.append(Member(index, job, first, first + tensor.shape[0]))
            batch.arrays.append(tensor)
        return batch

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.members[-1].end if self.members else 0

    def answers(self, result: Callable[[], Array] | LinkError | None) -> list[Callable[[], Array] | LinkError | None]:
        """Gives each request its rows of the result, or its error."""
        count = len(self.members) + len(self.errors)
        answers: list[Callable[[], Array] | LinkError | None] = [None] * count
        for index, error in self.errors.items():
            answers[index] = error
        for member in self.members:
            answers[member.index] = _rows(result, member) if callable(result) else result
        return answers


def _rows(result: Callable[[], Array], member: Member) -> Callable[[], Array]:
    return lambda: result()[member.first : member.end]
