package import SCXInference

/// A JSON Schema translated to the texts that fit it.
///
/// Understood are `type` (also lists), `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
/// `minItems`, `maxItems`, `enum`, `const`, `anyOf`, `oneOf` whose alternatives exclude each other, `allOf` that can be
/// merged, local `$ref` with recursion, `minLength`, `maxLength`, `pattern`, the formats `date`, `time`, `date-time` and
/// `uuid`, and the bounds of numbers. Keywords that restrict nothing are ignored; all others are errors, so that a text
/// never violates its schema unnoticed.
///
/// The texts are a part of those that JSON Schema allows: members come in the schema's order, an object that lists
/// properties has others only if `additionalProperties` says so, numbers have a bounded number of digits, arrays and
/// strings whose length is limited end earlier if the limit is above some thousands.
package struct JSONSchema: Sendable {
    let rules: [Pattern]
    let root: Pattern

    /// Translates a schema.
    ///
    /// - Parameter schema: An object or a truth value.
    /// - Throws: `ConstraintError` that names the keyword and its JSON pointer.
    package init(_ schema: JSON) throws(ConstraintError) {
        var compiler = SchemaCompiler(document: schema)
        root = try compiler.root()
        rules = compiler.rules
    }
}
