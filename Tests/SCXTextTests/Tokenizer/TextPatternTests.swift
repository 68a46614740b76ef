import SCXInference
import SCXText
import Testing

/// Regular expressions, seen through a tokenizer that splits at them.
@Suite("regular expressions of tokenizer files")
struct TextPatternTests {
    private static func pieces(_ expression: String, of text: String) throws -> [String] {
        let tokenizer = try StepFixtures.revealing(preTokenizer: StepFixtures.split(expression))
        return StepFixtures.revealed(text, tokenizer).split(separator: "\u{2581}").map(String.init)
    }

    static let examples: [(expression: String, text: String, pieces: [String])] = [
        ("a|ab", "abab", ["a", "b", "a", "b"]),
        ("ab|a", "abaab", ["ab", "a", "ab"]),
        ("a+?b?", "aaab", ["a", "a", "ab"]),
        ("(?:a|ab)(?:c|bcd)(?:d*)", "abcdx", ["abcd", "x"]),
        ("x{2,3}", "xxxxxx1x", ["xxx", "xxx", "1x"]),
        ("x{,2}?y", "xxxy", ["x", "xxy"]),
        ("[a-c&&[^b]]+", "abca", ["a", "b", "ca"]),
        ("(?<=a)b|c(?!d)", "ab-bcd-c", ["a", "b", "-bcd-", "c"]),
        ("a++b|a", "aaab-aa", ["aaab", "-", "a", "a"]),
        ("(?>a|ab)c", "acabc", ["ac", "abc"]),
        ("\\d{1,3}(?=(?:\\d{3})*$)", "1234567", ["1", "234", "567"]),
        ("\\bon\\b|\\Bon", "on-upon-onto", ["on", "-up", "on", "-onto"]),
        ("(?i)hallo|K", "hALLO-\u{212A}k", ["hALLO", "-", "\u{212A}", "k"]),
        ("(?x) a b # and a comment", "abab", ["ab", "ab"]),
        ("\\R", "a\r\nb\rc", ["a", "\r\n", "b", "\r", "c"]),
        ("\\x41\\x{1F600}?\\u0042", "xAB-A\u{1F600}B", ["x", "AB", "-", "A\u{1F600}B"]),
        ("[]a]|[x-]", "]a-b", ["]", "a", "-", "b"]),
        ("\\p{Lu}\\p{Ll}+|\\p{^Letter}", "AbcD9", ["Abc", "D", "9"]),
    ]

    @Test("what a pattern matches", arguments: examples.indices)
    func example(index: Int) throws {
        let (expression, text, pieces) = Self.examples[index]
        #expect(try Self.pieces(expression, of: text) == pieces)
    }

    static let faults: [(expression: String, error: String)] = [
        ("(a", "the pre_tokenizer 'Split' has a pattern '(a' that has a '(' without a ')'"),
        ("a)", "the pre_tokenizer 'Split' has a pattern 'a)' that has a ')' without a '('"),
        ("[a", "the pre_tokenizer 'Split' has a pattern '[a' that has a '[' without a ']'"),
        ("[]", "the pre_tokenizer 'Split' has a pattern '[]' that has an empty '[]'"),
        ("*a", "the pre_tokenizer 'Split' has a pattern '*a' that repeats nothing with '*'"),
        ("a\\", "the pre_tokenizer 'Split' has a pattern 'a\\\\' that ends in a backslash"),
        (
            "[b-a]",
            "the pre_tokenizer 'Split' has a pattern '[b-a]' that has a range from a greater character to a lesser one"
        ),
        ("(a)\\1", unsupported("(a)\\\\1", "a reference back to a group")),
        ("\\X", unsupported("\\\\X", "'\\X'")),
        ("a\\Kb", unsupported("a\\\\Kb", "'\\K'")),
        ("\\p{Klingon}", unsupported("\\\\p{Klingon}", "the property 'Klingon'")),
        (
            "(?i:ss)",
            unsupported("(?i:ss)", "'s' in a text without regard to case that several characters equal")
        ),
        ("(?>a+b)", unsupported("(?>a+b)", "'(?>…)' around a part of varying length")),
        ("(?~a)", unsupported("(?~a)", "'(?~'")),
        (
            "((.?){900}){900}",
            unsupported("((.?){900}){900}", "more than 4096 characters, those of intervals counted")
        ),
        (
            "(((){100000}){100000}){100000}",
            unsupported("(((){100000}){100000}){100000}", "more than 32768 parts, those of intervals counted")
        ),
        ("(a?){2000}", unsupported("(a?){2000}", "more than 8192 steps between its characters")),
    ]

