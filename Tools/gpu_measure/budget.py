"""Time: which steps fit into what is left of it, and by when one that runs has to end."""

import time

# How far what was measured may correct a guess, so that one odd step does not rule out all that follow.
LEAST_CORRECTION, MOST_CORRECTION = 0.3, 4.0


class OutOfTimeError(Exception):
    """The time of a step is over."""


class Budget:
    """Seconds for everything, of which each part of the work may use those up to its own end."""

    def __init__(self, seconds, reserve=5.0, clock=time.monotonic):
        self._clock = clock
        self._start = clock()
        self._seconds = seconds
        self._end = self._start + seconds - reserve
        # For each kind of step how many times its guess the last one took.
        self._corrections = {}

    @property
    def used(self):
        """Seconds since the beginning."""
        return self._clock() - self._start

    @property
    def left(self):
        """Seconds until the end of the current part; at least 0."""
        return max(0.0, self._end - self._clock())

    def until(self, share, reserve=5.0):
        """Lets what follows run until this share of all seconds is used."""
        self._end = self._start + share * self._seconds - reserve

    def expected(self, kind, guess):
        """Seconds that a step will take: its guess, corrected by how the last one of its kind compared with its own."""
        return guess * self._corrections.get(kind, 1.0)

    def took(self, kind, guess, seconds):
        """Says how long a step took that was guessed to take `guess` seconds."""
        if guess > 0:
            self._corrections[kind] = min(MOST_CORRECTION, max(LEAST_CORRECTION, seconds / guess))

    def timeout(self, most=1e9):
        """Seconds that something may be waited for; raises when none are left."""
        if self.left <= 0:
            raise OutOfTimeError
        return min(most, self.left)


class Plan:
    """Runs steps as far as time allows, and says of each what became of it."""

    def __init__(self, budget, results):
        self._budget = budget
        self._results = results
        self._done = set()

    def run(self, name, work, guess, kind=None, needs=()):
        """Runs `work` if what it needs was done and its time is likely to suffice; returns whether it ended well."""
        budget, kind = self._budget, kind or name
        missing = [other for other in needs if other not in self._done]
        expected = budget.expected(kind, guess)
        if missing:
            return self._say(name, "skipped", f"needs {', '.join(missing)}")
        if expected > budget.left:
            return self._say(
                name, "skipped", f"it would take about {expected:.0f} s, and {budget.left:.0f} s are left for it"
            )
        start = budget.used
        try:
            note = work()
        except OutOfTimeError:
            return self._say(name, "cut", "its time was over", budget.used - start)
        except Exception as error:
            # Whatever one step meets, the others still have something to tell.
            first = (str(error).splitlines() or [""])[0]
            return self._say(name, "failed", f"{type(error).__name__}: {first}", budget.used - start)
        seconds = budget.used - start
        budget.took(kind, guess, seconds)
        self._done.add(name)
        self._say(name, "done", note or "", seconds)
        return True

    def _say(self, name, status, note, seconds=None):
        self._results.add("step", name=name, status=status, note=note, seconds=seconds)
        return False
