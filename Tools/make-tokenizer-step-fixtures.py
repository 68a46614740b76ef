#!/usr/bin/env python3
"""Makes Tests/Fixtures/tokenizers/steps.json and models.json: every part of a `tokenizer.json`, and what it gives.

`steps.json` has normalizers, pre-tokenizers, patterns and decoders one by one. A tokenizer whose tokens are bytes, and which
puts "\u2581" before every word, shows what they do (`skeleton` and `decoding_skeleton` here and in the tests). `models.json`
has small tokenizers of all kinds of models, trained on a little text.

    python3 -m venv .venv && .venv/bin/pip install 'tokenizers==0.23.*' sentencepiece
    .venv/bin/python Tools/make-tokenizer-step-fixtures.py ../shared/data

The argument is the folder of the parity texts. What is expected is kept as hashes, FNV-1a of 64 bits: over the tokens of a
text, four little-endian bytes each, or over the UTF-8 of a decoded one, closed by four bytes of ones each. There is one for
every 40 hard cases, and for normalizers and pre-tokenizers one for every 4,096 characters of planes 0 and 1, given in
texts of 64. `Tools/check-tokenizers` shows differences text by text.
"""
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/tokenizers"
DATA = pathlib.Path(sys.argv[1])
TEXTS = json.loads((OUT / "hard-cases.json").read_text())["texts"]
BLOCKS = [
    "".join(chr(c) for c in range(start, start + 64) if not 0xD800 <= c < 0xE000) for start in range(0, 0x20000, 64)
]


def byte_alphabet():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b if b in printable else 256 + others.index(b)): b for b in range(256)}


def skeleton(normalizer=None, pre_tokenizer=None):
    """A tokenizer whose tokens are the bytes of its words, each with the mark in front."""
    steps = [pre_tokenizer] if pre_tokenizer else []
    mark = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps + [mark, level]},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": byte_alphabet(),
            "merges": [],
        },
    }


# Texts of tokens that decoders care about, by their numbers.
TOKENS = [
    "[UNK]", "a", "b", "##c", "##", "the", "\u2581the", "\u2581", "\u2581\u2581x", "<0x41>", "<0xC3>", "<0xA9>", "<0x0A>", "<0xFF>", ".", "?",
    "n't", "do", "not", "'s", "'", "word</w>", "wo", "rd</w>", "</w>", "x</w>y</w>", "|", "<pad>", "h", "e", "l", "o", " ", "  y  ",
    "\u0120a", "\u010a", "\u00c3", "\u00a9", "\u00e9", "\u6f22", "\U0001f600", "xx", "xxx", "-x-", " do not", "I'm", "a b", "!", ",", "'ve",
]


def decoding_skeleton(decoder):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(TOKENS)}, "unk_token": "[UNK]"},
    }


def wild_tokens():
    generator = random.Random(19)
    rows = [[generator.randrange(len(TOKENS)) for _ in range(generator.randint(1, 9))] for _ in range(400)]
    return rows + [[i] for i in range(len(TOKENS))] + [[i, i] for i in range(len(TOKENS))]


def fnv(parts):
    value = 0xCBF29CE484222325
    for part in parts:
        for byte in part + b"\xff" * 4:
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def id_hashes(tokenizer, texts, size):
    ids = [b"".join(i.to_bytes(4, "little") for i in e.ids) for e in tokenizer.encode_batch(texts)]
    return [fnv(ids[i : i + size]) for i in range(0, len(ids), size)]


def char_map(rules):
    """SentencePiece's table for a few rules; each gives characters for characters."""
    with tempfile.TemporaryDirectory() as folder:
        tsv, text = pathlib.Path(folder) / "rules.tsv", pathlib.Path(folder) / "text"
        hexadecimal = lambda s: " ".join(f"{ord(c):X}" for c in s)
        tsv.write_text("".join(f"{hexadecimal(a)}\t{hexadecimal(b)}\n" for a, b in rules.items()))
        text.write_text("\n".join(TEXTS[:50] * 4).replace("\0", ""))
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=folder + "/m", vocab_size=200, normalization_rule_tsv=str(tsv),
            hard_vocab_limit=False, minloglevel=2,
        )
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((pathlib.Path(folder) / "m.model").read_bytes())
        return model.normalizer_spec.precompiled_charsmap


