import SCXInference

/// Large schemas with very many parts that the server has to compare with each other.
struct WideSchemaAttack: ServerAttack {
    let name = "wide-schema"
    let purpose = "hundreds of schemas to merge, 20,000 equal keywords, alternatives of 10,000 values each"
    let clients = 4

    func attack(_ client: AttackClient, round: Int) {
        let schema: JSON
        switch round % 3 {
        case 0:
            let parts = (0..<500).map { part -> JSON in
                ["properties": .object([.init("p\(part % 200) \(round)", ["minLength": 1])])]
            }
            schema = ["allOf": .array(parts)]
        case 1: schema = .object((0..<20_000).map { .init("minLength", .int($0 + round)) })
        default:
            let lists = (0..<8).map { list -> JSON in
                ["enum": .array((0..<10_000).map { .string("\(round) \(list) \($0)") })]
            }
            schema = ["oneOf": .array(lists)]
        }
        client.chat([.format(schema)])
    }
}
