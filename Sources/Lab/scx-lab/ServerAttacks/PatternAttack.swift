import SCXInference

/// Ambiguous regular expressions, which can match one text in very many ways.
struct PatternAttack: ServerAttack {
    let name = "pattern"
    let purpose = "expressions of nested repetitions, with 16 answers to each"
    let clients = 1

    private static let expressions = [
        "^((.?){900}){900}$", "^(.*a.{20}|b)$", "^((a|b)*[aeiou].{12}){3}$", "^(.?){400}$", "[aeiou].{11}$",
    ]

    func attack(_ client: AttackClient, round: Int) {
        let expression = Self.expressions[round % Self.expressions.count]
        let schema: JSON = [
            "title": .string("\(round)"), "type": "string", "pattern": .string(expression),
        ]
        client.chat([.format(schema), .init("n", 16)])
    }
}
