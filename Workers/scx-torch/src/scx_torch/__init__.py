"""A worker of swift-scx in PyTorch; docs/protocol.md is the contract that it keeps."""

__version__ = "0.1.0"
