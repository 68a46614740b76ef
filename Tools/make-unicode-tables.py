#!/usr/bin/env python3
"""Makes Sources/Trusted/SCXText/Unicode/UnicodeTables+Data.swift: what characters are, as `tokenizers` has it.

The `tokenizers` package asks five libraries with three versions of Unicode about characters, and the tables follow each:
its regular expressions (Oniguruma, Unicode 16: categories, scripts, some properties), Rust's standard library (Unicode
17: numbers) and the crates of its normalizers (Unicode 8 and 9). Categories and scripts come from the Unicode data of two
other packages and are compared with Oniguruma's; the rest is measured, by giving every character to the package.

    python3 -m venv .venv && .venv/bin/pip install 'tokenizers==0.23.*' unicodedata2==16.0.0 fonttools==4.58.0
    .venv/bin/python Tools/make-unicode-tables.py

Each table is a text in base 64. Decoded it is a list of numbers, seven bits a byte, the lowest first, a high bit for "more
follows". Sets are lengths of runs, outside and inside by turns, from U+0000 on. Maps are runs: a length and a value.
"""
import base64
import pathlib

import unicodedata2
from fontTools.unicodedata import Scripts
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "Sources/Trusted/SCXText/Unicode/UnicodeTables+Data.swift"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ALL = "".join(map(chr, SCALARS))
LIMIT = 0x110000

# The order of Swift's `UnicodeCategory` in UnicodeTables.swift.
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
PROPERTIES = ["Alphabetic", "Uppercase", "Lowercase", "Emoji", "Emoji_Presentation", "Extended_Pictographic", "Ideographic"]


def numbers(values):
    data = bytearray()
    for value in values:
        while value >= 0x80:
            data.append(value & 0x7F | 0x80)
            value >>= 7
        data.append(value)
    return base64.b64encode(bytes(data)).decode()


def set_numbers(members):
    """Lengths of runs, outside and inside by turns."""
    inside, start, out = False, 0, []
    for c in range(LIMIT + 1):
        now = c < LIMIT and c in members
        if now != inside:
            out.append(c - start)
            start, inside = c, now
    return out


def map_numbers(value_of):
    out, start, value = [], 0, value_of(0)
    for c in range(1, LIMIT + 1):
        now = value_of(c) if c < LIMIT else None
        if now != value:
            out += [c - start, value]
            start, value = c, now
    return out


def matched(regex):
    """The characters that a regular expression matches, each alone."""
    runs = pre_tokenizers.Split(Regex(f"(?:{regex})+"), behavior="removed", invert=True).pre_tokenize_str(ALL)
    return {SCALARS[i] for _, (start, end) in runs for i in range(start, end)}


