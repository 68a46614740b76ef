#!/usr/bin/env python3
"""Makes Tests/Fixtures/tokenizers: small tokenizers with the published pipelines, and what they give.

The published vocabularies are large and not ours to ship, so each family's pipeline (normalizer, pre-tokenizer, model
options, decoder, template) is trained anew on a little text. The expected tokens and texts come from the `tokenizers`
package, 0.23.

    python3 -m venv .venv && .venv/bin/pip install 'tokenizers==0.23.*'
    .venv/bin/python Tools/make-tokenizer-fixtures.py ../shared/data

The argument is the folder of the parity texts. Only hashes of their tokens are kept: FNV-1a over the tokens of every
line, each token as four little-endian bytes and each line closed by four bytes of ones, for groups of 500 lines.
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/tokenizers"
DATA = pathlib.Path(sys.argv[1])
TEXTS = ["shakespeare.txt", "wikitext2-test.txt", "wikitext2-valid.txt"]

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PREFIX = r"[^\r\n\p{L}\p{N}]?"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = f"{PREFIX}{UPPER}*{LOWER}+{SUFFIX}|{PREFIX}{UPPER}+{LOWER}*{SUFFIX}|\\p{{N}}{{1,3}}{REST}"
TEKKEN = f"{PREFIX}{UPPER}*{LOWER}+|{PREFIX}{UPPER}+{LOWER}*|\\p{{N}}{REST}"


def byte_level(size, specials=(), pre=None, normalizer=None, ignore_merges=False, unk=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in specials])
    return tokenizer


def split(regex):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train(tokenizer, size, **options):
    lines = training_lines()
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, **options)
    tokenizer.train_from_iterator(lines, trainer)


def training_lines():
    """Shakespeare for the words, the hard cases for the rest; no text that may not be committed."""
    return (DATA / "shakespeare.txt").read_text().splitlines()[:6000] + hard_cases() * 4


def gpt2():
    tokenizer = byte_level(1000, ["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def gpt2_prefix():
    """Roberta's way: a space before every text; digits apart, as StarCoder has it."""
    return byte_level(
        700,
        ["<|endoftext|>"],
        pre=pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]
        ),
    )


def llama3():
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = byte_level(1000, specials, pre=split(LLAMA3), ignore_merges=True)
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", bos)],
            ),
        ]
    )
    return tokenizer


