extension Unicode.Scalar {
    /// What Python's `str.isspace` and a bare `strip()` take for white space.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
            0x3000:
            true
        default: false
        }
    }

    var isASCIIDigit: Bool { ("0"..."9").contains(self) }

    /// What Python's `repr` shows as it is.
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
            false
        case .spaceSeparator: self == " "
        default: true
        }
    }

    fileprivate var isCased: Bool {
        properties.isLowercase || properties.isUppercase || properties.generalCategory == .titlecaseLetter
    }
}

/// Python's strings: rows of code points, equal when these are.
extension String {
    init(scalars: some Sequence<Unicode.Scalar>) {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }

    var scalarCount: Int { unicodeScalars.count }

    func equalsBytes(of other: String) -> Bool {
        utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
    }

    func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }

    func strippedPython(_ characters: String?, left: Bool = true, right: Bool = true) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func drops(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var view = unicodeScalars[...]
        while left, let first = view.first, drops(first) { view.removeFirst() }
        while right, let last = view.last, drops(last) { view.removeLast() }
        return String(view)
    }

    /// Places, in bytes, of the first `limit` parts that equal `part` and do not overlap; linear in both lengths.
    func places(of part: String, limit: Int = .max) -> [Int] {
        let text = Array(utf8)
        let wanted = Array(part.utf8)
        guard !wanted.isEmpty, text.count >= wanted.count, limit > 0 else { return [] }
        // How much of `wanted` is still matched after its first i + 1 bytes matched and the next did not.
        var fallback = [Int](repeating: 0, count: wanted.count)
        var matched = 0
        for i in 1..<max(1, wanted.count) {
            while matched > 0, wanted[i] != wanted[matched] { matched = fallback[matched - 1] }
            if wanted[i] == wanted[matched] { matched += 1 }
            fallback[i] = matched
        }
        var places: [Int] = []
        matched = 0
        for (i, byte) in text.enumerated() {
            while matched > 0, byte != wanted[matched] { matched = fallback[matched - 1] }
            if byte == wanted[matched] { matched += 1 }
            if matched == wanted.count {
                places.append(i + 1 - wanted.count)
                if places.count == limit { break }
                matched = 0
            }
        }
        return places
    }

    func containsBytes(of part: String) -> Bool { part.isEmpty || !places(of: part, limit: 1).isEmpty }

    /// The text between these byte places, which must lie between code points.
    func bytes(_ range: Range<Int>) -> String {
        let start = utf8.index(utf8.startIndex, offsetBy: range.lowerBound)
        let end = utf8.index(start, offsetBy: range.count)
        return String(self[start..<end])
    }

    /// The parts around each separator.
    func split(byBytesOf separator: String, limit: Int = .max) -> [String] {
        var parts: [String] = []
        var start = utf8.startIndex
        var offset = 0
        for place in places(of: separator, limit: limit) {
            let end = utf8.index(start, offsetBy: place - offset)
            parts.append(String(self[start..<end]))
            start = utf8.index(end, offsetBy: separator.utf8.count)
            offset = place + separator.utf8.count
        }
        return parts + [String(self[start...])]
    }

    /// The words between white space; after `limit` cuts the rest stays one part.
    func splitPython(limit: Int = .max) -> [String] {
        var parts: [String] = []
        var rest = unicodeScalars[...].drop { $0.isPythonSpace }
        while !rest.isEmpty {
            if parts.count == limit {
                parts.append(String(rest))
                break
            }
            let word = rest.prefix { !$0.isPythonSpace }
            parts.append(String(word))
            rest = rest[word.endIndex...].drop { $0.isPythonSpace }
        }
        return parts
    }

    func splitLinesPython(keepsEnds: Bool = false) -> [String] {
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        var rest = unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar.value {
            case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
                var end = String(scalar)
                if scalar == "\r", rest.first == "\n" {
                    rest.removeFirst()
                    end += "\n"
                }
                lines.append(String(line) + (keepsEnds ? end : ""))
                line = String.UnicodeScalarView()
            default: line.append(scalar)
            }
        }
        return line.isEmpty ? lines : lines + [String(line)]
    }

    /// Capital first letters of runs of cased letters, small ones after.
    func titledPython() -> String {
        var result = ""
        var follows = false
        for scalar in unicodeScalars {
            let properties = scalar.properties
            result += follows ? properties.lowercaseMapping : properties.titlecaseMapping
            follows = scalar.isCased
        }
        return result
    }

    func capitalizedPython() -> String {
        guard let first = unicodeScalars.first else { return self }
        return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).loweredPython()
    }

    /// Small letters; a sigma that ends a word has a form of its own.
    func loweredPython() -> String {
        guard unicodeScalars.contains("Σ") else { return lowercased() }
        let all = Array(unicodeScalars)
        var result = ""
        for (place, scalar) in all.enumerated() {
            guard scalar == "Σ" else {
                result += scalar.properties.lowercaseMapping
                continue
            }
            let before = all[..<place].last { !$0.properties.isCaseIgnorable }
            let after = all[(place + 1)...].first { !$0.properties.isCaseIgnorable }
            result += before?.isCased == true && after?.isCased != true ? "ς" : "σ"
        }
        return result
    }

    func isCasedPython(
        _ wanted: KeyPath<Unicode.Scalar.Properties, Bool>, never: KeyPath<Unicode.Scalar.Properties, Bool>
    ) -> Bool {
        var found = false
        for scalar in unicodeScalars {
            let properties = scalar.properties
            if properties[keyPath: never] || properties.generalCategory == .titlecaseLetter { return false }
            found = found || properties[keyPath: wanted]
        }
        return found
    }

    /// The string as Python's `repr` writes it.
    var pythonRepresentation: String {
        let quote: Unicode.Scalar = utf8.contains(0x27) && !utf8.contains(0x22) ? "\"" : "'"
        var result = String.UnicodeScalarView()
        result.append(quote)
        for scalar in unicodeScalars {
            switch scalar {
            case quote, "\\": result.append(contentsOf: "\\\(scalar)".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            case _ where scalar.isPrintable: result.append(scalar)
            default:
                let (mark, length) =
                    scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                result.append(contentsOf: "\\\(mark)\(scalar.value.hex(length))".unicodeScalars)
            }
        }
        result.append(quote)
        return String(result)
    }

    /// The string as Python's `json.dumps` writes it.
    func jsonRepresentation(onlyASCII: Bool) -> String {
        var result = "\"".unicodeScalars
        for scalar in unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C: result.append(contentsOf: "\\\(scalar)".unicodeScalars)
            case 0x08: result.append(contentsOf: "\\b".unicodeScalars)
            case 0x09: result.append(contentsOf: "\\t".unicodeScalars)
            case 0x0A: result.append(contentsOf: "\\n".unicodeScalars)
            case 0x0C: result.append(contentsOf: "\\f".unicodeScalars)
            case 0x0D: result.append(contentsOf: "\\r".unicodeScalars)
            case 0..<0x20: result.append(contentsOf: "\\u\(scalar.value.hex(4))".unicodeScalars)
            case 0x7F... where onlyASCII:
                for unit in UTF16.encode(scalar) ?? .init() {
                    result.append(contentsOf: "\\u\(UInt32(unit).hex(4))".unicodeScalars)
                }
            default: result.append(scalar)
            }
        }
        result.append("\"")
        return String(result)
    }
}

