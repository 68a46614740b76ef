import SCXInference

/// Small schemas that refer to themselves many times, so that comparing their parts could take for ever.
struct SelfReferenceAttack: ServerAttack {
    let name = "self-reference"
    let purpose = "500 bytes whose alternatives contain themselves 40 times each"
    let clients = 4

    func attack(_ client: AttackClient, round: Int) {
        let names = (0..<40).map { JSON.string("a\(round % 2 == 0 ? 0 : $0)") }
        let properties = (0..<40).map { JSON.Member("a\($0)", ["$ref": "#/$defs/x"]) }
        let schema: JSON = [
            "title": .string("\(round)"),
            "$defs": [
                "x": ["type": "object", "required": .array(names), "properties": .object(properties)]
            ],
            "oneOf": [["$ref": "#/$defs/x"], ["$ref": "#/$defs/x"]],
        ]
        client.chat([.format(schema)])
    }
}
