"""What was measured: lines of JSON in a file, one for each figure, so that nothing is lost when a run is ended."""

import json


class Results:
    """Keeps results, appends each to a file at once, and says in a line what it is."""

    def __init__(self, path=None, show=print):
        self.entries = []
        self._file = open(path, "w") if path else None  # noqa: SIM115
        self._show = show

    def add(self, kind, **members):
        """Adds a result."""
        self.entries.append({"kind": kind, **members})
        if self._file:
            self._file.write(json.dumps(self.entries[-1]) + "\n")
            self._file.flush()
        self._show(line_of(self.entries[-1]))

    def close(self):
        """Ends the file."""
        if self._file:
            self._file.close()


def read(path):
    """The results of a file; a last line that was cut is left out."""
    entries = []
    with open(path) as file:
        for line in file:
            if not line.endswith("\n"):
                break
            try:
                entries.append(json.loads(line))
            except ValueError:
                raise RuntimeError(f"{path}: line {len(entries) + 1} is no result") from None
    return entries


def line_of(entry):
    """A result for people who watch."""
    members = {name: value for name, value in entry.items() if name not in ("kind", "text") and value is not None}
    shown = ", ".join(f"{name} {_short(value)}" for name, value in members.items() if value != "")
    return f"{entry['kind']}: {shown}"


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
