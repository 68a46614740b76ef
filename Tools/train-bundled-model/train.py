#!/usr/bin/env python3
"""Trains the bundled model on the rows of prepare.py; on two cores it takes about an hour.

    python3 train.py --data build --out build/run --minutes 60
    python3 train.py --data build --out build/run --minutes 60 --resume     after an interruption

Each process has one thread and its own rows; gradients are added up once a step. On a machine that others use too this
is much faster than threads, which wait for each other at every product. Matrices of the blocks are updated by Muon (momentum whose update is orthogonalised by a Newton-Schulz iteration,
Jordan 2024), which needs fewer tokens than AdamW at this size; embedding and gains by AdamW. The rate follows a
cosine over the time or the steps given. Rows grow from 256 to 512 to 1,024 tokens.
"""

import argparse
import json
import math
import pathlib
import shutil
import tempfile
import time

import numpy
import torch
import torch.distributed
import torch.multiprocessing
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

# Row length up to a share of the training; the last one is the context that the model is trained for.
PHASES = [(0.45, 256), (0.88, 512), (1.0, 1024)]
# Share of rows that are copying drills (see Rows.drill), up to a share of the training.
DRILLS = [(0.35, 0.4), (0.7, 0.15), (1.0, 0.02)]
END = 1


def configuration():
    return LlamaConfig(
        vocab_size=4096, hidden_size=192, intermediate_size=512, num_hidden_layers=5, num_attention_heads=6,
        num_key_value_heads=3, head_dim=32, max_position_embeddings=PHASES[-1][1], rms_norm_eps=1e-5,
        tie_word_embeddings=True, attention_bias=False, mlp_bias=False, bos_token_id=0, eos_token_id=END,
        pad_token_id=None, initializer_range=0.02,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0})


class Rows:
    """Rows of whole documents in random order: a row is cut at its end, so each document keeps its beginning."""

    def __init__(self, folder, name, seed):
        self.tokens = numpy.load(folder / f"{name}.npy")
        lengths = numpy.load(folder / f"{name}-lengths.npy")
        self.starts = numpy.concatenate([[0], numpy.cumsum(lengths)])
        self.random = numpy.random.default_rng(seed)
        self.order, self.place, self.epochs = numpy.arange(len(lengths)), len(lengths), 0

    def row(self, length):
        parts, have = [], 0
        while have <= length:
            if self.place == len(self.order):
                self.random.shuffle(self.order)
                self.place, self.epochs = 0, self.epochs + 1
            i = self.order[self.place]
            parts.append(self.tokens[self.starts[i]:self.starts[i + 1]])
            have += len(parts[-1])
            self.place += 1
        return numpy.concatenate(parts)[: length + 1]

    def drill(self, length):
        """A few tokens in random order, repeated to the end of the row: nothing but copying predicts them."""
        count = self.random.integers(12, 64)
        if self.random.random() < 0.5:
            tokens = self.random.permutation(self.row(count))
        else:
            tokens = self.random.integers(5, 4096, count)
        return numpy.tile(tokens, length // count + 2)[: length + 1]

    def batch(self, tokens, length, drills=0.0):
        """Inputs and targets; the first rows are drills, their share on average as given."""
        count = tokens // length
        drilled = self.random.binomial(count, drills)
        rows = [self.drill(length) if i < drilled else self.row(length) for i in range(count)]
        rows = numpy.stack(rows).astype(numpy.int64)
        rows = torch.from_numpy(rows)
        return rows[:, :-1], rows[:, 1:], drilled


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with an orthogonal update, scaled so that its entries have the size of Adam's."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.1):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            mine, updates = torch.distributed.get_rank(), []
            for i, p in enumerate(group["params"]):
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                # Each process does its share of the iterations; the others' places stay zero for the sum.
                if i % torch.distributed.get_world_size() == mine:
                    updates.append(orthogonal(p.grad.lerp(state["momentum"], group["momentum"])))
                else:
                    updates.append(torch.zeros_like(p))
            for p, update in zip(group["params"], summed(updates)):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(p.shape)))


def summed(tensors):
    """The sums over all processes, sent as one vector."""
    flat = torch.cat([t.flatten() for t in tensors])
    torch.distributed.all_reduce(flat)
    return [part.view_as(t) for part, t in zip(flat.split([t.numel() for t in tensors]), tensors)]


def orthogonal(g):
    """The nearest semi-orthogonal matrix, roughly: five steps of a quintic Newton-Schulz iteration."""
    x = g / (g.norm() + 1e-7)
    if wide := g.shape[0] > g.shape[1]:
        x = x.T
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if wide else x


