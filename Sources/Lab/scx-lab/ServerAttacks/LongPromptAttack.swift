import SCXInference

/// As much text as a request may have, to be tokenised.
struct LongPromptAttack: ServerAttack {
    let name = "long-prompt"
    let purpose = "7 MB of text, to be counted and answered"
    let clients = 4

    func attack(_ client: AttackClient, round: Int) {
        // One word without an end, and many words.
        let text = String(repeating: round % 2 == 0 ? "abcdefg" : "one two ", count: 900_000)
        if round % 4 < 2 {
            client.post("/tokenize", JSON.object([.init("prompt", .string(text))]).text)
        } else {
            client.post(
                "/v1/chat/completions",
                JSON.object([.init("messages", [["role": "user", "content": .string(text)]])]).text)
        }
    }
}