def qwen2():
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = byte_level(1000, specials, pre=split(QWEN2), normalizer=normalizers.NFC())
    tokenizer.add_tokens([AddedToken("<think>", normalized=False, special=False)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def o200k():
    return byte_level(700, ["<|endoftext|>"], pre=split(O200K))


def tekken():
    return byte_level(700, ["<s>", "</s>"], pre=split(TEKKEN), ignore_merges=True)


def sentencepiece(size, fuse_unk, byte_fallback, specials_normalized=False, alphabet=()):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse_unk, byte_fallback=byte_fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    specials = ["<unk>", "<s>", "</s>"]
    if byte_fallback:
        specials += [f"<0x{byte:02X}>" for byte in range(256)]
    train(tokenizer, size, special_tokens=specials, limit_alphabet=90, initial_alphabet=list(alphabet))
    # The trainer makes all of them special; only the first three are.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [
        dict(token, normalized=specials_normalized) for token in state["added_tokens"] if token["id"] < 3
    ]
    state["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def llama2(**options):
    tokenizer = sentencepiece(1000, fuse_unk=True, byte_fallback=True, alphabet=["\u2581"], **options)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return tokenizer


def mistral():
    tokenizer = sentencepiece(1000, fuse_unk=True, byte_fallback=True, alphabet=["\u2581"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return tokenizer


def metaspace():
    """No byte fallback, unknown tokens one by one, words split at the mark, the decoder of the same name."""
    tokenizer = sentencepiece(600, fuse_unk=False, byte_fallback=False, alphabet=["\u2581"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def added():
    """Added tokens of every kind, in a pipeline whose normalizers change them."""
    tokenizer = byte_level(
        700,
        pre=split(QWEN2),
        normalizer=normalizers.Sequence(
            [
                normalizers.NFC(),
                normalizers.Lowercase(),
                normalizers.Replace("``", '"'),
                normalizers.Strip(left=True, right=False),
            ]
        ),
    )
    tokenizer.add_special_tokens(
        [
            AddedToken("<mask>", lstrip=True, rstrip=False, normalized=False),
            AddedToken("<sep>", lstrip=False, rstrip=True, normalized=False),
            AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("<Norm>", normalized=True),
            AddedToken("<|a|>", normalized=False),
            AddedToken("<|a|><|b|>", normalized=False),
        ]
    )
    tokenizer.add_tokens(
        [
            AddedToken("word", single_word=True, normalized=False),
            AddedToken("Yesterday", single_word=False, normalized=True),
            AddedToken("STRASSE", single_word=True, normalized=True),
            AddedToken("  ", normalized=False),
            AddedToken("\ufb01n", normalized=True),
            AddedToken("the", single_word=True, lstrip=True, rstrip=True, normalized=False),
        ]
    )
    return tokenizer


FAMILIES = {
    "gpt2": gpt2,
    "gpt2-prefix": gpt2_prefix,
    "llama3": llama3,
    "qwen2": qwen2,
    "o200k": o200k,
    "tekken": tekken,
    "llama2": llama2,
    "llama2-normalized": lambda: llama2(specials_normalized=True),
    "mistral": mistral,
    "metaspace": metaspace,
    "added": added,
}


def hard_cases():
    spaces = ["\u0020", "\u00a0", "\u3000", "\u2028", "\u2029", "\u0085", "\u200b", "\u202f", "\u1680", "\ufeff"]
    cases = [
        "", " ", "  ", "   a", "a   ", "\t", "\n", "\r\n", "\n\n\n", " \n ", "\t\t x\n\n  y \r\n\r\n z  ", "a\u0000b", "\u0000",
        "\u0001\u0002\u001f\u007f\u0080\u009f", "a\u000bb\u000cc\u001cd\u001de",
        "Hello, world!", " Hello", "hello  world   again", "x" * 70, "abc" * 50, "\u2581x \u2581\u2581 y", "a\u2581b",
        "\U0001f600", "\U0001f44d\U0001f3fd\U0001f44d", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466!",
        "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 flags", "\u2764\ufe0f\u200d\U0001f525", "1\ufe0f\u20e3 #\ufe0f\u20e3",
        "e\u0301 \u00e9", "a\u0323\u0307 a\u0307\u0323", "\u1e9b\u0323", "q\u0323\u0307\u0301", "\u0301start", "\u212b \u00c5 A\u030a",
        "\ufb01ne \ufb03", "\u0344 \u0390", "\u0958 \u09dc \u0f43", "\u2126 \u212a", "Z\u0351\u036b\u0343\u036a\u0302a",
        "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\u304b\u3099 \u30cf\u309a",
        "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \u1100\u1161 \u1161\u11a8", "\uf900 \U0002f800",
        "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05b9\u05dc\u05b8\u05dd", "\u0645\u0631\u062d\u0628\u0627\u064b \u0628\u0650\u0643\u064f\u0645\u0652 \u200fx\u200e",
        "\u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u094d\u0937", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u1f08\u0342\u0345 \u03b1\u0313\u0345",
        "0 12 123 1234 12345 1234567890", "3.14159e-10 1,000,000 0x1F", "\u0661\u0662\u0663\u0664 \u096a\u096b\u096c \u0ed0 \U0001d7d8\U0001d7d9\U0001d7da\U0001d7db",
        "x\u00b2 \u00bd \u2168 \u216b \u3007 \u2460\u2461 \u0bf0", "2024-01-31T23:59:59.999Z", "v1.2.3-rc4",
        "https://example.com/a/b?q=1&r=%20x#frag", "user.name+tag@example.co.uk", "C:\\Windows\\System32", "///// //comment\n/// doc",
        "def f(x):\n    return x**2  # square\n\n\nclass A:\n\tpass\n", "for (int i=0;i<10;++i){a[i]+=b->c;}", '{"k": [1, 2.5, null]}',
        "<html><body class=\"x\">&nbsp;</body></html>", "...!!!???", "--- *** ___ ```", "$100 \u20ac20 \u00a35", "a/b\\c|d", "!\n", "?!\r\n\r\n x", "a//\n/b",
        "don't won't I'm you're we've he'll she'd it's", "DON'T WON'T I'M YOU'RE WE'VE HE'LL SHE'D IT'S", "Don'T 'S 'Re 'vE 'LL' 'lL 'M",
        "it'\u017f 'ſt \u212a's don\u2019t", "'", "''", "'s", "'s's'", "a's b'sc 'st 'rest 'revere", "'\n's", " 's 't", "O'Reilly's 'tis", "x'", "'r", "'l", "'v\n",
        "McDonald iPhone HTTPServer getHTTPResponse XMLs ABCd", "\u01c5x \u01c4X \u01c6", "\u02b0a \u02b0A A\u02b0 a\u02b0B", "\u0300A a\u0300B A\u0300B \u0300",
        "\u0294\u0295 A\u0295", "\u6f22A\u5b57a B\u5b57", "AB\u0300C's ab'LL", "!\u0300a !\u0300A .A\u0300", "\u00c9COLE \u00c9cole \u00e9COLE",
        "\ufffd", "a\ufffdb\ufffd\ufffd", "\ue000\uf8ff \U000f0000", "\u0378 \U000e0fff \U0003fffd", "\ufdd0 \uffff", "\U00010940 \u088f \u1c89 \u0c5c \U0001e5d0",
        "\u0301\u0f73\u0323 \u0f75\u0301 \u0f71\u0f80\u0301", "\U00010041\u0301 \U00010061\u0301",
        "\u09fe\u0301 \u1df6\u0323 \u0898\u0323\u0301 \u1ac1\u0323", "\u32ff \ua7f2", "\u00ad\u200c\u200d\u2060",
        "\U0001d54f\U0001d550 \uff21\uff22\uff43 \uff11\uff12", "I\u0307 \u0130 \u0131 \u00df \u1e9e \u03a3\u03b1\u03c2", "\u01f0 \u0149 \u1f52 \ufb06",
        "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>", "<|endoftext", "<|im_start|>user\nHi<|im_end|>\n",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<think> x </think>", "<s>", "</s>", "a<s>b</s> c", " <s> ", "<s><s> x", "<unk>", "x <unk> y",
        "<0x41> <0x0A>", "<s", "\n<s>\n", "a <mask> b", "a  <mask>  b<mask>", "a <sep>  b", "a  <both>  b", "<both>  <mask> x", "<sep>  <mask>", "<sep>   ",
        "<Norm> <norm> <NORM>", "<|a|><|b|>", "<|a|><|a|><|b|> <|a|", "word words sword word. (word) word_ 1word \u0301word word\u0301 word", "wordword",
        "Yesterday yesterday YESTERDAY yesterdays", "strasse stra\u00dfe STRASSE.strasse xstrasse", "``quoted``", "  lead", "the  the the, thethe", "x the y", "the\u00a0the",
        "fin \ufb01n final", "a    b     c", "<mask><sep><both><mask>", " <mask>\u3000<sep>\u2028x", "\u4e00" * 40, "\u00e9" * 80, "ab\u00e9\U0001f600" * 30,
    ]
    cases += [f"a{space}b {space}{space}c{space}" for space in spaces]
    cases += [f"x{space * 3}\n{space}y" for space in spaces]
    generator = random.Random(7)
    pool = [c for case in cases for c in case]
    cases += ["".join(generator.choices(pool, k=generator.randint(2, 30))) for _ in range(120)]
    return cases


def normal_lines(name):
    return (DATA / name).read_bytes().decode().split("\n")


def fnv(hash_value, data):
    for byte in data:
        hash_value = ((hash_value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return hash_value


def text_hashes(tokenizer, name):
    lines = normal_lines(name)
    hashes = []
    for start in range(0, len(lines), 500):
        value = 0xCBF29CE484222325
        for encoding in tokenizer.encode_batch(lines[start : start + 500]):
            data = b"".join(i.to_bytes(4, "little") for i in encoding.ids) + b"\xff" * 4
            value = fnv(value, data)
        hashes.append(f"{value:016x}")
    return hashes


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = hard_cases()
    expected = {}
    hashes = {}
    for name, make in FAMILIES.items():
        tokenizer = make()
        state = json.loads(tokenizer.to_str())
        if name in ("gpt2", "llama2"):  # the older spelling of merges
            state["model"]["merges"] = [" ".join(pair) for pair in state["model"]["merges"]]
        text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
        (OUT / f"{name}.json").write_text(text)
        tokenizer = Tokenizer.from_str(text)
        rows = []
        for case in cases:
            ids = tokenizer.encode(case).ids
            assert ids[len(ids) - len(tokenizer.encode(case, add_special_tokens=False).ids) :] == (
                tokenizer.encode(case, add_special_tokens=False).ids
            )
            skipped, full = tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=False)
            rows.append([ids, skipped] if skipped == full else [ids, skipped, full])
        expected[name] = rows
        # Tokens in an order that no text gives: halves of characters, special tokens anywhere.
        generator = random.Random(11)
        size = tokenizer.get_vocab_size()
        wild = [[generator.randrange(size + 3) for _ in range(generator.randint(1, 12))] for _ in range(150)]
        expected[name + "/wild"] = [
            [ids, tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=False)] for ids in wild
        ]
        hashes[name] = {text: text_hashes(tokenizer, text) for text in TEXTS}
        print(name, size, file=sys.stderr)
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (OUT / "hard-cases.json").write_text(
        '{"texts":' + dump(cases) + "".join(f',\n"{k}":{dump(v)}' for k, v in expected.items()) + "}\n"
    )
    (OUT / "text-hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")


main()
