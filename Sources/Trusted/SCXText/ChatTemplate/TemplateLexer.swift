/// A piece of a template: text between tags, a mark that opens or closes a tag, or a word inside one.
enum TemplateToken: Equatable {
    case text(String)
    case outputBegin
    case outputEnd
    case tagBegin
    case tagEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    case mark(String)
    case end

    /// What an error says was found.
    var named: String {
        switch self {
        case .text: "text"
        case .outputBegin: "'{{'"
        case .outputEnd: "'}}'"
        case .tagBegin: "'{%'"
        case .tagEnd: "'%}'"
        case .name(let name): "'\(name)'"
        case .string: "a string"
        case .integer, .float: "a number"
        case .mark(let mark): "'\(mark)'"
        case .end: "the end of the template"
        }
    }
}

/// Cuts a template into tokens as Jinja does with `trim_blocks` and `lstrip_blocks`.
///
/// A line break after a tag or comment is dropped, and so are blanks between the start of a line and a tag; a `-`
/// inside the tag drops all white space on its side, a `+` keeps it. One line break at the very end is dropped.
struct TemplateLexer {
    private let template: String
    private let source: [Unicode.Scalar]
    private var at = 0
    private var line = 1
    /// The last mark ended a line, or nothing was read yet.
    private var lineStarts = true
    private var tokens: [(token: TemplateToken, line: Int)] = []

    static func tokens(
        of source: String, template: String
    ) throws(TemplateError) -> [(token: TemplateToken, line: Int)] {
        var lexer = TemplateLexer(source, template)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ source: String, _ template: String) {
        self.template = template
        var scalars: [Unicode.Scalar] = []
        for scalar in source.unicodeScalars {
            if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
            scalars.append(scalar)
        }
        if let last = scalars.last, last == "\n" || last == "\r" { scalars.removeLast() }
        self.source = scalars.map { $0 == "\r" ? "\n" : $0 }
    }

    private func fault(_ reason: String) -> TemplateError {
        TemplateError(template: template, line: line, reason: reason)
    }

    private func looking(at text: StaticString, from place: Int) -> Bool {
        guard place + text.utf8CodeUnitCount <= source.count else { return false }
        for i in 0..<text.utf8CodeUnitCount {
            guard unsafe source[place + i].value == UInt32(text.utf8Start[i]) else { return false }
        }
        return true
    }

    private func scalar(_ place: Int) -> Unicode.Scalar? { place < source.count ? source[place] : nil }

    private func skippingSpace(_ place: Int) -> Int {
        var place = place
        while place < source.count, source[place].isPythonSpace { place += 1 }
        return place
    }

    private mutating func emit(_ token: TemplateToken) { tokens.append((token, line)) }

    /// Moves on, counting lines.
    private mutating func advance(to place: Int) {
        for i in at..<place where source[i] == "\n" { line += 1 }
        if place > at { lineStarts = source[place - 1] == "\n" }
        at = place
    }

    private mutating func run() throws(TemplateError) {
        while at < source.count {
            var open = at
            while open < source.count,
                !(source[open] == "{" && "{%#".unicodeScalars.contains(scalar(open + 1) ?? " "))
            {
                open += 1
            }
            guard open < source.count else {
                emitText(source[at...])
                advance(to: source.count)
                break
            }
            try tag(at: open)
        }
        emit(.end)
    }

    private mutating func emitText(_ text: ArraySlice<Unicode.Scalar>) {
        guard !text.isEmpty else { return }
        var string = String.UnicodeScalarView()
        string.append(contentsOf: text)
        emit(.text(String(string)))
    }

    /// The text before a tag without what the tag's sign or the rule about line starts drops.
    private mutating func emitText(before open: Int, sign: Unicode.Scalar?, isOutput: Bool) {
        var end = open
        if sign == "-" {
            while end > at, source[end - 1].isPythonSpace { end -= 1 }
        } else if sign != "+", !isOutput {
            var start = open
            while start > at, source[start - 1] != "\n", source[start - 1].isPythonSpace { start -= 1 }
            if start == at
                ? (lineStarts || (start > 0 && source[start - 1] == "\n")) : source[start - 1] == "\n"
            {
                end = start
            }
        }
        emitText(source[at..<end])
        advance(to: open)
    }