RULES = {
    "\ufb01": "fi", "\u2126": "\u03a9", "\uff21": "A", "\uff01": "!", "e\u0301": "\u00e9", "a\u0323": "\u1ea1", "\u304b\u3099": "\u304c", "\t": " ",
    "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\u0001": "", "\u0301": "", "\u00bd": "1\u20442", "\ufdfa": "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647",
    "A": "a", "\u1100\u1161": "\uac00", "\u1f600": "x", "\U0001d54f": "X", "\u00c5": "A\u030a", "x\u0300": "y",
}

REGEX = lambda pattern, behavior="Isolated", invert=False: {
    "type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert,
}
STRING = lambda text, behavior="Isolated", invert=False: {
    "type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": invert,
}
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]

PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt4": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "kimi-k2": r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek-cjk": "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "deepseek-v3": r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "bloom": " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+",
    "clip": r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "afmoe": r"\A\p{Nd}{1,2}(?=(?>\p{Nd}{3})*(?:\P{Nd}|$))|\G\p{Nd}{3}",
    "thousands": r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
    "superbpe": r"(?=(\d{3})+(?!\d))",
    "smiles": r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>|\*|\$|\%[0-9]{2}|[0-9])",
    "words": r"\w+|[^\w\s]+",
    "boundaries": r"\b\w{2,3}?\b|\B.",
    "lines": r"^[^\n]*$|\R|\Z",
    "kana": r"[\p{Hiragana}\p{Katakana}\u30fc]+|\p{Han}+|\p{Hangul}+|\p{Arabic}+|\p{Thai}|\p{Emoji_Presentation}+|\p{Extended_Pictographic}",
    "brackets": r"[[:alpha:]]+|[[:punct:]]|[[:^space:]&&[^0-9]]|[a-c\-x-z]",
    "lazy": r"'.+?'|(?m:a.*?b)|(?<=\p{L})\p{N}|(?<!\s)-(?!\s)",
    "cases": r"(?i)[k-m\u00e9]+|the|\u01c6",
    "trailing": r"\s+$|[\r\n]|[0-9][0-9][0-9]",
}

