extension GGUFFile {
    /// The longest list that is read: the largest published vocabularies have 300,000 tokens and 800,000 merges.
    static let listLimit = 1 << 22

    /// Whether the metadata has a value of that name.
    public func has(_ key: String) -> Bool { values[key] != nil }

    /// The names of the values, in the order of the file.
    public var valueNames: [String] { keys }

    private func fault(_ key: String, _ reason: String) -> CheckpointError {
        .field(path: path, field: key, reason: reason)
    }

    /// A string; nil where there is no such value.
    ///
    /// - Throws: ``CheckpointError`` for a value of another kind, and for bytes that are not UTF-8.
    public func string(_ key: String) throws(CheckpointError) -> String? {
        guard let value = values[key] else { return nil }
        guard value.kind == .string, let text = file.text(value.range) else {
            throw fault(key, "is not a string")
        }
        return text
    }

    /// True or false; nil where there is no such value.
    ///
    /// - Throws: ``CheckpointError`` for a value of another kind.
    public func flag(_ key: String) throws(CheckpointError) -> Bool? {
        guard let value = values[key] else { return nil }
        guard value.kind == .bool else { throw fault(key, "is neither true nor false") }
        return unsafe file.load(UInt8.self, at: value.range.lowerBound) != 0
    }

    /// An integer; nil where there is no such value.
    ///
    /// - Throws: ``CheckpointError`` for a value of another kind, and for one that an `Int` cannot hold.
    public func integer(_ key: String) throws(CheckpointError) -> Int? {
        guard let value = values[key] else { return nil }
        guard let integer = integer(value.kind, at: value.range.lowerBound) else {
            throw fault(key, "is not an integer")
        }
        return integer
    }

    /// A number; nil where there is no such value.
    ///
    /// - Throws: ``CheckpointError`` for a value of another kind.
    public func number(_ key: String) throws(CheckpointError) -> Double? {
        guard let value = values[key] else { return nil }
        guard let number = number(value.kind, at: value.range.lowerBound) else {
            throw fault(key, "is not a number")
        }
        return number
    }

    /// Strings; nil where there is no such value.
    ///
    /// - Throws: ``CheckpointError`` for a value of another kind, and for bytes that are not UTF-8.
    public func strings(_ key: String) throws(CheckpointError) -> [String]? {
        guard let value = values[key] else { return nil }
        guard value.element == .string, value.count <= Self.listLimit else {
            throw fault(key, "is not a list of strings")
        }
        var cursor = GGUFCursor(file: file, end: value.range.upperBound)
        cursor.at = value.range.lowerBound
        var strings: [String] = []
        strings.reserveCapacity(value.count)
        for index in 0..<value.count {
            guard let text = file.text(try cursor.string(key)) else {
                throw fault(key, "has a text, number \(index), that is not UTF-8")
            }
            strings.append(text)
        }
        return strings
    }

    /// Integers; nil where there is no such value.
    ///
    /// - Throws: ``CheckpointError`` for a value of another kind.
    public func integers(_ key: String) throws(CheckpointError) -> [Int]? {
        guard let value = values[key] else { return nil }
        guard let element = value.element, let size = element.byteCount, value.count <= Self.listLimit else {
            throw fault(key, "is not a list of integers")
        }
        let integers = (0..<value.count).compactMap {
            integer(element, at: value.range.lowerBound + $0 * size)
        }
        guard integers.count == value.count else { throw fault(key, "is not a list of integers") }
        return integers
    }

    /// Numbers; nil where there is no such value.
    ///
    /// - Throws: ``CheckpointError`` for a value of another kind.
    public func numbers(_ key: String) throws(CheckpointError) -> [Double]? {
        guard let value = values[key] else { return nil }
        guard let element = value.element, let size = element.byteCount, value.count <= Self.listLimit else {
            throw fault(key, "is not a list of numbers")
        }
        let numbers = (0..<value.count).compactMap { number(element, at: value.range.lowerBound + $0 * size) }
        guard numbers.count == value.count else { throw fault(key, "is not a list of numbers") }
        return numbers
    }

    private func integer(_ kind: Kind, at offset: Int) -> Int? {
        switch kind {
        case .uint8, .bool: unsafe Int(file.load(UInt8.self, at: offset))
        case .int8: unsafe Int(file.load(Int8.self, at: offset))
        case .uint16: unsafe Int(file.load(UInt16.self, at: offset))
        case .int16: unsafe Int(file.load(Int16.self, at: offset))
        case .uint32: unsafe Int(file.load(UInt32.self, at: offset))
        case .int32: unsafe Int(file.load(Int32.self, at: offset))
        case .uint64: unsafe Int(exactly: file.load(UInt64.self, at: offset))
        case .int64: unsafe Int(file.load(Int64.self, at: offset))
        case .float32, .float64, .string, .array: nil
        }
    }

    private func number(_ kind: Kind, at offset: Int) -> Double? {
        switch kind {
        case .float32: unsafe Double(Float(bitPattern: file.load(UInt32.self, at: offset)))
        case .float64: unsafe Double(bitPattern: file.load(UInt64.self, at: offset))
        default: integer(kind, at: offset).map { Double($0) }
        }
    }
}
