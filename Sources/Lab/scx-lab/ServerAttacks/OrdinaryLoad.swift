import SCXInference

/// No attack, for comparison: as many ordinary clients as other attacks have hostile ones.
struct OrdinaryLoad: ServerAttack {
    let name = "ordinary"
    let purpose = "no attack: four clients whose answers are held to a small schema"
    let clients = 4

    static let schema: JSON = [
        "type": "object", "required": ["name"], "properties": ["name": ["type": "string"]],
        "additionalProperties": false,
    ]

    func attack(_ client: AttackClient, round: Int) { client.chat([.format(Self.schema)]) }
}

/// No attack, for comparison: one ordinary client that asks for 16 answers at once.
struct OrdinaryAnswers: ServerAttack {
    let name = "ordinary-16"
    let purpose = "no attack: one client that asks for 16 answers, held to a small schema"
    let clients = 1

    func attack(_ client: AttackClient, round: Int) {
        client.chat([.format(OrdinaryLoad.schema), .init("n", 16)])
    }
}
