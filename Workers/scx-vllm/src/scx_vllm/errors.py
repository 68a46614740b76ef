"""Why something cannot be served."""


class Unsupported(Exception):
    """What of the engine or the model is not supported, in one line."""