extension UInt32 {
    fileprivate func hex(_ length: Int) -> String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: Swift.max(0, length - digits.utf8.count)) + digits
    }
}

extension Double {
    /// The number as Python's `repr` writes it: shortest digits, an exponent below 1e-4 and from 1e16.
    var pythonRepresentation: String {
        guard isFinite else { return isNaN ? "nan" : self < 0 ? "-inf" : "inf" }
        guard self != 0 else { return sign == .minus ? "-0.0" : "0.0" }
        // Swift's shortest digits are the same; only their layout differs.
        let parts = magnitude.description.lowercased().split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let fraction = mantissa.count > 1 ? String(mantissa[1]) : ""
        var digits = String(mantissa[0]) + fraction
        var point = mantissa[0].utf8.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        let leading = digits.prefix { $0 == "0" }.count
        digits.removeFirst(leading)
        point -= leading
        while digits.last == "0" { digits.removeLast() }
        let minus = self < 0 ? "-" : ""
        if point > 16 || point < -3 {
            let exponent = point - 1
            let rest = digits.dropFirst().isEmpty ? "" : "." + digits.dropFirst()
            let padded = (abs(exponent) < 10 ? "0" : "") + "\(abs(exponent))"
            return "\(minus)\(digits.prefix(1))\(rest)e\(exponent < 0 ? "-" : "+")\(padded)"
        }
        if point <= 0 { return "\(minus)0." + String(repeating: "0", count: -point) + digits }
        if digits.count <= point {
            return minus + digits + String(repeating: "0", count: point - digits.count) + ".0"
        }
        return "\(minus)\(digits.prefix(point)).\(digits.dropFirst(point))"
    }
}