    private mutating func tag(at open: Int) throws(TemplateError) {
        let sign = scalar(open + 2).flatMap { $0 == "-" || $0 == "+" ? $0 : nil }
        let inside = open + (sign == nil ? 2 : 3)
        if source[open + 1] == "%", let body = rawBegin(inside) {
            emitText(before: open, sign: sign, isOutput: false)
            advance(to: body)
            return try raw()
        }
        emitText(before: open, sign: sign, isOutput: source[open + 1] == "{")
        switch source[open + 1] {
        case "#":
            // Jinja reads the sign as part of the comment's beginning, so `{#-#}` is whole.
            guard let close = (inside..<source.count).first(where: { looking(at: "#}", from: $0) }) else {
                throw fault("a comment does not end")
            }
            advance(to: closing(close, signAt: close > inside ? close - 1 : nil))
        case "%":
            emit(.tagBegin)
            advance(to: inside)
            try words(closing: "%}", end: .tagEnd)
        default:
            emit(.outputBegin)
            advance(to: inside)
            try words(closing: "}}", end: .outputEnd)
        }
    }

    /// The place after a closing mark and what it drops of the text behind it.
    private func closing(_ mark: Int, signAt: Int?) -> Int {
        switch signAt.flatMap(scalar) {
        case "-": skippingSpace(mark + 2)
        case "+": mark + 2
        default: scalar(mark + 2) == "\n" ? mark + 3 : mark + 2
        }
    }

    /// The place after `raw %}`, when that stands here.
    private func rawBegin(_ inside: Int) -> Int? {
        let word = skippingSpace(inside)
        guard looking(at: "raw", from: word) else { return nil }
        let close = skippingSpace(word + 3)
        if looking(at: "-%}", from: close) { return skippingSpace(close + 3) }
        return looking(at: "%}", from: close) ? close + 2 : nil
    }

    private mutating func raw() throws(TemplateError) {
        for open in at..<max(at, source.count) where looking(at: "{%", from: open) {
            let sign = scalar(open + 2).flatMap { $0 == "-" || $0 == "+" ? $0 : nil }
            let word = skippingSpace(open + (sign == nil ? 2 : 3))
            guard looking(at: "endraw", from: word) else { continue }
            let close = skippingSpace(word + 6)
            let signed = scalar(close) == "-" || scalar(close) == "+"
            let mark = signed ? close + 1 : close
            guard looking(at: "%}", from: mark) else { continue }
            emitText(before: open, sign: sign, isOutput: false)
            return advance(to: closing(mark, signAt: signed ? close : nil))
        }
        throw fault("'raw' does not end")
    }

    private mutating func words(closing mark: StaticString, end: TemplateToken) throws(TemplateError) {
        var brackets: [Unicode.Scalar] = []
        while let next = scalar(at) {
            if brackets.isEmpty {
                let signed = next == "-" || (next == "+" && end == .tagEnd)
                let place = signed ? at + 1 : at
                if looking(at: mark, from: place) {
                    emit(end)
                    if end == .tagEnd { return advance(to: closing(place, signAt: signed ? at : nil)) }
                    return advance(to: signed ? skippingSpace(place + 2) : place + 2)
                }
            }
            if next.isPythonSpace {
                advance(to: skippingSpace(at))
            } else if next.isASCIIDigit {
                try number()
            } else if next == "_" || next.properties.isXIDStart {
                var place = at + 1
                while let more = scalar(place), more == "_" || more.properties.isXIDContinue { place += 1 }
                emit(.name(String(scalars: source[at..<place])))
                advance(to: place)
            } else if next == "'" || next == "\"" {
                try string(quote: next)
            } else {
                try operation(&brackets)
            }
        }
        throw fault("a tag does not end")
    }

    private mutating func operation(_ brackets: inout [Unicode.Scalar]) throws(TemplateError) {
        let pairs: [StaticString] = ["//", "**", "==", "!=", ">=", "<="]
        if let pair = pairs.first(where: { looking(at: $0, from: at) }) {
            emit(.mark("\(pair)"))
            return advance(to: at + 2)
        }
        switch source[at] {
        case "(": brackets.append(")")
        case "[": brackets.append("]")
        case "{": brackets.append("}")
        case ")", "]", "}":
            guard brackets.popLast() == source[at] else { throw fault("unexpected '\(source[at])'") }
        case "+", "-", "/", "*", "%", "~", ">", "<", "=", ".", ":", "|", ",", ";": break
        default: throw fault("unexpected character")
        }
        emit(.mark(String(source[at])))
        advance(to: at + 1)
    }

