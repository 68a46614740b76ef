import SCXInference
import Testing

@Suite("text of others, as it is printed")
struct PrintableTextTests {
    @Test(
        "what a terminal would obey, or not show, is written as an escape",
        arguments: [
            ("a\u{1B}[2Jb", "a\\u{1B}[2Jb"), ("a\u{9B}31mb", "a\\u{009B}31mb"),
            ("user\u{202E}txt.exe", "user\\u{202E}txt.exe"),
            ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"), ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("\u{FEFF}a\u{0}", "\\u{FEFF}a\\0"), ("\u{7F}\u{200B}", "\\u{7F}\\u{200B}"),
        ])
    func escapes(text: String, printed: String) { #expect(text.printable() == printed) }

    @Test(
        "what people write stays",
        arguments: ["Grüße, 世界!", "e\u{301}", "👩\u{200D}⚕\u{FE0F}", "نمی\u{200C}خواهم", ""])
    func stays(text: String) { #expect(text.printable() == text) }

    @Test("lines stay where they are asked for, and lengths are kept")
    func lines() {
        #expect("a\n\tb\r".printable(keepsLines: true) == "a\n\tb\\r")
        #expect("abcdef".printable(longest: 3) == "abc…")
        #expect("abc".printable(longest: 3) == "abc")
    }
}
