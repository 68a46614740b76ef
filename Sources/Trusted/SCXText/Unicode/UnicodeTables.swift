/// What characters are, in the versions of Unicode that the `tokenizers` package asks.
///
/// The standard library's own answers are those of whatever version the system has, and tokens must not depend on it.
enum UnicodeTables {
    /// General categories, named as Unicode abbreviates them.
    enum Category: Int, CaseIterable {
        case lu, ll, lt, lm, lo, mn, mc, me, nd, nl, no, pc, pd, ps, pe, pi, pf, po
        case sm, sc, sk, so, zs, zl, zp, cc, cf, cs, co, cn
    }

    /// A map of all characters as ranges of equal values.
    struct Runs: Sendable {
        let runs: [(range: Range<UInt32>, value: Int)]

        /// Takes lengths and values by turns.
        init(_ text: String) {
            let numbers = UnicodeTables.numbers(text)
            var at: UInt32 = 0
            var runs: [(range: Range<UInt32>, value: Int)] = []
            for i in stride(from: 0, to: numbers.count - 1, by: 2) {
                runs.append((at..<at + numbers[i], Int(numbers[i + 1])))
                at += numbers[i]
            }
            self.runs = runs
        }

        /// The characters whose value passes a test.
        func characters(_ test: (Int) -> Bool) -> ScalarRanges {
            ScalarRanges(runs.filter { test($0.value) }.map(\.range))
        }

        /// The same map, quicker to look up; values are below 256.
        var map: ScalarMap { ScalarMap(runs.map { ($0.range, UInt8(truncatingIfNeeded: $0.value)) }) }
    }

    static let categories = Runs(categoryRuns)
    static let scripts = Runs(scriptRuns)
    static let legacyScripts = Runs(legacyScriptRuns).map
    static let combiningClasses = Runs(combiningClassRuns)

    static let numeric = ScalarMap(set(numericSet))
    static let punctuation = ScalarMap(set(punctuationSet))
    static let removedByCleaning = ScalarMap(set(removedByCleaningSet))
    static let nonspacing = ScalarMap(set(nonspacingSet))
    static let combining = ScalarMap(set(combiningSet))
    static let word = ScalarMap(set(wordSet))

    /// The property White_Space: all versions of Unicode since 6.3 agree on it.
    static let whiteSpace = ScalarMap(whiteSpaceSet)
    static let whiteSpaceSet = categories.characters {
        [Category.zs, .zl, .zp].map(\.rawValue).contains($0)
    }.union(ScalarRanges([0x09..<0x0E, 0x85..<0x86]))

    /// Decodes a set of `UnicodeTables+Data.swift`.
    static func set(_ text: String) -> ScalarRanges { ScalarRanges(runLengths: numbers(text)) }

    /// Decodes numbers of `UnicodeTables+Data.swift`: base 64 of seven bits a byte.
    static func numbers(_ text: String) -> [UInt32] {
        var numbers: [UInt32] = []
        var number: UInt32 = 0
        var shift: UInt32 = 0
        for byte in Base64.decode(text.utf8) ?? [] {
            number |= UInt32(byte & 0x7F) << shift
            shift += 7
            if byte & 0x80 == 0 {
                numbers.append(number)
                (number, shift) = (0, 0)
            }
        }
        return numbers
    }

    /// The least character that is the same but for case, for those that have a lesser one.
    static let caseFolding: [UInt32: UInt32] = {
        let numbers = UnicodeTables.numbers(caseFoldings)
        var folding: [UInt32: UInt32] = [:]
        var scalar: UInt32 = 0
        for i in stride(from: 0, to: numbers.count - 1, by: 2) {
            scalar += numbers[i]
            folding[scalar] = scalar - numbers[i + 1]
        }
        return folding
    }()

    /// Characters that equal several others but for case, with those in lower case.
    static let longFolding: [UInt32: [UInt32]] = {
        let numbers = UnicodeTables.numbers(longFoldings)
        var folding: [UInt32: [UInt32]] = [:]
        var (scalar, at): (UInt32, Int) = (0, 0)
        while at + 1 < numbers.count {
            scalar += numbers[at]
            let end = at + 2 + Int(numbers[at + 1])
            folding[scalar] = Array(numbers[at + 2..<end])
            at = end
        }
        return folding
    }()
}

/// Base 64 as RFC 4648 has it, with or without the padding.
enum Base64 {
    /// The bytes, nil for anything that is no base 64.
    static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        var isOver = false
        for character in text {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="):
                isOver = true
                continue
            default: return nil
            }
            guard !isOver else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}
