"""The steps of one model: its checkpoint, workers on the card, pads, and what a client of each profile gets."""

import contextlib
import re
import shutil
import time

import torch

from gpu_measure.client import Client
from gpu_measure.programs import free_port, processor_seconds
from gpu_measure.shapes import write_checkpoint

# A bank loads at least a file of each site, so that some rows more than those that are asked for are taken.
_SPARE_ROWS = 160


class Serving:
    """Measures one model; each method is a step and gives a note or None."""

    def __init__(self, shape, programs, results, budget, amounts):
        self.shape = shape
        self._programs = programs
        self._results = results
        self._budget = budget
        self._amounts = amounts
        self._folder = programs.folder / shape.name
        self._model = self._folder / shape.name
        # The number of the bank, and the tokens that it has pads for.
        self._bank = 0
        self._banked = 0
        self._workers = {}

    # --- Before anything is measured ---------------------------------------------------------------------------------

    def prepare(self):
        """Writes the checkpoint, makes keys, starts the workers, and reads what T needs of the weights meanwhile."""
        start = time.monotonic()
        need = 2 * self.shape.parameters + (1 << 28)
        if (free := shutil.disk_usage(self._programs.folder).free) < need:
            raise RuntimeError(
                f"the checkpoint takes {need / 1e9:.1f} GB, {self._programs.folder} has {free / 1e9:.1f}"
            )
        self._folder.mkdir()
        write_checkpoint(self.shape, self._model, torch.device(self._programs.device))
        if self._programs.device == "cuda":
            # The workers are other processes, and need what this one still holds.
            torch.cuda.empty_cache()
        written = time.monotonic() - start
        for owner in ("trusted", "peer"):
            self._programs.run("scx", "keys", "new", "--out", self._folder / owner)
        self._programs.run("scx", "keys", "trust", self._folder / "peer/cert.pem", "--in", self._folder / "trusted")
        self._programs.run("scx", "keys", "trust", self._folder / "trusted/cert.pem", "--in", self._folder / "peer")
        self._peer_port = free_port()
        kinds = ("int8", "peer", "bf16") if self._fit_together else ("int8", "peer")
        for kind in kinds:
            self._start(kind)
        self._programs.run("scx", "models", "sites", self._model, "--site-data", self._folder / "sites")
        self._need(*kinds)
        return f"the checkpoint took {written:.1f} s of it"

    @property
    def _fit_together(self):
        """Whether the card holds all three workers of a model, of one, one and two bytes for each weight, with room to work."""
        return self._amounts.card_bytes > 5 * self.shape.parameters

    def _need(self, *kinds):
        """Has these workers listen; ends the others where the card does not hold all."""
        if not self._fit_together:
            for kind in set(self._workers) - set(kinds):
                self._programs.end(self._workers.pop(kind)[0])
        for kind in kinds:
            if kind not in self._workers:
                self._start(kind)
        for kind in kinds:
            self._programs.wait_for_worker(self._workers[kind], f"the worker ({kind})")

    def _start(self, kind):
        """Starts a worker: in int8 for `sealed`, a peer for its pads, or in bf16 for the other profiles."""
        label, weights = f"{self.shape.name}-{kind}", "bf16" if kind == "bf16" else "int8"
        if kind == "peer":
            # Over TLS, since a bank takes pads of peers that have shown a key alone.
            keys = self._keys("peer")
            self._workers[kind] = self._programs.worker(
                label, self._model, weights, f"tcp://127.0.0.1:{self._peer_port}", *keys
            )
        else:
            self._workers[kind] = self._programs.worker(label, self._model, weights, self._address(kind))

    def _address(self, kind):
        return f"unix:{self._folder}/{kind}.sock"

    def _keys(self, owner):
        folder = self._folder / owner
        files = {"--tls-cert": "cert.pem", "--tls-key": "key.pem", "--tls-ca": "trusted.pem"}
        return [part for flag, name in files.items() for part in (flag, folder / name)]

    # --- Profiles ----------------------------------------------------------------------------------------------------

    def plain(self):
        """`plain` with bf16 weights."""
        return self._unsealed("plain")

    def scx(self):
        """`scx` with bf16 weights."""
        return self._unsealed("scx")

    def _unsealed(self, profile):
        self._need("bf16")
        flags = ["--weights", "bf16", "--worker", self._address("bf16")]
        with self._served(profile, *flags) as (client, process):
            self._ask_all(client, process, profile, self._amounts.prompts)

    def pads(self):
        """Has the peer multiply pads for the requests of `sealed`, and times it.

        First for the short requests; for the others as far as half of the time that is left suffices at that rate.
        """
        self._need("int8", "peer")
        requests = [(prompt, 1) for prompt in self._repeated(self._short_prompts())]
        requests += [self._amounts.session] * sum(self._amounts.sessions)
        full = self._rows_of(self._amounts.warm, *requests)
        short = [(prompt, tokens) for prompt, tokens in requests if prompt <= self._amounts.twice]
        least = min(full, self._rows_of(self._amounts.warm, *short[: 2 * len(self._amounts.prompts)]))
        self._bank += 1
        rate = least / self._fill(least, least)
        rows = min(full, int(least + rate * self._budget.left / 2), self._most_rows() + least)
        if rows > least:
            self._fill(rows, rows - least)
        self._banked = rows
        return None if rows == full else f"for {rows:,} of {full:,} tokens"

    def _rows_of(self, *requests):
        """Rows that take pads: of prompts, and of their tokens but the last; and those that a bank reads ahead."""
        return sum(prompt + tokens - 1 for prompt, tokens in requests) + _SPARE_ROWS

    def _most_rows(self):
        """How many pads the disk has room for."""
        return int(0.9 * shutil.disk_usage(self._programs.folder).free) // self.shape.pad_bytes

    def _fill(self, rows, new):
        """Fills the bank to so many tokens, of which some are new; gives the seconds that it took."""
        start = time.monotonic()
        self._programs.run("scx", "pads", "fill", "--count", rows, "--model", self._model, *self._pad_flags())
        seconds = time.monotonic() - start
        self._results.add("pads", model=self.shape.name, tokens=new, seconds=seconds, token_bytes=self.shape.pad_bytes)
        return seconds

    def _pad_flags(self, has_bank=True):
        bank = ["--bank", self._folder / f"bank{self._bank}"] if has_bank else []
        return [
            "--pads", f"peer:tcp://127.0.0.1:{self._peer_port}", *bank, "--site-data", self._folder / "sites",
            *self._keys("trusted"),
        ]  # fmt: skip

    def sealed(self):
        """`sealed` with banked pads."""
        with self._served("sealed", "--worker", self._address("int8"), *self._pad_flags()) as (client, process):
            self._ask_all(client, process, "sealed", self._short_prompts())

    def long(self):
        """The longest prompts of `sealed`, with pads banked for them alone, or made meanwhile where no bank has room."""
        self._need("int8", "peer")
        shutil.rmtree(self._folder / f"bank{self._bank}", ignore_errors=True)
        rows = self._rows_of(self._amounts.warm, *((prompt, 1) for prompt in self._amounts.long))
        has_bank = rows <= self._most_rows()
        if has_bank:
            self._bank += 1
            self._fill(rows, rows)
        self._banked = rows
        with self._served("sealed", "--worker", self._address("int8"), *self._pad_flags(has_bank)) as (client, _):
            client.measure(*self._amounts.warm)
            for prompt in self._amounts.long:
                self._first(client, "sealed", prompt)
        return None if has_bank else f"pads for {rows:,} tokens had no room in a bank, and were made meanwhile"

    def _short_prompts(self):
        return [prompt for prompt in self._amounts.prompts if prompt not in self._amounts.long]

    @contextlib.contextmanager
    def _served(self, profile, *flags):
        process, port = self._programs.serve(f"{self.shape.name}-serve-{profile}", self._model, profile, *flags)
        try:
            yield Client(port, profile, self.shape.vocabulary, self._budget), process
        finally:
            self._programs.end(process)

    def _repeated(self, prompts):
        """Short prompts twice, of which the better counts."""
        return [prompt for prompt in prompts for _ in range(2 if prompt <= self._amounts.twice else 1)]

    def _ask_all(self, client, process, profile, prompts):
        client.measure(*self._amounts.warm)
        if profile == "sealed":
            self._banked -= self._rows_of(self._amounts.warm)
        for prompt in self._repeated(prompt for prompt in prompts if prompt not in self._amounts.long):
            self._first(client, profile, prompt)
        for count in self._amounts.sessions:
            prompt, tokens = self._amounts.session
            if not self._has_pads(profile, count * (prompt + tokens - 1), f"{count} sessions"):
                continue
            before = processor_seconds(process)
            found = client.measure(prompt, tokens, count)
            self._results.add(
                "sessions", model=self.shape.name, profile=profile, sessions=count, prompt=prompt, tokens=tokens,
                processor_s=processor_seconds(process) - before, **found,
            )  # fmt: skip
        # Those that take longest come last, so that the others are there if time ends.
        for prompt in prompts:
            if prompt in self._amounts.long:
                self._first(client, profile, prompt)

    def _first(self, client, profile, prompt):
        if self._has_pads(profile, prompt, f"a prompt of {prompt:,}"):
            found = client.measure(prompt, 1)
            self._results.add("first", model=self.shape.name, profile=profile, prompt=prompt, **found)

    def _has_pads(self, profile, rows, what):
        """Takes rows of the bank; says so where it has too few. Raises when time is over."""
        self._budget.timeout()
        if profile != "sealed":
            return True
        if rows > self._banked:
            self._results.add(
                "step", name=f"{self.shape.name} sealed, {what}", status="skipped", seconds=None,
                note=f"{rows:,} pads were needed, {self._banked:,} are banked",
            )  # fmt: skip
            return False
        self._banked -= rows
        return True

    # --- Where the time goes -----------------------------------------------------------------------------------------

    def parts(self):
        """Has the laboratory take a token and a prompt of `sealed` apart, with the worker on the card as its own."""
        folder = self._programs.laboratory()
        if folder is None:
            raise RuntimeError("there is no scx-lab beside scx")
        if not self._fit_together:
            self._need()
        prompt = self._amounts.parts_prompt
        text = self._programs.run(
            "scx-lab", "sealed", "--model", self._model, "--profiles", "sealed", "--prompt", prompt, "--generate", 16,
            "--repeats", 1, *self._programs.threads, folder=folder,
        )  # fmt: skip
        self._results.add("parts", model=self.shape.name, rows=prompt, **read_parts(text), text=text)

    def close(self):
        """Ends what runs and removes the files."""
        self._programs.end_all()
        shutil.rmtree(self._folder, ignore_errors=True)


def read_parts(text):
    """The milliseconds of each part of a prompt and of a token, as `scx-lab sealed` prints them."""
    found = {}
    for what in ("prompt", "token"):
        line = re.search(rf"^ms of a {what}: (.*)$", text, re.MULTILINE)
        if line is None:
            raise ValueError(f"scx-lab sealed printed no parts of a {what}")
        pairs = [each.rsplit(" ", 1) for each in line[1].split(", ")]
        found[what] = {name: float(value) for name, value in pairs}
    return found
