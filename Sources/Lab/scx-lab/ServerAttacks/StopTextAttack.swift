import SCXInference

/// Long lists and texts in those fields of a request that the server keeps for each answer.
struct StopTextAttack: ServerAttack {
    let name = "stop-texts"
    let purpose = "stop texts of 7 MB and 500,000 biases, with 16 answers to each"
    let clients = 4

    func attack(_ client: AttackClient, round: Int) {
        if round % 2 == 0 {
            client.chat([
                .init("stop", [.string(String(repeating: "ab", count: 3_500_000) + "\(round)")]),
                .init("n", 16),
            ])
        } else {
            let biases = (0..<500_000).map { JSON.Member("\($0)", 1) }
            client.chat([.init("logit_bias", .object(biases)), .init("n", 16)])
        }
    }
}
