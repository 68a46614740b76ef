extension StringProtocol {
    /// The text as a terminal, a log or an error may hold it, when it comes from a file, a peer or a model.
    ///
    /// Control characters (also those from U+0080 to U+009F, which some terminals obey), those that turn the direction of
    /// writing around, and all others that are not seen are written as escapes such as `\u{009B}`; joiners, which
    /// scripts and emoji need, stay.
    ///
    /// - Parameters:
    ///   - longest: Scalars of the text at most; what is cut off is shown as `…`.
    ///   - keepsLines: Whether line feeds and tabs stay; otherwise the result is one line.
    /// - Returns: The text, safe to print.
    public func printable(longest: Int = .max, keepsLines: Bool = false) -> String {
        var line = ""
        var count = 0
        for scalar in unicodeScalars {
            guard count < longest else { return line + "…" }
            count += 1
            if scalar.isShown || keepsLines && (scalar == "\n" || scalar == "\t") {
                line.unicodeScalars.append(scalar)
            } else {
                line += scalar.escaped(asASCII: true)
            }
        }
        return line
    }
}

extension Unicode.Scalar {
    /// Whether it is seen, or belongs to what is seen.
    fileprivate var isShown: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: false
        case .format: self == "\u{200C}" || self == "\u{200D}"
        default: true
        }
    }
}
