import SCXInference

/// A schema that values have to fit, or a part of one.
///
/// Whatever combines schemas (`allOf`, keywords beside `$ref`, properties that several schemas describe) becomes a list of
/// atoms that all have to hold. No new schema is ever written down, so that combining costs what there is to combine.
struct SchemaAtom: Hashable, Sendable {
    enum Part: Int32 {
        /// All of the schema.
        case whole
        /// Its keywords without references and combinations.
        case own
        /// That one of its alternatives holds.
        case anyOf, oneOf
    }

    private let code: Int32

    init(_ schema: Int32, _ part: Part = .whole) { code = schema << 2 | part.rawValue }

    /// The schema's number in its document.
    var schema: Int32 { code >> 2 }

    var part: Part { Part(rawValue: code & 3) ?? .whole }
}

/// What a list of atoms comes down to when references are followed and `allOf` is taken apart.
struct SchemaConjunction {
    /// Schemas whose own keywords all hold.
    var own: [Int32] = []
    /// Alternatives, of each of which one holds.
    var choices: [SchemaAtom] = []
    var isNever = false
    /// Whether a reference was followed on the way: such a schema may contain itself.
    var hasReference = false
}

extension SchemaCompiler {
    /// Follows references and takes `allOf` apart.
    ///
    /// - Throws: ``ConstraintError``, also for a schema that refers to itself with nothing between.
    func conjunction(_ atoms: [SchemaAtom]) throws(ConstraintError) -> SchemaConjunction {
        var result = SchemaConjunction()
        var isOpen: [SchemaAtom: Bool] = [:]
        var stack = atoms.reversed().map { (atom: $0, isExit: false) }
        while let (atom, isExit) = stack.popLast() {
            if isExit {
                isOpen[atom] = false
                continue
            }
            if let open = isOpen[atom] {
                guard !open else {
                    throw document.error(
                        atom.schema, "", "is nested too deep, or refers to itself without end")
                }
                continue
            }
            try budget.spend()
            isOpen[atom] = true
            stack.append((atom, true))
            switch atom.part {
            case .own: result.own.append(atom.schema)
            case .anyOf, .oneOf: result.choices.append(atom)
            case .whole:
                if let flag = document.json(atom.schema).bool {
                    result.isNever = result.isNever || !flag
                    continue
                }
                let parts = try parts(of: atom.schema, &result)
                for part in parts.reversed() { stack.append((part, false)) }
            }
        }
        return result
    }

    /// What a schema consists of, in the order in which its members are written.
    private func parts(
        of schema: Int32, _ result: inout SchemaConjunction
    ) throws(ConstraintError) -> [SchemaAtom] {
        let view = try document.view(schema)
        if view.isNever { result.isNever = true }
        var parts: [SchemaAtom] = []
        if let target = try target(of: schema, view) {
            result.hasReference = true
            parts.append(SchemaAtom(target))
        }
        if view.hasOwn { parts.append(SchemaAtom(schema, .own)) }
        for (keyword, part) in [(SchemaKeyword.anyOf, SchemaAtom.Part.anyOf), (.oneOf, .oneOf)]
        where view[keyword] != nil {
            parts.append(SchemaAtom(schema, part))
        }
        if let list = view[.allOf] {
            guard document.json(list).array?.isEmpty == false else {
                throw document.error(schema, "allOf", "is no list")
            }
            try budget.spend(document.children(of: list).count)
            parts += document.children(of: list).map { SchemaAtom($0) }
        }
        return parts
    }

    /// The schema that a `$ref` names; nil where there is none.
    func target(of schema: Int32, _ view: SchemaView) throws(ConstraintError) -> Int32? {
        guard let place = view[.reference] else { return nil }
        guard let reference = document.json(place).string else {
            throw document.error(schema, "$ref", "is no text")
        }
        return try document.target(of: reference, in: schema)
    }

    /// The target, where atoms are one schema that only refers.
    func pureTarget(_ atoms: [SchemaAtom]) throws(ConstraintError) -> Int32? {
        guard atoms.count == 1, atoms[0].part == .whole, document.json(atoms[0].schema).object != nil
        else { return nil }
        let view = try document.view(atoms[0].schema)
        return view.hasBesideReference ? nil : try target(of: atoms[0].schema, view)
    }
}
