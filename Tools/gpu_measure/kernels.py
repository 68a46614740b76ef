"""The products alone: peaks of the card, bf16 products, and ring products with their check."""

import statistics
import time

import torch

from scx_torch.compute import ring, triton_ring


def peaks(device, is_small):
    """What the card does at best here: bf16 and int8 multiply-adds and copied bytes a second, each the best of five."""
    size = 256 if is_small else 8_192
    a = torch.randn(size, size, device=device).to(torch.bfloat16)
    b = torch.randint(-127, 128, (size, size), device=device, dtype=torch.int8)
    source = torch.empty((1 << 20 if is_small else 1 << 30), dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    products = size**3
    return {
        "bf16_products": products / _best(lambda: a @ a.T, device),
        "int8_products": products / _best(lambda: torch._int_mm(b, b.T), device),
        # A copy reads and writes.
        "bytes": 2 * source.nbytes / _best(lambda: target.copy_(source), device),
    }


def _best(work, device, rounds=5, calls=4):
    for _ in range(2):
        work()
    return min(_seconds(work, device, calls) for _ in range(rounds))


def _seconds(work, device, calls):
    """Seconds of one of several calls that are queued one after the other."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - start) / calls
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / calls


def _captured(calls, device):
    """Seconds of one of several calls as a CUDA graph, which has no launches between them; None where there is none."""
    if device.type != "cuda":
        return None
    try:
        stream = torch.cuda.Stream(device)
        with torch.cuda.stream(stream):
            calls()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            calls()
    except RuntimeError:
        return None
    return _best(graph.replay, device, rounds=5, calls=2)


def measure_site(shape, site, rows, device, peak, bytes_of_copies):
    """Times one site with some rows; the members of a result. Raises when a sample of ring products is not exact.

    Weights are taken in turns from several copies, since those of a small site would otherwise stay in the card's cache.
    """
    name, outputs, inputs, _ = site
    generator = torch.Generator(device).manual_seed(rows)
    copies = max(1, min(64, -(-bytes_of_copies // (outputs * inputs))))
    x = torch.randint(-(2**31), 2**31, (rows, inputs), generator=generator, device=device).to(torch.int32)
    w = torch.randint(-127, 128, (copies, outputs, inputs), generator=generator, device=device, dtype=torch.int8)
    found = ring.ring_product(x, w[0])
    check(x, w[0], found)
    calls = max(2, min(copies, 16))
    rounds = 3 if rows > 512 else 5

    def timed(product, values, weights):
        def all_calls():
            for i in range(calls):
                product(values, weights[i % weights.shape[0]])

        all_calls()
        queued = statistics.median(_seconds(all_calls, device, 1) for _ in range(rounds)) / calls
        captured = _captured(all_calls, device)
        return queued, None if captured is None else captured / calls

    ring_queued, ring_captured = timed(ring.ring_product, x, w)
    low = x.to(torch.float32).mul_(2**-31).to(torch.bfloat16)
    # Weights in bf16 take twice the bytes.
    weights = torch.randn(
        max(1, copies // 2), outputs, inputs, generator=generator, device=device, dtype=torch.bfloat16
    )
    bf16_queued, bf16_captured = timed(lambda values, matrix: values @ matrix.T, low, weights)
    products = rows * outputs * inputs
    # A word is four bytes, each of which is multiplied by every weight.
    ring_floor = max(
        (outputs * inputs + 4 * rows * (inputs + outputs)) / peak["bytes"], 4 * products / peak["int8_products"]
    )
    bf16_floor = max(
        2 * (outputs * inputs + rows * (inputs + outputs)) / peak["bytes"], products / peak["bf16_products"]
    )
    return {
        "model": shape.name, "site": name, "outputs": outputs, "inputs": inputs, "rows": rows,
        "way": way_of(rows, device), "ring_s": ring_captured or ring_queued, "bf16_s": bf16_captured or bf16_queued,
        "ring_queued_s": ring_queued, "bf16_queued_s": bf16_queued, "captured": ring_captured is not None,
        "ring_floor_s": ring_floor, "bf16_floor_s": bf16_floor,
    }  # fmt: skip


def way_of(rows, device):
    """The name of the product that the worker takes for some rows."""
    product = ring.product_for(device.type, rows < ring.INT_MM_ROWS)
    if product is triton_ring.product:
        return "Triton"
    return "bytes" if product is ring.product_of_bytes else "doubles"


def check(x, w, found):
    """Compares a sample of products with sums in int64, which are exact; raises when one differs."""
    rows = sorted({0, x.shape[0] // 2, x.shape[0] - 1})
    step = max(1, w.shape[0] // 61)
    chosen = torch.arange(0, w.shape[0], step, device=w.device)
    exact = x[rows].cpu().to(torch.int64) @ w[chosen].cpu().to(torch.int64).T
    if not torch.equal(ring.words_of(exact), found[rows][:, chosen].cpu()):
        raise ValueError(f"ring products of {x.shape[0]} rows by {tuple(w.shape)} are not exact")
