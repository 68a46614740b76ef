import SCXInference

/// The keywords that are understood.
enum SchemaKeyword: String, CaseIterable {
    case type
    case `enum`
    case const
    case anyOf, oneOf, allOf
    case reference = "$ref"
    case not
    case properties, required, additionalProperties, minProperties, maxProperties
    case items, prefixItems, additionalItems, minItems, maxItems, uniqueItems
    case minLength, maxLength, pattern, format
    case minimum, maximum, exclusiveMinimum, exclusiveMaximum

    fileprivate static let named: [String: SchemaKeyword] = Dictionary(
        uniqueKeysWithValues: allCases.map { ($0.rawValue, $0) })

    /// The keywords that each type of value has, in the order in which types are guessed by them.
    static let ofTypes: [(type: String, keywords: [SchemaKeyword])] = [
        ("object", [.properties, .required, .additionalProperties, .minProperties, .maxProperties]),
        ("array", [.items, .prefixItems, .additionalItems, .minItems, .maxItems, .uniqueItems]),
        ("string", [.minLength, .maxLength, .pattern, .format]),
        ("number", [.minimum, .maximum, .exclusiveMinimum, .exclusiveMaximum]),
    ]
}

/// A schema's keywords with the numbers of their values.
struct SchemaView {
    private var values: [SchemaKeyword: Int32] = [:]
    /// Whether nothing fits, whatever else it says.
    private(set) var isNever = false
    /// Whether there are keywords beside references and combinations.
    private(set) var hasOwn = false
    /// Whether there are other keywords than `$ref` that restrict.
    private(set) var hasBesideReference = false

    /// Keywords that restrict values in ways that answers cannot be held to.
    private static let refused: Set<String> = [
        "if", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "dependencies",
        "unevaluatedProperties", "unevaluatedItems", "contains", "multipleOf", "$dynamicRef",
        "$recursiveRef",
    ]

    init(
        _ node: Int32, in document: SchemaDocument, _ budget: CompilationBudget
    ) throws(ConstraintError) {
        guard let members = document.json(node).object else {
            throw document.error(node, "", "is neither an object nor a truth value")
        }
        try budget.spend(members.count)
        let first = document.children(of: node).lowerBound
        for (place, member) in members.enumerated() {
            guard !Self.refused.contains(member.name) else {
                throw document.error(node, member.name, "is not supported")
            }
            guard let keyword = SchemaKeyword.named[member.name] else { continue }
            guard values.updateValue(first + Int32(place), forKey: keyword) == nil else {
                throw document.error(node, member.name, "is given twice")
            }
            switch keyword {
            case .reference: continue
            case .anyOf, .oneOf, .allOf: break
            case .not:
                // Only what nothing or everything fits has a complement that answers can be held to.
                guard let excluded = Self.truth(member.value) else {
                    throw document.error(node, member.name, "is not supported")
                }
                isNever = isNever || excluded
            case .uniqueItems:
                guard member.value.bool != true else {
                    throw document.error(node, member.name, "is not supported")
                }
                hasOwn = true
            default: hasOwn = true
            }
            hasBesideReference = true
        }
    }

    subscript(keyword: SchemaKeyword) -> Int32? { values[keyword] }

    /// Whether everything or nothing fits a schema; nil when that depends on the value, or no look tells.
    private static func truth(_ schema: JSON) -> Bool? {
        if let flag = schema.bool { return flag }
        guard let members = schema.object else { return nil }
        // A schema of notes alone lets everything pass.
        let restricts = members.contains {
            SchemaKeyword.named[$0.name] != nil || refused.contains($0.name)
        }
        return restricts ? nil : true
    }
}
