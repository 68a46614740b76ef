#!/usr/bin/env python3
"""Measures the prefill of the PyTorch worker's decoder and of transformers, in turns, in one process, in float32.

    PYTHONPATH=Workers/scx-torch/src python3 Tools/measure-torch-prefill.py MODEL [--tokens 512] [--rounds 5] [--threads 2]

Needs torch and transformers. Both run all blocks of a prompt with an empty cache and the head on the last position.
"""

import argparse
import statistics
import time

import torch
from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.model.checkpoint import Checkpoint
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    checkpoint = Checkpoint(options.model)
    own = Decoder(checkpoint, "f32", torch.device("cpu"))
    other = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(checkpoint.config.vocabulary, (1, options.tokens), generator=generator)
    # The embedding is the trusted side's; a factor of embedded tokens, as Gemma has it, is not applied here.
    hidden = other.get_input_embeddings()(tokens)[0]

    def by_worker():
        layers = [own.make_cache() for _ in range(checkpoint.config.block_count)]
        result = own.run(0, checkpoint.config.block_count, hidden, [CacheSegment(layers, 0, options.tokens)])
        return own.logits(result[-1:])[0]

    def by_transformers():
        return other(tokens, logits_to_keep=1, use_cache=True).logits[0, -1]

    difference = (by_worker() - by_transformers()).abs().max() / by_transformers().abs().max()
    seconds = {by_worker: [], by_transformers: []}
    for _ in range(options.rounds):
        for run, times in seconds.items():
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    for run, times in seconds.items():
        speeds = [options.tokens / each for each in times]
        print(f"{run.__name__}: {statistics.median(speeds):.1f} tokens/s ({min(speeds):.1f} to {max(speeds):.1f})")
    print(f"largest difference of the logits: {difference:.1e} of the largest logit")


if __name__ == "__main__":
    main()
