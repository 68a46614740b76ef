"""Requests to `scx serve`, and what it counted meanwhile."""

import concurrent.futures
import http.client
import json
import random
import re
import time

_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>[-+.\deE]+)$", re.MULTILINE)


class Client:
    """Asks one server, for one profile."""

    def __init__(self, port, profile, vocabulary, budget):
        self._port = port
        self._profile = profile
        self._vocabulary = vocabulary
        self._budget = budget
        self._random = random.Random(1)

    def get(self, path):
        """The body of a reply."""
        return self._exchange("GET", path, None)

    def _exchange(self, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._budget.timeout())
        try:
            headers = {"content-type": "application/json", "x-scx-profile": self._profile}
            connection.request(method, path, body and json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        except TimeoutError:
            self._budget.timeout()
            raise
        finally:
            connection.close()
        if reply.status != 200:
            raise RuntimeError(f"{path} was answered with {reply.status}: {text[:200]}")
        return text

    def prompt(self, tokens):
        """Random tokens, others at each call, so that nothing of an earlier prompt is found again."""
        return [self._random.randrange(3, self._vocabulary) for _ in range(tokens)]

    def ask(self, prompt, tokens):
        """One answer of so many tokens."""
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        reply = json.loads(self._exchange("POST", "/v1/completions", body))
        found = reply["usage"]["completion_tokens"]
        if found != tokens:
            raise RuntimeError(f"{found} tokens were answered, {tokens} were asked for")
        return reply

    def measure(self, prompt, tokens, sessions=1):
        """So many answers at once; the server's own times of them, in seconds, and what they cost."""
        prompts = [self.prompt(prompt) for _ in range(sessions)]
        before, start = self.counts(), time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(sessions) as pool:
            list(pool.map(lambda each: self.ask(each, tokens), prompts))
        seconds, after = time.monotonic() - start, self.counts()

        def grown(name):
            if name not in after:
                raise RuntimeError(f"the server counts no {name}")
            return after[name] - before.get(name, 0.0)

        # Only profile `sealed` counts these.
        pads = ("scx_pads_stalled_seconds_total", "scx_products_refused_total", "scx_rows_computed_here_total")
        stalled, refused, here = (grown(name) if self._profile == "sealed" else 0.0 for name in pads)

        result = {
            "seconds": seconds,
            "first_s": grown("scx_time_to_first_token_seconds_sum") / sessions,
            "exchanges": grown("scx_exchanges_total") / sessions,
            "bytes_sent": grown("scx_bytes_sent_total"), "bytes_received": grown("scx_bytes_received_total"),
            "stalled_s": stalled, "refused": refused, "computed_here": here,
        }  # fmt: skip
        if tokens > 1:
            gaps = grown("scx_time_between_tokens_seconds_count")
            result["token_s"] = grown("scx_time_between_tokens_seconds_sum") / gaps
        return result

    def counts(self):
        """The server's counters of this profile, by their names."""
        return parse_counts(self.get("/metrics"), self._profile)


def parse_counts(text, profile):
    """The values of one profile in Prometheus' text; those of several reasons or routes are added."""
    found = {}
    for sample in _SAMPLE.finditer(text):
        labels = sample["labels"] or ""
        if f'profile="{profile}"' in labels and not sample["name"].endswith("_bucket"):
            found[sample["name"]] = found.get(sample["name"], 0.0) + float(sample["value"])
    return found
