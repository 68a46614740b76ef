"""Answers requests, one batch at a time; those that use the same weights are one product."""

import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from scx_torch.compute.decoder import Decoder
from scx_torch.compute.pads import expand
from scx_torch.link.errors import LinkError, invalid
from scx_torch.link.frame import Array, Kind, Message, message
from scx_torch.link.requests import (
    Attention,
    FeedForward,
    HeadTopK,
    Linear,
    LinearRing,
    LockTail,
    Middle,
    PadProducts,
    Release,
    Request,
    Site,
    Stats,
    TailScores,
    Unlock,
)  # fmt: skip
from scx_torch.worker.batcher import Job
from scx_torch.worker.connection import Result
from scx_torch.worker.products import Products
from scx_torch.worker.sessions import Sessions
from scx_torch.worker.slots import SlotMemory
from scx_torch.worker.transfer import Transfer

ANSWER_BYTES: Final = 1 << 30
Answers = list[Callable[[], Array] | LinkError | None]


@dataclass
class Counts:
    """What `stats` tells, apart from what the server counts."""

    rows: int = 0


class WorkerState:
    """The model, the slots of all sessions, and what was counted."""

    def __init__(self, model: Decoder, slots: int, slot_bytes: int, answer_bytes: int = ANSWER_BYTES) -> None:
        self.model = model
        self.answer_bytes = answer_bytes
        self.memory = SlotMemory(slots, slot_bytes)
        self.transfer = Transfer(model.device)
        self.counts = Counts()
        self._products = Products(self)
        self._sessions = Sessions(self)

    # Checks

    def check_layer(self, layer: int) -> None:
        """Raises an invalid request when the model has no such layer."""
        if not 0 <= layer < self.model.config.block_count:
            raise invalid(f"layer {layer}, the model has {self.model.config.block_count}")

    def check_answer(self, rows: int, channels: int) -> None:
        """Raises an invalid request when an answer of so many numbers would be too large."""
        if rows > self.answer_bytes // 4 // channels:
            raise invalid(f"an answer of {rows} x {channels} numbers, at most {self.answer_bytes} bytes")

    def check_site(self, layer: int, site: Site) -> None:
        """Raises an invalid request when the model has no such site."""
        config = self.model.config
        if site == Site.head:
            if layer != 0:
                raise invalid(f"layer {layer} of the head, which has none")
            if not config.has_head:
                raise invalid("the head, which this model has not")
            return
        owner, block = config.owner(layer)
        if owner is config:
            self.check_layer(layer)
        if not owner.has(site, block):
            raise invalid(f"layer {layer} has no '{site.name}'")

    def check_ring_site(self, layer: int, site: Site) -> None:
        """As `check_site`, and whether integers can be multiplied."""
        if not self.model.is_ring:
            raise invalid("products of integers need a worker with int8 weights ('--weights int8')")
        self.check_site(layer, site)

    # Batches

    def answer(self, jobs: list[Job]) -> list[Result]:
        """Answers a batch: at most one request of each connection, but for `linearRing` requests."""
        answers: Answers = [None] * len(jobs)
        together: dict[Hashable, list[int]] = {}
        for i, job in enumerate(jobs):
            if job.request.tensor is not None and job.request.kind != Kind.unlock:
                self.counts.rows += job.request.tensor.shape[0]
            try:
                if (shared := self._shared(job.request)) is None:
                    answers[i] = self._alone(job)
                else:
                    together.setdefault(shared, []).append(i)
            except LinkError as error:
                answers[i] = error
        for members in together.values():
            found = self._together([jobs[i] for i in members])
            for i, answer in zip(members, found, strict=True):
                answers[i] = answer
        return [_result(job.request, answer) for job, answer in zip(jobs, answers, strict=True)]

    def _shared(self, request: Request) -> Hashable | None:
        """What requests must have in common to be one product; None for one that is computed alone."""
        operation, config = request.operation, self.model.config
        if self.model.shard != (0, 1) and not isinstance(operation, (LinearRing, PadProducts, Stats, Release)):
            raise invalid("this worker holds a part of each site and multiplies integers alone")
        match operation:
            case Middle(first, end, _):
                blocks = range(config.block_count) if first < config.block_count else config.tower_blocks
                if first not in blocks or end > blocks.stop:
                    raise invalid(f"blocks {first}..<{end}, the model has {config.block_count}")
                return "middle", first, end
            case Linear(layer, site, _, exact):
                self._check_linear(operation)
                return "linear", layer, site, exact
            case LinearRing(layer, site, groups):
                self.check_ring_site(layer, site)
                if groups is not None and groups[-1] >= config.groups(site):
                    raise invalid(f"groups of '{site.name}' that layer {layer} does not have")
                return "ring", layer, site, groups
            case FeedForward(layer):
                self.check_layer(layer)
                return "feedForward", layer
            case HeadTopK():
                self.check_site(0, Site.head)
                return "head"
        return None

    def _check_linear(self, operation: Linear) -> None:
        config, site = self.model.config, operation.site
        if operation.slot is not None and site != Site.queryKeyValue:
            raise invalid("a slot for a site that is not queryKeyValue")
        if operation.slot is not None and config.latent is not None:
            raise invalid("a slot for keys and values, which latent attention does not give")
        if operation.slot is not None and operation.layer in config.tower_blocks:
            raise invalid("a slot for keys and values of a picture, which are not kept")
        self.check_site(operation.layer, site)
        if config.groups(site) != 1:
            raise invalid(
                f"'{site.name}' of layer {operation.layer}, which has several matrices and multiplies integers alone"
            )
        if operation.exact and self.model.is_ring and config.owner(operation.layer)[0].planes != 1:
            raise invalid("exact products of a model whose weights are two matrices of integers")

    def _together(self, jobs: list[Job]) -> Answers:
        products = self._products
        match jobs[0].request.operation:
            case Middle(first, end, _):
                is_of_pictures = first >= self.model.config.block_count
                return products.pictures(jobs, first, end) if is_of_pictures else products.middle(jobs, first, end)
            case Linear(layer, site, _, exact):
                return products.linear(jobs, layer, site, exact)
            case LinearRing(layer, site, groups):
                return products.ring(jobs, layer, site, groups)
            case FeedForward(layer):
                return products.feed_forward(jobs, layer)
        return products.head(jobs)

    def _alone(self, job: Job) -> Callable[[], Array] | None:
        match job.request.operation:
            case Attention() as operation:
                return self._sessions.attention(job, operation)
            case Unlock() as operation:
                self._sessions.unlock(job, operation)
            case LockTail() as operation:
                self._sessions.lock_tail(job, operation)
            case TailScores() as operation:
                return self._sessions.tail_scores(job, operation)
            case PadProducts() as operation:
                return self._pad_products(operation)
            case Release(slot):
                self.memory.remove((job.connection, slot))
        return None

    def _pad_products(self, operation: PadProducts) -> Callable[[], Array]:
        self.check_ring_site(operation.layer, operation.site)
        block = 0 if operation.site == Site.head else operation.layer
        site, rows = self.model.sites[block, operation.site], operation.count
        inputs = site.groups * site.inputs
        self.check_answer(rows, max(inputs, site.ring_outputs))
        pads = self.transfer.put([expand(operation.seed, operation.first, rows, inputs)])
        return self.transfer.fetch(site.ring(pads, None))


def _result(request: Request, answer: Callable[[], Array] | LinkError | None) -> Result:
    """A function that makes the message with the answer's number; it waits for the device, on the sender's thread."""
    if isinstance(answer, LinkError):
        return answer
    if answer is None:
        return lambda number: message(request.kind, number)
    fetch = answer
    return lambda number: message(request.kind, number, tensor=fetch())


def statistics(request_number: int, numbers: list[int]) -> Message:
    """The answer to `stats`."""
    return message(Kind.stats, request_number, struct.pack("<6Q", *numbers))
