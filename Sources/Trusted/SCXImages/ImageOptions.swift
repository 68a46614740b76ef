import SCXInference

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Reads the fields of a JSON file about pictures: absent ones and `null` mean the default, and what is not known is
/// refused.
struct ImageOptions {
    let path: String
    let json: JSON
    /// Text before names in error messages, such as `image_processor.`.
    var prefix = ""

    init(path: String, json: JSON, prefix: String = "") throws(CheckpointError) {
        guard json.object != nil else {
            throw .field(path: path, field: prefix.isEmpty ? "the file" : prefix, reason: "is not an object")
        }
        (self.path, self.json, self.prefix) = (path, json, prefix)
    }

    /// Reads the file of that name; nil where the directory has none.
    init?(directory: String, name: String) throws(CheckpointError) {
        let path = "\(directory)/\(name)"
        guard unsafe access(path, F_OK) == 0 else { return nil }
        // Published files have some hundreds of bytes; tokenizers' configurations may have a megabyte.
        try self.init(path: path, json: try JSON(file: path, limit: 16_000_000))
    }

    func fault(_ field: String, _ reason: String) -> CheckpointError {
        .field(path: path, field: prefix + field, reason: reason)
    }

    func unsupported(_ what: String, _ supported: String) -> CheckpointError {
        .unsupported(path: path, what: what, supported: supported)
    }

    /// The field's value; nil where it is absent or `null`.
    func value(_ field: String) -> JSON? {
        guard let value = json[field], !value.isNull else { return nil }
        return value
    }

    /// The fields of an object that is a field.
    func object(_ field: String) throws(CheckpointError) -> ImageOptions? {
        guard let value = value(field) else { return nil }
        guard value.object != nil else { throw fault(field, "is not an object") }
        return try ImageOptions(path: path, json: value, prefix: "\(prefix)\(field).")
    }

    func flag(_ field: String) throws(CheckpointError) -> Bool? {
        guard let value = value(field) else { return nil }
        guard let flag = value.bool else { throw fault(field, "is neither true nor false") }
        return flag
    }

    func text(_ field: String) throws(CheckpointError) -> String? {
        guard let value = value(field) else { return nil }
        guard let text = value.string else { throw fault(field, "is not a string") }
        return text
    }

    /// An integer of that range.
    func integer(_ field: String, _ range: ClosedRange<Int>) throws(CheckpointError) -> Int? {
        guard let value = value(field) else { return nil }
        guard let integer = value.int else { throw fault(field, "is not an integer") }
        guard range.contains(integer) else {
            throw fault(field, "is \(integer), which is not in \(range.lowerBound)…\(range.upperBound)")
        }
        return integer
    }

    /// A number that is finite as float32, in which pictures are computed.
    func number(_ field: String, of value: JSON) throws(CheckpointError) -> Double {
        guard let number = value.double else { throw fault(field, "is not a number") }
        guard Float(number).isFinite else {
            throw fault(field, "is \(number), which is not a sensible value")
        }
        return number
    }

    /// One number for each of red, green and blue, or one number for all.
    func channels(_ field: String) throws(CheckpointError) -> [Double]? {
        guard let value = value(field) else { return nil }
        guard let values = value.array else {
            let number = try number(field, of: value)
            return [number, number, number]
        }
        guard values.count == 3 else { throw fault(field, "has \(values.count) values, not 3") }
        var numbers: [Double] = []
        for value in values { numbers.append(try number(field, of: value)) }
        return numbers
    }

    /// Refuses fields that nobody knows, unless they say nothing.
    func refuseOthers(than known: Set<String>) throws(CheckpointError) {
        for member in json.object ?? [] where !known.contains(member.name) && !member.value.saysNothing {
            throw fault(
                member.name, "is not known here, and may change what the model sees; remove it if it does not"
            )
        }
    }
}

extension JSON {
    /// Whether a field of this value means the same as no field: null, false, and empty lists and objects.
    fileprivate var saysNothing: Bool {
        isNull || bool == false || array?.isEmpty == true || object?.isEmpty == true
    }
}
