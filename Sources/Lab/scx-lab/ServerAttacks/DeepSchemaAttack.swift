import SCXInference

/// Schemas nested and repeated as deep as the reader allows, to overflow a stack.
struct DeepSchemaAttack: ServerAttack {
    let name = "deep-schema"
    let purpose = "31 levels of lists of 255 schemas, which nest patterns 16,000 deep"
    let clients = 4

    func attack(_ client: AttackClient, round: Int) {
        var schema: JSON = [:]
        // Each schema is different, so that the server cannot reuse a compiled one.
        let first: JSON = ["title": .string("\(round)")]
        for _ in 0..<31 {
            schema = ["prefixItems": .array([first] + Array(repeating: [:], count: 254) + [schema])]
        }
        client.chat([.format(schema)])
    }
}
