"""The programs that are measured: workers on the card, and the trusted side."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from gpu_measure import files

# What `scx-lab` starts as its own worker: the worker on the card, which ends when its standard input does.
WORKER_SCRIPT = """\
#!{python}
import os, sys, threading
sys.argv = [each for each in sys.argv if each != "--end-with-input"] + ["--device", {device!r}]
def watch():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
from scx_torch.worker.cli import main
main()
"""


class Programs:
    """Starts programs with one environment, and ends all of them."""

    def __init__(self, folder, binaries, budget, device, threads=None):
        self.folder = pathlib.Path(folder)
        self.binaries = binaries
        self.device = device
        self._budget = budget
        self.threads = ["--threads", str(threads)] if threads else []
        self._running = []
        self.environment = dict(
            files.environment(binaries), XDG_STATE_HOME=str(self.folder / "state"), PYTHONDONTWRITEBYTECODE="1"
        )
        if threads:
            self.environment["OMP_NUM_THREADS"] = str(threads)

    def run(self, name, *arguments, folder=None):
        """Runs one of the Swift programs to its end; gives what it printed."""
        command = [str(pathlib.Path(folder or self.binaries, name)), *map(str, arguments)]
        process = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=self._budget.timeout())
        except subprocess.TimeoutExpired:
            self._budget.timeout()
            raise
        finally:
            _end(process)
        if process.returncode != 0:
            raise RuntimeError(f"{name} {arguments[0]}: {last_line(errors.strip() or output)}")
        return output

    def start(self, label, command):
        """Starts a program in the background, with its errors in a file; gives its process and that file."""
        log = self.folder / f"{label}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                list(map(str, command)), env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
        self._running.append(process)
        return process, log

    def worker(self, label, model, weights, listen, *flags):
        """Starts a worker on the card; it has to be waited for."""
        command = [
            sys.executable, "-m", "scx_torch.worker.cli", "--model", model, "--weights", weights, "--listen", listen,
            "--device", self.device, *(self.threads if self.device == "cpu" else []), *flags,
        ]  # fmt: skip
        return self.start(label, command)

    def wait(self, process, log, ready, what):
        """Waits until `ready()` holds; raises when the program ends before, or time is over."""
        while not ready():
            if process.poll() is not None:
                raise RuntimeError(f"{what} ended: {last_line(log.read_text(errors='replace'))}")
            time.sleep(min(0.05, self._budget.timeout()))

    def wait_for_worker(self, started, what):
        """Waits until a worker listens."""
        process, log = started
        self.wait(process, log, lambda: "serving " in log.read_text(errors="replace"), what)

    def serve(self, label, model, profile, *flags):
        """Starts `scx serve` and waits until it answers; gives the process and its port."""
        port = free_port()
        command = [
            f"{self.binaries}/scx", "serve", "--model", model, "--profile", profile, "--port", port, "--no-page",
            "--log-level", "warning", *self.threads, *flags,
        ]  # fmt: skip
        process, log = self.start(label, command)

        def answers():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    return True
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        self.wait(process, log, answers, f"scx serve --profile {profile}")
        return process, port

    def laboratory(self):
        """A folder with `scx-lab` and, as its own worker, the one on the card; None where there is no `scx-lab`."""
        program, folder = pathlib.Path(self.binaries, "scx-lab"), self.folder / "lab"
        if not program.is_file():
            return None
        if not folder.is_dir():
            folder.mkdir()
            # A copy: the program looks for its worker beside the file that it really is.
            shutil.copy(program, folder)
            script = folder / "scx-worker"
            script.write_text(WORKER_SCRIPT.format(python=sys.executable, device=self.device))
            script.chmod(0o755)
        return folder

    def end(self, process):
        """Ends a program that was started."""
        _end(process)
        if process in self._running:
            self._running.remove(process)

    def end_all(self):
        """Ends everything that runs."""
        for process in list(self._running):
            self.end(process)


def _end(process):
    """Ends a program with all that it started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def last_line(text):
    """The last line that a program wrote."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processor_seconds(process):
    """Seconds of processor time that a process has used, all threads together."""
    folder = pathlib.Path(f"/proc/{process.pid}")
    try:
        # Nanoseconds, of the threads that there are.
        return sum(int(path.read_text().split()[0]) for path in folder.glob("task/*/schedstat")) / 1e9
    except (OSError, IndexError):
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
