/// Filters that make numbers.
extension TemplateRun {
    func number(
        _ value: TemplateValue, _ name: String, _ bound: [TemplateValue?]
    ) throws(TemplateError) -> TemplateValue {
        if case .undefined(let reason) = value { throw fault(reason) }
        switch name {
        case "abs":
            if let number = value.integer {
                return number < 0 ? try signed(.int(number), true) : .int(number)
            }
            guard let number = value.number else { throw fault("'abs' needs a number") }
            return .float(number.magnitude)
        case "int":
            let fallback = bound[0] ?? .int(0)
            if let number = value.integer { return .int(number) }
            var number = value.number
            if case .string(let text) = value {
                let radix = try bound[1].map { base throws(TemplateError) in try integer(base, name) } ?? 10
                guard (2...36).contains(radix) else { throw fault("unsupported base of 'int'") }
                let digits = text.strippedPython(nil)
                if let number = Int(digits.filter { $0 != "_" }, radix: radix) { return .int(number) }
                number = decimal(text)
            }
            guard let number, number.isFinite else { return fallback }
            guard let whole = Int(exactly: number.rounded(.towardZero)) else {
                throw fault("an integer beyond 64 bits")
            }
            return .int(whole)
        case "float":
            if let number = value.number { return .float(number) }
            if case .string(let text) = value, let number = decimal(text) { return .float(number) }
            return bound[0] ?? .float(0)
        default: return try rounded(value, bound)
        }
    }

    /// The number that Python's `float` reads.
    private func decimal(_ text: String) -> Double? {
        let text = text.strippedPython(nil).loweredPython()
        let sign = text.hasPrefix("-") ? -1.0 : 1.0
        let digits = text.hasPrefix("-") || text.hasPrefix("+") ? String(text.dropFirst()) : text
        if ["inf", "infinity"].contains(digits) { return sign * .infinity }
        if digits == "nan" { return .nan }
        guard let first = digits.unicodeScalars.first, first.isASCIIDigit || first == ".",
            !digits.contains("x")
        else {
            return nil
        }
        return Double(digits.hasSuffix(".") ? digits + "0" : digits).map { sign * $0 }
    }

    private func rounded(_ value: TemplateValue, _ bound: [TemplateValue?]) throws(TemplateError)
        -> TemplateValue
    {
        let precision = try bound[0].map { value throws(TemplateError) in try integer(value, "round") } ?? 0
        let method = try bound[1].map { value throws(TemplateError) in try text(value, "round") } ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else {
            throw fault("unsupported method of 'round'")
        }
        guard let number = value.number else { throw fault("'round' needs a number") }
        guard (0...15).contains(precision) else { throw fault("unsupported precision of 'round'") }
        if method == "common", value.integer != nil { return value }
        guard number.isFinite else { return value }
        let scale = (0..<precision).reduce(1.0) { scale, _ in scale * 10 }
        switch method {
        case "ceil": return .float((number * scale).rounded(.up) / scale)
        case "floor": return .float((number * scale).rounded(.down) / scale)
        default: return .float(number.roundedDecimal(precision))
        }
    }
}

extension Double {
    /// The number with so many digits after the point, from its exact value; halves go to even.
    fileprivate func roundedDecimal(_ precision: Int) -> Double {
        let scale = (0..<precision).reduce(1.0) { scale, _ in scale * 10 }
        let scaled = self * scale
        guard scaled.magnitude < 0x1p52 else { return self }
        let low = scaled.rounded(.down)
        // `fma` gives what the product was rounded by, so that a half is told from nearly a half.
        let error = (-scaled).addingProduct(self, scale)
        let excess = (scaled - low) - 0.5 + error
        let isUp = excess > 0 || (excess == 0 && low.truncatingRemainder(dividingBy: 2) != 0)
        return (isUp ? low + 1 : low) / scale
    }
}
