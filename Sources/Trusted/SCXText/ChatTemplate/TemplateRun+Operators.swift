/// Python's operators.
extension TemplateRun {
    /// What a `for` walks over.
    func items(of value: TemplateValue) throws(TemplateError) -> [TemplateValue] {
        switch value {
        case .undefined: return []
        case .list(let list): return list.walk()
        case .dict(let dict): return dict.members.map(\.key)
        case .string(let text):
            try spend(text: text.utf8.count)
            try spend(steps: text.utf8.count)
            return text.unicodeScalars.map { .string(String($0)) }
        default: throw fault("\(value.typeName) cannot be walked over")
        }
    }

    func length(of value: TemplateValue) throws(TemplateError) -> Int {
        switch value {
        case .undefined: return 0
        case .string(let text):
            try spend(text: text.utf8.count)
            return text.scalarCount
        case .list(let list) where list.kind != .generator: return list.items.count
        case .dict(let dict): return dict.members.count
        default: throw fault("\(value.typeName) has no length")
        }
    }

    func equal(_ left: TemplateValue, _ right: TemplateValue) throws(TemplateError) -> Bool {
        try spend(steps: 1)
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let left), .string(let right)): return left.equalsBytes(of: right)
        case (.list(let left), .list(let right)):
            if left === right { return true }
            guard left.kind == right.kind, left.hasPositions, left.items.count == right.items.count else {
                return false
            }
            for (left, right) in zip(left.items, right.items) where !(try equal(left, right)) { return false }
            return true
        case (.dict(let left), .dict(let right)):
            guard left.members.count == right.members.count else { return false }
            for member in left.members {
                guard try contains(.dict(right), member.key) else { return false }
                guard try equal(member.value, try item(member.key, of: .dict(right))) else { return false }
            }
            return true
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.loop(let left), .loop(let right)): return left === right
        case (.macro(let left), .macro(let right)): return left === right
        case (.function(let left), .function(let right)): return left == right
        default:
            if let left = left.integer, let right = right.integer { return left == right }
            if let left = left.number, let right = right.number { return left == right }
            return false
        }
    }

    func contains(_ container: TemplateValue, _ item: TemplateValue) throws(TemplateError) -> Bool {
        switch (container, item) {
        case (.undefined, _): return false
        case (.string(let text), .string(let part)):
            try spend(text: text.utf8.count + part.utf8.count)
            return text.containsBytes(of: part)
        case (.string, _): throw fault("'in' a str needs a str, not \(item.typeName)")
        case (.dict(let dict), .string(let name)): return dict[name] != nil
        case (.namespace, _), (.loop, _): throw fault("'in' needs a list, a dict or a str")
        default:
            for other in try items(of: container) where try equal(other, item) { return true }
            return false
        }
    }

    func precedes(_ left: TemplateValue, _ right: TemplateValue) throws(TemplateError) -> Bool {
        try spend(steps: 1)
        switch (left, right) {
        case (.string(let left), .string(let right)): return left.precedes(right)
        case (.list(let left), .list(let right))
        where left.kind == right.kind && (left.kind == .list || left.kind == .tuple):
            for (left, right) in zip(left.items, right.items) where !(try equal(left, right)) {
                return try precedes(left, right)
            }
            return left.items.count < right.items.count
        case (.undefined(let reason), _), (_, .undefined(let reason)): throw fault(reason)
        default:
            if let left = left.integer, let right = right.integer { return left < right }
            if let left = left.number, let right = right.number { return left < right }
            throw fault("\(left.typeName) and \(right.typeName) have no order")
        }
    }

    func precedesOrEqual(_ left: TemplateValue, _ right: TemplateValue) throws(TemplateError) -> Bool {
        if try precedes(left, right) { return true }
        return try equal(left, right)
    }

    func signed(_ value: TemplateValue, _ negative: Bool) throws(TemplateError) -> TemplateValue {
        if case .float(let number) = value { return .float(negative ? -number : number) }
        if case .undefined(let reason) = value { throw fault(reason) }
        guard let number = value.integer else { throw fault("\(value.typeName) has no sign") }
        return .int(try whole(negative ? (0).subtractingReportingOverflow(number) : (number, false)))
    }

    private func whole(_ result: (partialValue: Int, overflow: Bool)) throws(TemplateError) -> Int {
        guard !result.overflow else { throw fault("an integer beyond 64 bits") }
        return result.partialValue
    }

    func arithmetic(
        _ operation: String, _ left: TemplateValue, _ right: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        switch (operation, left, right) {
        case (_, .undefined(let reason), _), (_, _, .undefined(let reason)): throw fault(reason)
        case ("+", .string(let left), .string(let right)): return try made(left + right)
        case ("+", .list(let left), .list(let right))
        where left.kind == right.kind && (left.kind == .list || left.kind == .tuple):
            return try list(left.items + right.items, left.kind)
        case ("*", .string, _), ("*", .list, _): return try repeated(left, right)
        case ("*", _, .string), ("*", _, .list): return try repeated(right, left)
        case ("%", .string(let format), _):
            if case .list(let list) = right, list.kind == .tuple { return try formatted(format, list.items) }
            return try formatted(format, [right])
        default: break
        }
        if let left = left.integer, let right = right.integer { return try integers(operation, left, right) }
        guard let first = left.number, let second = right.number else {
            throw fault("'\(operation)' does not take \(left.typeName) and \(right.typeName)")
        }
        return .float(try floats(operation, first, second))
    }

    private func repeated(_ value: TemplateValue, _ times: TemplateValue) throws(TemplateError)
        -> TemplateValue
    {
        guard let times = times.integer.map({ max(0, $0) }) else {
            throw fault("'*' does not take \(value.typeName) and \(times.typeName)")
        }
        switch value {
        case .string(let text):
            let size = text.utf8.count.multipliedReportingOverflow(by: times)
            guard !size.overflow, size.partialValue <= Self.mostOutput else {
                throw fault("a text is too long")
            }
            return try made(String(repeating: text, count: text.isEmpty ? 0 : times))
        case .list(let list) where list.kind == .list || list.kind == .tuple:
            let size = list.items.count.multipliedReportingOverflow(by: times)
            guard !size.overflow else { throw fault("a list is too long") }
            try spend(steps: size.partialValue)
            let count = list.items.isEmpty ? 0 : times
            return try self.list((0..<count).flatMap { _ in list.items }, list.kind)
        default: throw fault("'*' does not take \(value.typeName)")
        }
    }

    private func integers(_ operation: String, _ left: Int, _ right: Int) throws(TemplateError)
        -> TemplateValue
    {
        switch operation {
        case "+": return .int(try whole(left.addingReportingOverflow(right)))
        case "-": return .int(try whole(left.subtractingReportingOverflow(right)))
        case "*": return .int(try whole(left.multipliedReportingOverflow(by: right)))
        case "//", "%":
            guard right != 0 else { throw fault("division by zero") }
            // Rounds down and gives the remainder the divisor's sign.
            let quotient = try whole(left.dividedReportingOverflow(by: right))
            let remainder = left - quotient * right
            let isBelow = remainder != 0 && (remainder < 0) != (right < 0)
            return .int(
                operation == "%"
                    ? (isBelow ? remainder + right : remainder) : isBelow ? quotient - 1 : quotient)
        case "**" where right >= 0: return .int(try power(left, right))
        default: return .float(try floats(operation, Double(left), Double(right)))
        }
    }

    private func power(_ base: Int, _ exponent: Int) throws(TemplateError) -> Int {
        if base == 0 || base == 1 { return exponent == 0 ? 1 : base }
        if base == -1 { return exponent.isMultiple(of: 2) ? 1 : -1 }
        var result = 1
        guard exponent < 64 else { throw fault("an integer beyond 64 bits") }
        for _ in 0..<exponent { result = try whole(result.multipliedReportingOverflow(by: base)) }
        return result
    }

    private func floats(_ operation: String, _ left: Double, _ right: Double) throws(TemplateError) -> Double
    {
        switch operation {
        case "+": return left + right
        case "-": return left - right
        case "*": return left * right
        case "**": return try raised(left, right)
        default: break
        }
        guard right != 0 else { throw fault("division by zero") }
        if operation == "/" { return left / right }
        var remainder = left.truncatingRemainder(dividingBy: right)
        if remainder != 0, (remainder < 0) != (right < 0) { remainder += right }
        if operation == "%" { return remainder == 0 ? Double(signOf: right, magnitudeOf: 0) : remainder }
        return ((left - remainder) / right).rounded()
    }

    private func raised(_ base: Double, _ exponent: Double) throws(TemplateError) -> Double {
        // Whole exponents are what templates use; the others would need a mathematics library.
        guard let times = Int(exactly: exponent), times.magnitude <= 1024 else {
            throw fault("unsupported exponent of '**'")
        }
        guard base != 0 || times >= 0 else { throw fault("division by zero") }
        var result = 1.0
        for _ in 0..<times.magnitude { result *= base }
        return times < 0 ? 1 / result : result
    }

    /// Python's `%` on a string, as far as `%s`, `%r`, `%d` and `%%` go.
    func formatted(_ format: String, _ values: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        var result = ""
        var rest = format.unicodeScalars[...]
        var values = values[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            let kind = rest.popFirst()
            if kind == "%" {
                result += "%"
                continue
            }
            guard let kind, "srd".unicodeScalars.contains(kind) else {
                throw fault("unsupported format in '%'")
            }
            guard let value = values.popFirst() else { throw fault("too few values for the format") }
            switch kind {
            case "s": result += try string(value)
            case "r": result += try representation(value)
            default:
                guard
                    let number = value.integer
                        ?? value.number.flatMap({ Int(exactly: $0.rounded(.towardZero)) })
                else { throw fault("'%d' needs a number") }
                result += "\(number)"
            }
            guard result.utf8.count <= Self.mostOutput else { throw fault("a text is too long") }
        }
        guard values.isEmpty else { throw fault("too many values for the format") }
        return try made(result)
    }
}
