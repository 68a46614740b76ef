/// Filters that cut lists into lists and fit texts to a width.
extension TemplateRun {
    func arranged(
        _ value: TemplateValue, _ name: String, _ bound: [TemplateValue?]
    ) throws(TemplateError) -> TemplateValue {
        switch name {
        case "attr": return try ownAttribute(try text(bound[0], name), of: value)
        case "groupby": return try grouped(value, bound)
        default: break
        }
        let count = try integer(bound[0], name)
        guard count > 0 else { throw fault("'\(name)' needs a number above 0") }
        try spend(steps: count)
        let items = try items(of: value)
        var parts: [TemplateValue] = []
        if name == "batch" {
            for start in stride(from: 0, to: items.count, by: count) {
                let part = Array(items[start..<min(start + count, items.count)])
                parts.append(try list(try filled(part, to: count, bound[1])))
            }
        } else {
            // The first lists take what is left over.
            let (size, longer) = items.count.quotientAndRemainder(dividingBy: count)
            var start = 0
            for place in 0..<count {
                let part = Array(items[start..<(start + size + (place < longer ? 1 : 0))])
                start += part.count
                let isFilled = place >= longer
                parts.append(try list(isFilled ? try filled(part, to: part.count + 1, bound[1]) : part))
            }
        }
        return try list(parts, .generator)
    }

    private func filled(
        _ items: [TemplateValue], to count: Int, _ filler: TemplateValue?
    ) throws(TemplateError) -> [TemplateValue] {
        guard let filler else { return items }
        if case .none = filler { return items }
        try spend(steps: count)
        return items + Array(repeating: filler, count: max(0, count - items.count))
    }

    /// An attribute alone: a dict's members are none.
    private func ownAttribute(_ name: String, of value: TemplateValue) throws(TemplateError) -> TemplateValue
    {
        if case .dict = value, !Self.methodNames(of: value).contains(name) {
            return .undefined("dict has no such attribute")
        }
        return try attribute(name, of: value)
    }

    private func grouped(_ value: TemplateValue, _ bound: [TemplateValue?]) throws(TemplateError)
        -> TemplateValue
    {
        let pairs = try keys(try items(of: value), bound[0], bound[2], default: bound[1])
        let sorted = try sortedPairs(pairs, isReversed: false)
        var groups: [(key: TemplateValue, items: [TemplateValue])] = []
        for pair in sorted {
            if let last = groups.last, try equal(last.key, pair.key) {
                groups[groups.count - 1].items.append(pair.item)
            } else {
                groups.append((pair.key, [pair.item]))
            }
        }
        var result: [TemplateValue] = []
        for group in groups {
            // The name is written as the first item has it.
            let name = try part(bound[0], of: group.items[0], default: bound[1])
            result.append(try list([name, try list(group.items)], .group))
        }
        return try list(result)
    }

    /// `center` and `truncate`.
    func fitted(_ text: String, _ name: String, _ bound: [TemplateValue?]) throws(TemplateError) -> String {
        let length = try bound[0].map { value throws(TemplateError) in try integer(value, name) }
        let count = text.scalarCount
        if name == "center" {
            let missing = max(0, min(length ?? 80, Self.mostOutput / 4) - count)
            // An odd blank stands left of an odd width's text, else right.
            let left = missing / 2 + (missing & (length ?? 80) & 1)
            return String(repeating: " ", count: left) + text + String(repeating: " ", count: missing - left)
        }
        let end = try bound[2].map { value throws(TemplateError) in try self.text(value, name) } ?? "..."
        let leeway = try bound[3].map { value throws(TemplateError) in try integer(value, name) } ?? 5
        let most = length ?? 255
        guard most >= end.scalarCount, leeway >= 0, most <= Self.mostOutput, leeway <= Self.mostOutput else {
            throw fault("'truncate' needs a length of at least its end's, and a leeway of at least 0")
        }
        guard count > most + leeway else { return text }
        let cut = String(scalars: text.unicodeScalars.prefix(most - end.scalarCount))
        if bound[1]?.isTrue == true { return cut + end }
        guard let blank = cut.unicodeScalars.lastIndex(of: " ") else { return cut + end }
        return String(cut[..<blank]) + end
    }

    /// A text, or the pairs of a dict or list, as in an address.
    func percentEncoded(_ value: TemplateValue) throws(TemplateError) -> String {
        func encoded(_ value: TemplateValue, inPair: Bool) throws(TemplateError) -> String {
            let text = try string(value)
            try spend(text: text.utf8.count)
            return text.percentEncoded(inPair: inPair)
        }
        let pairs: [TemplateValue]
        switch value {
        case .dict(let dict): pairs = try self.pairs(of: dict)
        case .list(let list): pairs = list.walk()
        default: return try encoded(value, inPair: false)
        }
        var parts: [String] = []
        for pair in pairs {
            let items = try items(of: pair)
            guard items.count == 2 else { throw fault("'urlencode' needs pairs") }
            parts.append(try encoded(items[0], inPair: true) + "=" + (try encoded(items[1], inPair: true)))
        }
        return parts.joined(separator: "&")
    }
}

extension String {
    /// The text with names for the signs of HTML.
    var escapedHTML: String {
        let names: [Unicode.Scalar: String] = [
            "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&#34;", "'": "&#39;",
        ]
        return unicodeScalars.reduce(into: "") { $0 += names[$1] ?? String($1) }
    }

    /// Runs of letters, digits and underscores.
    var wordCountPython: Int {
        var count = 0
        var isInside = false
        for scalar in unicodeScalars {
            let isWord =
                scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
            if isWord, !isInside { count += 1 }
            isInside = isWord
        }
        return count
    }

    /// The text as it stands in an address; in a pair a blank is a plus sign and a slash is encoded too.
    fileprivate func percentEncoded(inPair: Bool) -> String {
        var result = ""
        for byte in utf8 {
            let scalar = Unicode.Scalar(byte)
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", "_", ".", "-", "~": result.unicodeScalars.append(scalar)
            case "/" where !inPair: result += "/"
            case " " where inPair: result += "+"
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += "%" + (digits.utf8.count == 1 ? "0" : "") + digits
            }
        }
        return result
    }
}