    private static func unsupported(_ shown: String, _ what: String) -> String {
        "unsupported pre_tokenizer 'Split' with the pattern '\(shown)', which has \(what)"
    }

    @Test("a pattern that is none, or asks for too much, gives one line", arguments: faults.indices)
    func fault(index: Int) throws {
        let (expression, expected) = Self.faults[index]
        let error = try #require(throws: TokenizerError.self) {
            try StepFixtures.revealing(preTokenizer: StepFixtures.split(expression))
        }
        #expect(error.description == "steps.json: " + expected)
    }

    @Test("groups, sets and repetitions within each other have a bound")
    func nesting() throws {
        for (open, close) in [("(", ")"), ("[a", "]"), ("(?>", ")"), ("(?=", ")"), ("(?i)", "")] {
            let deep = String(repeating: open, count: 2000) + "a" + String(repeating: close, count: 2000)
            #expect(throws: TokenizerError.self) {
                try StepFixtures.revealing(preTokenizer: StepFixtures.split(deep))
            }
        }
        for deep in [
            "a" + String(repeating: "*?", count: 2000),
            String(repeating: "(?>a|b*|", count: 30) + "a" + String(repeating: ")", count: 30),
        ] {
            #expect(throws: TokenizerError.self) {
                try StepFixtures.revealing(preTokenizer: StepFixtures.split(deep))
            }
        }
    }

    @Test(
        "no pattern takes more than time in proportion to the text", .timeLimit(.minutes(60)),
        arguments: [
            "\\s+$", "(?:a|a)*b|c", "(?:a+)+b|x", "(?=(?:a+)+b).", "(?<=b(?:a+)+)c", ".*x|y", "(?:.*){5}z|q",
            "a{1,300}b", "(?:a?){100}c", "\\w+\\W*!|\\w",
        ])
    func linear(expression: String) throws {
        let tokenizer = try StepFixtures.revealing(preTokenizer: StepFixtures.split(expression))
        #if DEBUG
            let count = 20_000
        #else
            let count = 300_000
        #endif
        for unit in ["a", " ", "ab", "a \u{6F22}"] {
            let text = String(repeating: unit, count: count / unit.utf8.count)
            let count = { (text: String) in text.utf8.count { $0 == UInt8(ascii: "a") } }
            #expect(count(StepFixtures.revealed(text, tokenizer)) == count(text))
        }
    }

    @Test("the way that is taken when a search takes too long gives the same matches")
    func fallback() throws {
        let text = String(
            try TokenizerFixtures.hardTexts().joined(separator: "\n").unicodeScalars.filter {
                $0 != "\u{E000}"
            }
            .map { Character($0) })
        let expressions = StepFixtures.entries("encoding").compactMap {
            $0["pre_tokenizer"]?["pattern"]?["Regex"]?.string
        }
        try #require(expressions.count > 20)
        for expression in expressions {
            let quick = try StepFixtures.revealing(preTokenizer: StepFixtures.split(expression))
            // Looks for U+E000 up to the end of the text at every match, and finds none.
            let slow = try StepFixtures.revealing(
                preTokenizer: StepFixtures.split("(?m:.*)\\x{E000}|" + expression))
            #expect(quick.encode(text) == slow.encode(text), "\(expression)")
        }
    }
}
