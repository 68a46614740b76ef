"""Text that others chose, made safe to print."""


def printable(text: str, limit: int = 200) -> str:
    """One line of at most `limit` characters; control characters become spaces."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])