NORMALIZERS = [
    {"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "Nmt"},
    {"type": "ByteLevel"},
    {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Strip", "strip_left": False, "strip_right": True},
    {"type": "Prepend", "prepend": "\u2581\u2581"},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "<\u00e9>"}, {"type": "Replace", "pattern": {"String": "aa"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"},
    {"type": "Replace", "pattern": {"Regex": r"[\p{Lu}&&[^A-F]]|\p{N}+"}, "content": "#"},
    *[
        {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower}
        for clean, chinese, accents, lower in [
            (True, True, None, True), (True, True, None, False), (False, True, True, False), (True, False, False, True),
        ]
    ],
    {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": False}]},
    {"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "x"}]}]},
]

PRE_TOKENIZERS = [
    {"type": "BertPreTokenizer"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "UnicodeScripts"},
    {"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False},
    *[{"type": "Punctuation", "behavior": behavior} for behavior in BEHAVIORS],
    {"type": "CharDelimiterSplit", "delimiter": "e"}, {"type": "FixedLength", "length": 3},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    *[
        {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme, "split": split}
        for mark, scheme, split in [("_", "always", True), ("_", "first", True), ("_", "never", True), ("_", "first", False), ("\u2581", "never", False)]
    ],
    *[STRING(" ", behavior) for behavior in BEHAVIORS], STRING("the", "Isolated", True), STRING("", "Isolated"),
    *[REGEX(pattern) for pattern in PATTERNS.values()],
    *[REGEX(r"\p{L}+|  ", behavior, invert) for behavior in BEHAVIORS for invert in (False, True)],
    {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": True}]},
    {"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Contiguous"}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, {"type": "Digits", "individual_digits": False}, REGEX("[0-9][0-9][0-9]")]},
    {"type": "Sequence", "pretokenizers": [REGEX(r"\p{N}{1,3}"), REGEX(PATTERNS["deepseek-cjk"]), REGEX(PATTERNS["deepseek-v3"])]},
]

# Where a prefix goes to the first word only, it counts what normalizers did to the first character.
PAIRS = [
    (normalizer, {"type": "Sequence", "pretokenizers": [REGEX("."), {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": False}]})
    for normalizer in NORMALIZERS
]

DECODERS = [
    None, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "WordPiece", "prefix": "##", "cleanup": True},
    {"type": "WordPiece", "prefix": "##", "cleanup": False}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": True}, {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}, {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": False},
    {"type": "Replace", "pattern": {"String": "x"}, "content": "yz"}, {"type": "Replace", "pattern": {"Regex": "x+|[aeiou]"}, "content": "*"},
    {"type": "Strip", "content": "x", "start": 1, "stop": 0}, {"type": "Strip", "content": " ", "start": 2, "stop": 0},
    {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]},
    {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"Regex": "xx+"}, "content": "X"}, {"type": "WordPiece", "prefix": "a", "cleanup": True}]},
    {"type": "Sequence", "decoders": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]},
    {"type": "Sequence", "decoders": [{"type": "WordPiece", "prefix": "##", "cleanup": False}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}, {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}]},
]


def steps():
    charsmap = char_map(RULES)
    precompiled = json.loads(normalizers.Precompiled(charsmap).__getstate__())
    encoding = [{"normalizer": n} for n in NORMALIZERS + [precompiled]]
    encoding += [{"pre_tokenizer": p} for p in PRE_TOKENIZERS]
    first = PAIRS[0][1]
    encoding += [{"normalizer": n, "pre_tokenizer": p} for n, p in PAIRS + [(precompiled, first)]]
    for entry in encoding:
        tokenizer = Tokenizer.from_str(json.dumps(skeleton(**entry)))
        entry["texts"] = id_hashes(tokenizer, TEXTS, 40)
        entry["characters"] = id_hashes(tokenizer, BLOCKS, 64)
    decoding = []
    rows = wild_tokens()
    for decoder in DECODERS:
        tokenizer = Tokenizer.from_str(json.dumps(decoding_skeleton(decoder)))
        texts = [tokenizer.decode(row, skip_special_tokens=False).encode() for row in rows]
        decoding.append({"decoder": decoder, "texts": [fnv(texts[i : i + 40]) for i in range(0, len(texts), 40)]})
    return {"tokens": TOKENS, "wild": rows, "encoding": encoding, "decoding": decoding}


def lines():
    return (DATA / "shakespeare.txt").read_text().splitlines()[:4000] + TEXTS * 3


def trained(model, trainer, normalizer=None, pre_tokenizer=None, decoder=None, post=None, added=()):
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(lines(), trainer)
    if decoder:
        tokenizer.decoder = decoder
    if post:
        tokenizer.post_processor = post(tokenizer)
    tokenizer.add_tokens(list(added))
    return tokenizer


def model_tokenizers():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bert = lambda t: processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))
    roberta = lambda t: processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")))
    charsmap = char_map(RULES)
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    yield "bert", trained(
        models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False, limit_alphabet=150),
        normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(), bert,
    )
    yield "wordpiece-short", trained(
        models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=6), trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False, limit_alphabet=80),
        None, pre_tokenizers.Whitespace(), decoders.WordPiece(cleanup=False),
        added=[AddedToken("wordword", single_word=True), AddedToken("  ", normalized=False, rstrip=True)],
    )
    yield "t5", trained(
        models.Unigram(), trainers.UnigramTrainer(vocab_size=600, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False),
        normalizers.Precompiled(charsmap), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), decoders.Metaspace(),
        lambda t: processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", t.token_to_id("</s>"))]),
    )
    yield "albert", trained(
        models.Unigram(), trainers.UnigramTrainer(vocab_size=500, special_tokens=["<pad>", "<unk>", "[CLS]", "[SEP]"], unk_token="<unk>", show_progress=False),
        normalizers.Sequence([
            normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
            normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " "),
        ]),
        pre_tokenizers.Metaspace(), decoders.Metaspace(),
    )
    unigram = trained(
        models.Unigram(), trainers.UnigramTrainer(vocab_size=700, special_tokens=["<unk>", *byte_tokens], unk_token="<unk>", show_progress=False),
        normalizers.Nmt(), pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
        decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]),
    )
    state = json.loads(unigram.to_str())
    state["model"]["byte_fallback"] = True
    state["added_tokens"] = state["added_tokens"][:1]
    # Equal texts: the last one counts.
    state["model"]["vocab"] += [["the", -3.5], ["\u2581the", -2.0]]
    yield "unigram-bytes", Tokenizer.from_str(json.dumps(state))
    yield "wordlevel", trained(
        models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False),
        normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]),
    )
    yield "characters", trained(
        models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=120, special_tokens=["<pad>", "<unk>", "|"], show_progress=False),
        normalizers.Replace(" ", "|"), pre_tokenizers.FixedLength(1), decoders.CTC(),
    )
    yield "clip", trained(
        models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""),
        trainers.BpeTrainer(vocab_size=900, special_tokens=["<|startoftext|>", "<|endoftext|>"], end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
        normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERNS["clip"]), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        decoders.BPEDecoder(),
        lambda t: processors.RobertaProcessing(("<|endoftext|>", t.token_to_id("<|endoftext|>")), ("<|startoftext|>", t.token_to_id("<|startoftext|>")), trim_offsets=False, add_prefix_space=False),
    )
    yield "openai-gpt", trained(
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True), trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>"], end_of_word_suffix="</w>", limit_alphabet=100, show_progress=False),
        normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder(),
    )
    yield "bpe-prefix", trained(
        models.BPE(unk_token="<unk>", continuing_subword_prefix="##"), trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], continuing_subword_prefix="##", limit_alphabet=80, show_progress=False),
        None, pre_tokenizers.WhitespaceSplit(), decoders.WordPiece(),
    )
    yield "roberta", trained(
        models.BPE(), trainers.BpeTrainer(vocab_size=600, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
        None, pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel(), roberta,
    )
    yield "deepseek-v3", trained(
        models.BPE(), trainers.BpeTrainer(vocab_size=600, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
        normalizers.Sequence([]),
        pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), behavior="isolated"), pre_tokenizers.Split(Regex(PATTERNS["deepseek-cjk"]), behavior="isolated"),
            pre_tokenizers.Split(Regex(PATTERNS["deepseek-v3"]), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]),
        decoders.ByteLevel(),
        lambda t: processors.Sequence([
            processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", t.token_to_id("<s>"))]),
            processors.TemplateProcessing(single="$A <s>", pair="$A $B <s>", special_tokens=[("<s>", t.token_to_id("<s>"))]),
        ]),
    )
    gemma = trained(
        models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), trainers.BpeTrainer(vocab_size=700, special_tokens=["<pad>", "<bos>", "<unk>", *byte_tokens], limit_alphabet=90, show_progress=False),
        normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split(" ", behavior="merged_with_previous"),
        decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]),
    )
    state = json.loads(gemma.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    yield "gemma", Tokenizer.from_str(json.dumps(state))
    yield "byte-normalizer", trained(
        models.BPE(), trainers.BpeTrainer(vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
        normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()]), pre_tokenizers.Split(Regex("(?<=\u0120)|[\u0120.]"), behavior="merged_with_next"), decoders.ByteLevel(),
        added=[AddedToken("Yesterday", normalized=True), AddedToken("<x>", normalized=False)],
    )