def splits(pre_tokenizer):
    return {c for c in SCALARS if len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")) > 1}


def removed(normalizer):
    return {c for c in SCALARS if normalizer.normalize_str("a" + chr(c) + "b") == "ab"}


def categories():
    category = [CATEGORIES.index(unicodedata2.category(chr(c))) for c in range(LIMIT)]
    for index, name in enumerate(CATEGORIES):
        ours = {c for c in SCALARS if category[c] == index}
        assert ours == matched(rf"\p{{{name}}}"), name
    return numbers(map_numbers(lambda c: category[c]))


def scripts():
    """Names in the order of the values, and the map."""
    names = ["Zzzz"] + sorted(set(Scripts.VALUES) - {"Zzzz"})
    script = [0] * LIMIT
    bounds = Scripts.RANGES + [LIMIT]
    for start, end, value in zip(bounds, bounds[1:], Scripts.VALUES):
        script[start:end] = [names.index(value)] * (end - start)
    for index, name in enumerate(names):
        assert {c for c in SCALARS if script[c] == index} == matched(rf"\p{{{Scripts.NAMES[name]}}}"), name
    return [f"{name} {Scripts.NAMES[name]}" for name in names], numbers(map_numbers(lambda c: script[c]))


def legacy_scripts():
    """What the pre-tokenizer `UnicodeScripts` takes for one script: 0 joins all others."""
    split = pre_tokenizers.UnicodeScripts()
    joins = lambda a, b: len(split.pre_tokenize_str(a + b)) == 1
    known, script = [], [0] * LIMIT
    for c in SCALARS:
        char = chr(c)
        if joins("a", char) and joins("\u4e00", char):
            continue
        order = ([script[c - 1]] if c and script[c - 1] else []) + list(range(1, len(known) + 1))
        found = next((s for s in order if joins(known[s - 1], char)), 0)
        if not found:
            known.append(char)
            found = len(known)
        script[c] = found
    return numbers(map_numbers(lambda c: script[c]))


def combining_classes():
    """Of the characters that the normalizers reorder. U+0334 has the least class, U+0345 the greatest."""
    nfd = normalizers.NFD()
    classes = [0] * LIMIT
    for c in SCALARS:
        value = unicodedata2.combining(chr(c))
        if not value:
            continue
        char = chr(c)
        moved = nfd.normalize_str("a\u0345" + char) != "a\u0345" + nfd.normalize_str(char) if value < 240 else None
        if moved is None:
            moved = nfd.normalize_str("a" + char + "\u0334") != "a" + char + "\u0334"
        if moved:
            classes[c] = value
    return numbers(map_numbers(lambda c: classes[c]))


def decompositions():
    """For each character that has one: its distance from the last one, a kind, and its parts.

    Kind 0 is a pair that composes again. Any other kind is twice the number of parts, plus one for a compatibility
    decomposition: all of them, taken apart as far as it goes. A canonical one comes first if there are both.
    """
    nfd, nfkd, nfc = (n.normalize_str for n in (normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()))
    out, last = [], 0
    for c in SCALARS:
        char = chr(c)
        if 0xAC00 <= c <= 0xD7A3:  # computed from the number
            continue
        canonical, compatible = nfd(char), nfkd(char)
        if canonical != char:
            if nfc(canonical) == char:
                left = nfc(canonical[:-1])
                assert len(left) == 1 and nfc(left + canonical[-1]) == char, hex(c)
                out += [c - last, 0, ord(left), ord(canonical[-1])]
            else:
                out += [c - last, 2 * len(canonical), *map(ord, canonical)]
            last = c
        if compatible != canonical:
            out += [c - last, 2 * len(compatible) + 1, *map(ord, compatible)]
            last = c
    return numbers(out)


def case_foldings():
    """For each character that equals a lesser one but for case: its distance from the last one, and from the least."""
    cased = sorted(matched(r"\p{Changes_When_Casemapped}"))
    text = "".join(map(chr, cased))
    out, last = [], 0
    for c in cased:
        same = pre_tokenizers.Split(Regex(f"(?i:[\\x{{{c:X}}}])"), behavior="removed", invert=True).pre_tokenize_str(text)
        least = min(ord(piece[0]) for piece, _ in same)
        if least < c:
            out += [c - last, c - least]
            last = c
    return numbers(out)


def long_foldings():
    """Characters that equal several but for case: the distance from the last one, the number of parts, the parts."""
    out, last = [], 0
    for c in sorted(matched(r"\p{Changes_When_Casefolded}")):
        parts = chr(c).casefold()
        if len(parts) > 1:
            out += [c - last, len(parts), *map(ord, parts)]
            last = c
    return numbers(out)


def literal(name, comment, text):
    width = 100
    lines = [text[i : i + width] for i in range(0, len(text), width)]
    body = "\\\n".join("        " + line for line in lines)
    return f'    /// {comment}\n    static let {name} = """\n{body}\n        """\n'


def main():
    names, script_runs = scripts()
    no = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    bert = lambda **flags: normalizers.BertNormalizer(**dict(no, **flags))
    parts = [
        literal("categoryRuns", "General categories of Unicode 16, in the order of `UnicodeCategory`.", categories()),
        literal("scriptRuns", "Scripts of Unicode 16, by their places in `scriptNames`.", script_runs),
        literal("scriptNames", "The scripts' short and long names.", ",".join(names)),
        *[
            literal(
                name[0].lower() + name[1:].replace("_", "") + "Set",
                f"The property {name} of Unicode 16.",
                numbers(set_numbers(matched(rf"\p{{{name}}}"))),
            )
            for name in PROPERTIES
        ],
        literal("caseFoldings", "Characters that are the same but for case: see `UnicodeTables.caseFolding`.", case_foldings()),
        literal("longFoldings", "Characters that are the same as several: see `UnicodeTables.longFolding`.", long_foldings()),
        literal(
            "wordSet",
            r"`\w` of the `regex` crate, Unicode 16.",
            numbers(
                set_numbers(
                    {c for c in SCALARS if len(pre_tokenizers.Whitespace().pre_tokenize_str("a" + chr(c) + "a")) == 1}
                )
            ),
        ),
        literal(
            "numericSet",
            "`char::is_numeric` of Rust, Unicode 17.",
            numbers(set_numbers(splits(pre_tokenizers.Digits(individual_digits=True)))),
        ),
        literal(
            "punctuationSet",
            "Punctuation of the crate `unicode_categories` (Unicode 8), and all of ASCII's.",
            numbers(set_numbers(splits(pre_tokenizers.Punctuation()))),
        ),
        literal(
            "removedByCleaningSet",
            "What `BertNormalizer` removes when it cleans: U+0000, U+FFFD and `is_other` of `unicode_categories`.",
            numbers(set_numbers(removed(bert(clean_text=True)))),
        ),
        literal(
            "nonspacingSet",
            "`is_mark_nonspacing` of `unicode_categories`, as far as NFD leaves it over.",
            numbers(set_numbers(removed(bert(strip_accents=True)))),
        ),
        literal(
            "combiningSet",
            "`is_combining_mark` of `unicode-normalization-alignments` (Unicode 9).",
            numbers(set_numbers(removed(normalizers.StripAccents()))),
        ),
        literal(
            "legacyScriptRuns",
            "What the pre-tokenizer `UnicodeScripts` takes for one script; 0 goes with any.",
            legacy_scripts(),
        ),
        literal("combiningClassRuns", "Canonical combining classes of Unicode 9.", combining_classes()),
        literal("decompositions", "Decompositions of Unicode 9: see `UnicodeTables.decompositions`.", decompositions()),
    ]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        "// Made by Tools/make-unicode-tables.py from Unicode data (https://www.unicode.org/license.txt).\n"
        "// Do not edit: run the tool.\n\nextension UnicodeTables {\n" + "\n".join(parts) + "}\n"
    )


main()