    private func digits(_ place: Int, where accepts: (Unicode.Scalar) -> Bool) -> Int {
        var place = place
        while let next = scalar(place) {
            if accepts(next) {
                place += 1
            } else if next == "_", let after = scalar(place + 1), accepts(after) {
                place += 2
            } else {
                break
            }
        }
        return place
    }

    private mutating func number() throws(TemplateError) {
        if source[at] == "0", let letter = scalar(at + 1), "xXoObB".unicodeScalars.contains(letter) {
            let radix =
                "xX".unicodeScalars.contains(letter) ? 16 : "oO".unicodeScalars.contains(letter) ? 8 : 2
            let end = digits(at + 2) { digit in Int(String(digit), radix: radix) != nil }
            return try integer(String(scalars: source[(at + 2)..<end]), radix: radix, to: end)
        }
        var end = digits(at) { $0.isASCIIDigit }
        var isFloat = false
        // After a dot digits are a position, as in `pair.0.1`.
        if at == 0 || source[at - 1] != "." {
            if scalar(end) == ".", scalar(end + 1)?.isASCIIDigit == true {
                end = digits(end + 1) { $0.isASCIIDigit }
                isFloat = true
            }
            if scalar(end) == "e" || scalar(end) == "E" {
                let signed = scalar(end + 1) == "-" || scalar(end + 1) == "+"
                let first = end + (signed ? 2 : 1)
                if scalar(first)?.isASCIIDigit == true {
                    end = digits(first) { $0.isASCIIDigit }
                    isFloat = true
                }
            }
        }
        let text = String(scalars: source[at..<end])
        guard isFloat else { return try integer(text, radix: 10, to: end) }
        guard let value = Double(text.filter { $0 != "_" }) else { throw fault("not a number") }
        emit(.float(value))
        advance(to: end)
    }

    private mutating func integer(_ text: String, radix: Int, to end: Int) throws(TemplateError) {
        guard let value = Int(text.filter { $0 != "_" }, radix: radix) else {
            throw fault("an integer beyond 64 bits")
        }
        emit(.integer(value))
        advance(to: end)
    }

    private mutating func string(quote: Unicode.Scalar) throws(TemplateError) {
        var value = String.UnicodeScalarView()
        var place = at + 1
        while let next = scalar(place), next != quote {
            place += 1
            if next == "\\" {
                place = try escape(at: place, into: &value)
            } else {
                value.append(next)
            }
        }
        guard place < source.count else { throw fault("a string does not end") }
        emit(.string(String(value)))
        advance(to: place + 1)
    }

    /// Reads what follows a backslash as Python does, and gives the place behind it.
    private func escape(at place: Int, into value: inout String.UnicodeScalarView) throws(TemplateError)
        -> Int
    {
        guard let next = scalar(place) else { throw fault("a string does not end") }
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"",
            "a": "\u{7}", "b": "\u{8}", "f": "\u{C}", "v": "\u{B}",
        ]
        let lengths: [Unicode.Scalar: Int] = ["x": 2, "u": 4, "U": 8]
        if let scalar = simple[next] {
            value.append(scalar)
            return place + 1
        }
        if next == "\n" { return place + 1 }
        if let length = lengths[next] {
            let hex = String(
                scalars: source[min(place + 1, source.count)..<min(place + 1 + length, source.count)])
            guard hex.utf8.count == length, let code = UInt32(hex, radix: 16),
                let scalar = Unicode.Scalar(code)
            else {
                throw fault("an escape in a string is no character")
            }
            value.append(scalar)
            return place + 1 + length
        }
        if ("0"..."7").contains(next) {
            var end = place
            while end < place + 3, let digit = scalar(end), ("0"..."7").contains(digit) { end += 1 }
            let code = UInt32(String(scalars: source[place..<end]), radix: 8)
            value.append(code.flatMap(Unicode.Scalar.init) ?? "\u{FFFD}")
            return end
        }
        if next == "N" { throw fault("unsupported escape '\\N'") }
        value.append("\\")
        value.append(next)
        return place + 1
    }
}
