import SCXInference

/// Prompts of the largest size that a request may have, to keep the tokenizer busy.
struct LongPromptAttack: ServerAttack {
    let name = "long-prompt"
    let purpose = "7 MB of text, to be counted and answered"
    let clients = 4

    func attack(_ client: AttackClient, round: Int) {
        // In turn one word without end, and very many words.
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
