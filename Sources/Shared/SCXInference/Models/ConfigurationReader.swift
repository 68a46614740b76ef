/// Reads the fields of a JSON object: absent fields get the defaults of the reference implementation, present ones
/// are checked against limits.
///
/// A field that is null is read as if it were absent. Where null means "none" although there is a default,
/// ``ifAbsent(_:_:)`` distinguishes the two.
struct ConfigurationReader {
    let path: String
    let json: JSON
    /// Text before names in error messages, such as `rope_scaling.`.
    var prefix = ""

    func fault(_ field: String, _ reason: String) -> CheckpointError {
        .field(path: path, field: prefix + field, reason: reason)
    }

    func unsupported(_ what: String, _ supported: String) -> CheckpointError {
        .unsupported(path: path, what: what, supported: supported)
    }

    func value(_ field: String) -> JSON? {
        guard let value = json[field], !value.isNull else { return nil }
        return value
    }

    /// The default if the field is absent; nil if it is there, even as null.
    func ifAbsent<T>(_ field: String, _ value: T?) -> T? { json[field] == nil ? value : nil }

    /// An integer in `1...limit`.
    func size(_ field: String, limit: Int) throws(CheckpointError) -> Int? {
        guard let value = value(field) else { return nil }
        guard let size = value.int else { throw fault(field, "is not an integer") }
        guard (1...limit).contains(size) else { throw fault(field, "is \(size), which is not in 1…\(limit)") }
        return size
    }

    /// A finite number that is at least `minimum`.
    func number(_ field: String, minimum: Double) throws(CheckpointError) -> Double? {
        guard let value = value(field) else { return nil }
        guard let number = value.double else { throw fault(field, "is not a number") }
        // It is compared as float32, in which the model computes: there 1e300 is not finite, and 1e-300 is zero.
        guard Float(number).isFinite, number >= minimum, minimum <= 0 || Float(number) > 0 else {
            throw fault(field, "is \(number), which is not a sensible value")
        }
        return number
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

    /// An array of strings.
    func texts(_ field: String) throws(CheckpointError) -> [String]? {
        guard let value = value(field) else { return nil }
        guard let texts = value.array?.map(\.string), !texts.contains(nil) else {
            throw fault(field, "is not a list of strings")
        }
        return texts.compactMap(\.self)
    }

    /// One token id or a list of them; negative ones, by which some configurations mean "none", are left out.
    func tokens(_ field: String) throws(CheckpointError) -> [Int]? {
        guard let value = value(field) else { return nil }
        let values = value.array ?? [value]
        let ids = values.compactMap(\.int)
        guard ids.count == values.count else {
            throw fault(field, "is neither a token id nor a list of them")
        }
        return ids.filter { $0 >= 0 }
    }
}
