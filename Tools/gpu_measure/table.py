"""The results as tables in Markdown; what was not measured has no figure."""

NONE = "–"  # noqa: RUF001
PROFILES = ("plain", "scx", "sealed")


def tables(entries):
    """All tables, from the results alone."""
    parts = [_machine(entries), _kernels(entries), _served(entries), _pads(entries), _parts(entries), _steps(entries)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _of(entries, kind):
    return [entry for entry in entries if entry["kind"] == kind]


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def figure(value, digits=3):
    """A number with some digits, and without an exponent."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    return f"{float(text):,.0f}" if abs(value) >= 1 else f"{float(text):.9f}".rstrip("0")


def _models(entries):
    names = []
    for entry in entries:
        if entry["kind"] != "step" and entry.get("model") and entry["model"] not in names:
            names.append(entry["model"])
    return names


def _machine(entries):
    found = _of(entries, "machine")
    if not found:
        return ""
    machine, rows = found[-1], []
    if machine.get("small"):
        rows.append(["shapes", "**small ones, to test the program: these are no figures of the models**"])
    rows += [[name, machine[name]] for name in ("card", "memory", "driver", "torch", "CUDA", "processors", "scx")
             if machine.get(name)]  # fmt: skip
    for peak in _of(entries, "peak")[-1:]:
        rows += [
            ["bf16 products of large matrices", f"{figure(2 * peak['bf16_products'] / 1e12)} TFLOP/s"],
            ["int8 products of large matrices", f"{figure(2 * peak['int8_products'] / 1e12)} TOP/s"],
            ["copying, bytes read and written", f"{figure(peak['bytes'] / 1e9)} GB/s"],
        ]
    return _table(["", ""], rows)


def token_kernels(entries, model, rows, key):
    """Seconds of the products of all sites of a model for some rows; None if a site is missing."""
    sites = {
        entry["site"]: entry for entry in _of(entries, "kernel") if (entry["model"], entry["rows"]) == (model, rows)
    }
    total = next((entry["sites"] for entry in sites.values()), None)
    if total is None or len(sites) < total:
        return None
    return sum(entry[key] * entry["count"] for entry in sites.values())


def _kernels(entries):
    rows = []
    for model in _models(entries):
        counts = sorted({entry["rows"] for entry in _of(entries, "kernel") if entry["model"] == model})
        for count in counts:
            keys = ("ring_s", "bf16_s", "ring_floor_s", "bf16_floor_s", "ring_queued_s")
            ring, bf16, ring_floor, bf16_floor, queued = (token_kernels(entries, model, count, key) for key in keys)
            if ring is None:
                continue
            ways = sorted(
                {entry["way"] for entry in _of(entries, "kernel") if (entry["model"], entry["rows"]) == (model, count)}
            )
            rows.append([
                model, f"{count:,}", ", ".join(ways), figure(ring * 1e3), figure(bf16 * 1e3), figure(ring / bf16),
                f"{ring_floor / ring:.0%}", f"{bf16_floor / bf16:.0%}", figure(queued * 1e3),
            ])  # fmt: skip
    if not rows:
        return ""
    head = ["model", "rows", "way", "ring ms", "bf16 ms", "ring / bf16", "ring: share of the peak",
            "bf16: share of the peak", "ring with launches ms"]  # fmt: skip
    caption = "Products of all sites of a model, the head up to 64 rows; a sample of each is compared with exact sums:"
    return f"{caption}\n\n{_table(head, rows)}"


def _best(entries, kind, key, **wanted):
    found = [
        entry[key] for entry in _of(entries, kind)
        if entry.get(key) is not None and all(entry.get(name) == value for name, value in wanted.items())
    ]  # fmt: skip
    return min(found) if found else None


def _served(entries):
    first = _of(entries, "first")
    if not first and not _of(entries, "sessions"):
        return ""
    prompts = sorted({entry["prompt"] for entry in first})
    sessions = sorted({entry["sessions"] for entry in _of(entries, "sessions")})
    head = ["model", "profile", *(f"first token after {prompt:,}, s" for prompt in prompts), "a token, ms"]
    head += [f"tokens/s, {count} session{'s' if count > 1 else ''}" for count in sessions]
    rows = []
    for model in _models(entries):
        for profile in PROFILES:
            known = {"model": model, "profile": profile}
            times = [_best(entries, "first", "first_s", prompt=prompt, **known) for prompt in prompts]
            gaps = [_best(entries, "sessions", "token_s", sessions=count, **known) for count in sessions]
            if all(value is None for value in times + gaps):
                continue
            token = gaps[0] if sessions and sessions[0] == 1 else None
            rates = [None if gap is None else count / gap for count, gap in zip(sessions, gaps, strict=True)]
            unbanked = [_best(entries, "first", "stalled_s", prompt=prompt, **known) or 0 for prompt in prompts]
            cells = [
                figure(time) + (f" ({figure(wait)} of it for pads)" if wait > 0.02 * (time or 1) else "")
                for time, wait in zip(times, unbanked, strict=True)
            ]
            rows.append([model, f"`{profile}`", *cells, figure(token and token * 1e3), *map(figure, rates)])
    wrong = sum(entry.get("refused", 0) + entry.get("computed_here", 0) for entry in first + _of(entries, "sessions"))
    note = f"\n\n**{wrong:.0f} products were refused or computed on the trusted side.**" if wrong else ""
    caption = (
        "Served on the same machine, by the server's own times; tokens/s are sessions over the mean time of a token:"
    )
    return f"{caption}\n\n{_table(head, rows)}{note}"


def _pads(entries):
    rows = [
        [entry["model"], f"{entry['tokens']:,}", figure(entry["seconds"]), figure(entry["tokens"] / entry["seconds"]),
         figure(entry["tokens"] * entry["token_bytes"] / entry["seconds"] / 1e9)]
        for entry in _of(entries, "pads")
    ]  # fmt: skip
    head = ["model", "tokens", "s", "tokens/s", "GB/s of products"]
    return "Pads from a peer on the same card, to disk:\n\n" + _table(head, rows) if rows else ""


def _parts(entries):
    """What the trusted side and the link cost, as the laboratory takes a token and a prompt apart."""
    rows = []
    for entry in _of(entries, "parts"):
        for what, count in (("token", 1), ("prompt", entry["rows"])):
            parts = entry[what]
            kernels = token_kernels(entries, entry["model"], count, "ring_s")
            own = sum(value for name, value in parts.items() if name != "link")
            link = parts.get("link", 0.0)
            between = None if kernels is None else link - kernels * 1e3
            name = "a token" if what == "token" else f"a prompt of {entry['rows']:,}"
            rows.append([
                entry["model"], name, figure(own + link), figure(own), figure(link),
                figure(kernels and kernels * 1e3), figure(between),
                ", ".join(f"{name} {figure(value)}" for name, value in parts.items() if name != "link"),
            ])  # fmt: skip
    text = ""
    if rows:
        head = [
            "model",
            "of",
            "ms",
            "T",
            "link and worker",
            "products alone",
            "the rest of link and worker",
            "parts of T",
        ]
        text = "What T and the link cost in `sealed` (pads in memory):\n\n" + _table(head, rows)
    rows = []
    for entry in _of(entries, "sessions"):
        if entry["sessions"] == 1:
            count = entry["tokens"]
            rows.append([
                entry["model"], f"`{entry['profile']}`", figure(entry["exchanges"] / count),
                figure(entry["bytes_sent"] / count / 1e3), figure(entry["bytes_received"] / count / 1e3),
                figure(entry["processor_s"] / count * 1e3),
                figure(entry["stalled_s"] / count * 1e3),
            ])  # fmt: skip
    if rows:
        head = ["model", "profile", "exchanges", "kB sent", "kB received", "processor ms of T", "ms waited for pads"]
        text += ("\n\n" if text else "") + "For each token of an answer with its short prompt:\n\n" + _table(head, rows)
    for entry in _of(entries, "link"):
        text += "\n\nThe link alone (`scx-lab link-bench`):\n\n" + "\n".join(
            f"    {line}" for line in entry["text"].splitlines()
        )
    return text


def _steps(entries):
    left_out = [entry for entry in _of(entries, "step") if entry["status"] != "done"]
    if not left_out:
        return ""
    lines = [f"- {entry['name']}: {entry['status']}, {entry['note']}" for entry in left_out]
    return "Not measured:\n\n" + "\n".join(lines)