@torch.no_grad()
def validate(model, rows, length=256, count=24):
    """Mean loss per token over the first rows of a file, always the same ones."""
    rows.place, rows.order = 0, numpy.arange(len(rows.order))
    inputs, targets, _ = rows.batch(count * length, length)
    model.eval()
    total = sum(float(cross_entropy(model(i).logits.flatten(0, 1), t.flatten()))
                for i, t in zip(inputs.split(8), targets.split(8)))
    model.train()
    return total / math.ceil(count / 8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, help="train for this long")
    parser.add_argument("--steps", type=int, help="train for this many steps (repeatable)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    parser.add_argument("--batch", type=int, default=2048, help="tokens of a step")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--rate", type=float, default=3e-3)
    arguments = parser.parse_args()
    if (arguments.minutes is None) == (arguments.steps is None):
        parser.error("give --minutes or --steps")

    with tempfile.TemporaryDirectory() as meeting:
        torch.multiprocessing.spawn(train, (arguments, f"file://{meeting}/point"), nprocs=arguments.processes)


def train(rank, arguments, meeting):
    """One process of the training; all hold the same weights, the first one reports and saves."""
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=arguments.processes)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    model = LlamaForCausalLM._from_config(configuration(), attn_implementation="sdpa").train()
    size = sum(p.numel() for p in model.parameters())
    parameters = list(model.parameters())
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or ".layers." not in name]
    optimizers = [Muon(matrices, arguments.rate),
                  torch.optim.AdamW(rest, arguments.rate, betas=(0.9, 0.97), weight_decay=0.0, fused=True)]

    rows = Rows(arguments.data, "train", arguments.seed + rank)
    held_out = {name: Rows(arguments.data, name, 0) for name in ("validation", "drama")}
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = (arguments.out / "log.jsonl").open("a" if rank or arguments.resume else "w")
    begin, step, seen, mean, minutes = time.monotonic(), 0, 0, None, 0.0
    drill_loss = math.log(4096)
    checkpoint = arguments.out / "checkpoint"
    if arguments.resume:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).state_dict())
        state = torch.load(checkpoint / "training.pt")
        step, seen, minutes = state["step"], state["seen"], state["minutes"]
        begin -= 60 * minutes
        rows.random = numpy.random.default_rng([arguments.seed + rank, step])
        for optimizer, values in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(values)
    saved = time.monotonic()

    def report(kind, **values):
        line = json.dumps({"kind": kind, "step": step, "tokens": seen, "minutes": round(minutes, 2), **values})
        print(line, flush=True)
        log.write(line + "\n")
        log.flush()

    def save():
        new = arguments.out / "new"
        model.save_pretrained(new)
        torch.save({"step": step, "seen": seen, "minutes": minutes,
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers]}, new / "training.pt")
        # A reader finds the old checkpoint or the new one, never half of one.
        shutil.rmtree(checkpoint, ignore_errors=True)
        new.rename(checkpoint)

    while True:
        progress = minutes / arguments.minutes if arguments.minutes else step / arguments.steps
        if progress >= 1:
            break
        rate = arguments.rate * min(1.0, (step + 1) / 60) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        length = next(length for share, length in PHASES if progress < share)
        drills = next(share for until, share in DRILLS if progress < until)
        inputs, targets, drilled = rows.batch(arguments.batch // arguments.processes, length, drills)
        logits = model(inputs, use_cache=False).logits
        losses = cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(1)
        losses.mean().backward()
        loss = losses[drilled:].detach().mean().nan_to_num(mean or 0.0)
        if drilled:
            drill_loss = 0.9 * drill_loss + 0.1 * float(losses[:drilled].detach().mean())
        # The clock of the first process travels along, so that all agree on rate, row length and end.
        clock = torch.tensor([0.0 if rank else (time.monotonic() - begin) / 60])
        *gradients, loss, clock = summed([p.grad for p in parameters] + [loss, clock])
        for p, gradient in zip(parameters, gradients):
            p.grad = gradient / arguments.processes
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        model.zero_grad(set_to_none=True)
        step, seen, minutes = step + 1, seen + arguments.batch, float(clock)
        loss = float(loss) / arguments.processes
        mean = loss if mean is None else 0.97 * mean + 0.03 * loss
        if rank:
            continue
        if step % 20 == 0:
            report("train", loss=round(mean, 4), rate=round(rate, 6), row=length, drills=round(drill_loss, 3),
                   epoch=rows.epochs)
        if time.monotonic() - saved > 300:
            save()
            report("validation", **{name: round(validate(model, rows), 4) for name, rows in held_out.items()})
            saved = time.monotonic()
    if rank == 0:
        save()
        report("final", train=round(mean, 4), parameters=size, seed=arguments.seed, batch=arguments.batch,
               rate=arguments.rate, **{name: round(validate(model, rows), 4) for name, rows in held_out.items()})


if __name__ == "__main__":
    main()
