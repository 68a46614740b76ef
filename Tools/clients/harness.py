"""Cases, the server that they run against, and their report."""

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request


class Skip(Exception):
    """A case that does not apply here; its text says why."""


class Cases:
    """The cases of one client, in the order in which they are written."""

    def __init__(self, client):
        self.client = client
        self.all = []

    def __call__(self, name):
        def register(function):
            self.all.append((name, function))
            return function
        return register


class Report:
    """Prints a line for each case and counts."""

    def __init__(self):
        self.passed, self.skipped, self.failed = 0, 0, []

    def ok(self, name, seconds):
        self.passed += 1
        print(f"ok       {name} ({seconds:.2f} s)", flush=True)

    def skip(self, name, why):
        self.skipped += 1
        print(f"skipped  {name}: {why}", flush=True)

    def fail(self, name, why):
        self.failed.append(name)
        print(f"FAILED   {name}: {why}", flush=True)

    def run(self, cases, server, only):
        for name, function in cases.all:
            name = f"{cases.client}: {name}"
            if only and not re.search(only, name):
                continue
            began = time.monotonic()
            try:
                function(server)
            except Skip as skip:
                self.skip(name, skip)
            except Exception as error:
                self.fail(name, why(error))
            else:
                self.ok(name, time.monotonic() - began)

    def summary(self):
        print(f"\n{self.passed} ok, {len(self.failed)} failed, {self.skipped} skipped")
        for name in self.failed:
            print(f"  failed: {name}")


def why(error):
    """An error on one line, with the line of the case that saw it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/clients/" in f.filename]
    place = f" [{pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line}]" if frames else ""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return " ".join(text.split())[:400] + place


class Server:
    """A running `scx serve`: one that this starts and ends, or one at a URL."""

    def __init__(self, url=None, scx=None, model=None, profile="plain"):
        self.process, self.scx, self.profile = None, scx, profile
        if url is None:
            self.log = tempfile.NamedTemporaryFile("w+", prefix="scx-serve-", suffix=".log")
            command = [scx, "serve", "--port", "0", "--profile", profile]
            if model:
                command += ["--model", model]
            self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
            try:
                url = self._find_url()
            except Exception:
                self.end()
                raise
        self.url = url.rstrip("/").removesuffix("/v1")
        health = self.get("/health")
        self.model = health["model"]
        self.profile = next(iter(health["profiles"]))
        self.model_directory = model

    def _find_url(self):
        for _ in range(600):
            with open(self.log.name) as log:
                text = log.read()
            if found := re.search(r"scx serves \S+ at (https?://[^\s]+)", text):
                return found[1]
            if self.process.poll() is not None:
                raise RuntimeError("scx serve ended:\n" + text)
            time.sleep(0.1)
        raise RuntimeError("scx serve printed no URL within a minute:\n" + text)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return json.load(reply)

    def post(self, path, **body):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def tokens(self, text):
        """The token ids of a text, without those that begin a text."""
        return self.post("/tokenize", prompt=text, add_special_tokens=False)["tokens"]

    @property
    def repeats_draws(self):
        """Whether a seed repeats an answer. The noise of profile scx moves log-probabilities by some thousandths from
        request to request, enough to turn a draw among unlikely tokens."""
        return self.profile != "scx"

    def running(self):
        """Answers that the server computes now, or will."""
        load = self.get("/health")["profiles"][self.profile]
        return load["running"] + load["waiting"]

    def end(self):
        """Ends a server that this started; returns its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def raises(kind, function, **fields):
    """Calls a function that must raise `kind`, and compares fields of the error; returns it."""
    try:
        function()
    except kind as error:
        for name, value in fields.items():
            assert getattr(error, name) == value, f"{name} is {getattr(error, name)!r}, not {value!r}"
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def equal(a, b):
    assert a == b, f"{a!r} is not {b!r}"


def user(text):
    return [{"role": "user", "content": text}]


def main_error(text):
    print(f"check-clients: {text}", file=sys.stderr)
    return 2
