import SCXInference

/// Schemas that are quick to compile, but for which the search for the allowed next tokens takes long.
struct MaskAttack: ServerAttack {
    let name = "mask"
    let purpose = "nested alternatives, expressions of thousands of states; always new, with 16 answers"
    let clients = 1

    func attack(_ client: AttackClient, round: Int) {
        let schema: JSON
        if round % 2 == 0 {
            let alternatives = (0..<200).map { number -> JSON in
                [
                    "type": "object",
                    "properties": .object([
                        .init("left", ["$ref": "#/$defs/x"]),
                        .init("k\(round) \(number)", ["type": "string"]),
                    ]), "required": ["left"],
                ]
            }
            schema = [
                "$defs": ["x": ["anyOf": .array(alternatives + [["type": "string"], ["type": "null"]])]],
                "$ref": "#/$defs/x",
            ]
        } else {
            schema = [
                "type": "array",
                "items": ["type": "string", "pattern": .string("[aeiou\(round % 10)].{\(8 + round % 4)}$")],
            ]
        }
        client.chat([.format(schema), .init("n", 16)], tokens: 60)
    }
}