def model_fixtures():
    fixtures = []
    for name, tokenizer in model_tokenizers():
        ids = [tokenizer.encode(text).ids for text in TEXTS]
        generator = random.Random(11)
        size = tokenizer.get_vocab_size()
        wild = [[generator.randrange(size + 3) for _ in range(generator.randint(1, 12))] for _ in range(150)]
        decoded = {
            key: [tokenizer.decode(row, skip_special_tokens=skip).encode() for row in rows]
            for key, rows, skip in [("decoded", ids, True), ("decoded_specials", ids, False), ("wild_decoded", wild, False)]
            if name not in ("clip", "openai-gpt") or all(rows)  # BPEDecoder fails on nothing
        }
        fixtures.append(
            {
                "name": name,
                "tokenizer": json.loads(tokenizer.to_str()),
                "texts": id_hashes(tokenizer, TEXTS, 40),
                "wild": wild,
                **{key: [fnv(texts[i : i + 40]) for i in range(0, len(texts), 40)] for key, texts in decoded.items()},
            }
        )
        print(name, size, file=sys.stderr)
    return fixtures


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    parts = steps()
    (OUT / "steps.json").write_text(
        '{"tokens":' + dump(parts["tokens"]) + ',\n"wild":' + dump(parts["wild"])
        + "".join(f',\n"{key}":[\n' + ",\n".join(map(dump, parts[key])) + "]" for key in ("encoding", "decoding")) + "}\n"
    )
    (OUT / "models.json").write_text("[" + ",\n".join(map(dump, model_fixtures())) + "]\n")


main()
