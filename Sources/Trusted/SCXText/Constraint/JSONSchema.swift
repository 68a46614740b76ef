package import SCXInference

/// A JSON Schema translated to the texts that fit it.
///
/// Understood are `type` (also lists), `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
/// `minItems`, `maxItems`, `enum`, `const`, `anyOf`, `oneOf` whose alternatives exclude each other, `allOf` that can be
/// merged, `not` of everything or nothing, local `$ref` with recursion, `minLength`, `maxLength`, `pattern`, the formats
/// `date`, `time`, `date-time` and `uuid`, and the bounds of numbers. Keywords that restrict nothing are ignored; all
/// others are errors, so that a text never violates its schema unnoticed.
///
/// The texts are a part of those that JSON Schema allows: members come in the schema's order, an object that lists
/// properties has others only if `additionalProperties` says so, numbers have a bounded number of digits, arrays and
/// strings whose length is limited end earlier if the limit is above some thousands.
///
/// A schema comes from a stranger. What translating it may cost is bounded by a ``CompilationBudget``, and what it becomes
/// is flat, so that nothing that reads or frees it recurses.
package struct JSONSchema: Sendable {
    let patterns: PatternArena
    let rules: [Pattern]
    let root: Pattern

    /// Translates a schema.
    ///
    /// - Parameters:
    ///   - schema: An object or a truth value.
    ///   - budget: Pays for the work.
    /// - Throws: `ConstraintError` that names the keyword and its JSON pointer, or the limit that was reached.
    package init(_ schema: JSON, budget: CompilationBudget = .init()) throws(ConstraintError) {
        var compiler = SchemaCompiler(document: try SchemaDocument(schema, budget), budget: budget)
        root = try compiler.root()
        rules = compiler.rules
        patterns = compiler.patterns
    }
}
