"""How much is measured: of the models' own shapes on a card, or of small ones as a test of the program."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """Rows, prompts and sessions, and what the card holds."""

    card_bytes: int
    rows: tuple[int, ...] = (1, 16, 64, 128, 512, 2_048, 10_000)
    # More rows than these of the head are not measured, since a prompt needs its last row alone.
    head_rows: int = 64
    # Bytes of int8 weights that are taken in turns, which a card's cache does not hold.
    copies_bytes: int = 256 << 20
    prompts: tuple[int, ...] = (128, 512, 2_048, 10_000)
    # Of these prompts, those that get their pads apart and come last.
    long: tuple[int, ...] = (10_000,)
    # Prompts up to these tokens are asked twice.
    twice: int = 512
    # Sessions at once, each with a prompt and an answer of so many tokens.
    sessions: tuple[int, ...] = (1, 16, 64)
    session: tuple[int, int] = (16, 17)
    # The request that comes before all that is measured.
    warm: tuple[int, int] = (40, 4)
    parts_prompt: int = 512


def small():
    """What a CPU measures of small shapes in a minute or two."""
    return Amounts(
        1 << 40, rows=(1, 16, 64), copies_bytes=1 << 20, prompts=(16, 64, 300), long=(300,), twice=16,
        sessions=(1, 4, 16), session=(8, 5), warm=(20, 2), parts_prompt=64,
    )  # fmt: skip
