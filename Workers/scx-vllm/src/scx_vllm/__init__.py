"""Lets vLLM answer the link of swift-scx from the weights that it has in memory; docs/workers.md, section Inside vLLM."""

__version__ = "0.1.0"
