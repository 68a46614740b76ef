import SCXEngine
import Testing

@Suite("stop strings")
struct StopMatcherTests {
    /// What is shown of these pieces, and the stop string that ended them.
    static func show(_ pieces: [String], _ strings: [String]) -> (text: String, found: String?) {
        var matcher = StopMatcher(strings)
        var text = ""
        for piece in pieces { text += matcher.append(piece) }
        return (text + matcher.finish(), matcher.found)
    }

    @Test(
        "text is cut before the stop string, however it is cut into pieces",
        arguments: [
            ("Hello\nUser: hi", ["\nUser:"], "Hello", "\nUser:"),
            ("aaab", ["aab"], "a", "aab"),
            ("abababac", ["ababac"], "ab", "ababac"),
            ("one STOP", ["STOP", "one STOX"], "one ", "STOP"),
            ("never", ["stop", "verb"], "never", nil),
            ("ends with sto", ["stop"], "ends with sto", nil),
            ("wörld 👩‍⚕️ end", ["👩‍⚕️"], "wörld ", "👩‍⚕️"),
            ("xyz", ["z", "yz"], "x", "yz"),
            ("<|end|>", ["<|end|>"], "", "<|end|>"),
            ("", ["a"], "", nil),
            ("plain", ["", ""], "plain", nil),
        ] as [(String, [String], String, String?)])
    func cuts(text: String, strings: [String], shown: String, found: String?) {
        let scalars = Array(text.unicodeScalars)
        func piece(_ range: Range<Int>) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars[range])
            return String(view)
        }
        for first in 0...scalars.count {
            for second in first...scalars.count {
                let pieces = [piece(0..<first), piece(first..<second), piece(second..<scalars.count)]
                let result = Self.show(pieces, strings)
                #expect(result.text == shown && result.found == found)
            }
        }
        let single = Self.show(scalars.indices.map { piece($0..<$0 + 1) }, strings)
        #expect(single.text == shown && single.found == found)
    }

    @Test("only what may begin a stop string is held back")
    func held() {
        var matcher = StopMatcher(["</s>", "END"])
        #expect(matcher.append("text <") == "text ")
        #expect(matcher.append("b") == "<b")
        #expect(matcher.append(" EN") == " ")
        #expect(matcher.append("E") == "EN")
        #expect(matcher.append("ND and more") == "")
        #expect(matcher.found == "END")
        #expect(matcher.append("more") == "" && matcher.finish() == "")
    }

    @Test("stop tokens end an answer unless they are ignored")
    func tokens() {
        var conditions = StopConditions(tokens: [2])
        #expect(conditions.ends(with: 2) && !conditions.ends(with: 3))
        conditions.ignoresTokens = true
        #expect(!conditions.ends(with: 2))
    }
}
