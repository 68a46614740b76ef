/// How a family of models writes calls of functions; each form is described in `Formats`.
///
/// The cases stand in the order in which ``detect(template:)`` asks whether a template teaches them.
package enum ToolCallFormat: String, CaseIterable, Sendable {
    case harmony, deepSeekMarkup, deepSeekMarkup4, deepSeek, deepSeekPlain, kimi, kimi3, miniMax, miniMax3
    case gemma4, functionGemma, hunyuan3, apertus, solarOpen, gigaChat, longCat, longCatKeyed, miniCPM5, dots
    case step3, internLM, seed, mistralNamed
    case mistral, command, lfm, miniCPM, glm, qwenMarkup, jamba, nemotron, granite, functionary, hermes, llama

    var syntax: ToolCallSyntax {
        switch self {
        case .harmony: .harmony
        case .deepSeekMarkup: .deepSeekMarkup
        case .deepSeekMarkup4: .deepSeekMarkup4
        case .deepSeek: .deepSeek
        case .deepSeekPlain: .deepSeekPlain
        case .kimi: .kimi
        case .kimi3: .kimi3
        case .miniMax: .miniMax
        case .miniMax3: .miniMax3
        case .gemma4: .gemma4
        case .functionGemma: .functionGemma
        case .hunyuan3: .hunyuan3
        case .apertus: .apertus
        case .solarOpen: .solarOpen
        case .gigaChat: .gigaChat
        case .longCat: .longCat
        case .longCatKeyed: .longCatKeyed
        case .miniCPM5: .miniCPM5
        case .dots: .dots
        case .step3: .step3
        case .internLM: .internLM
        case .seed: .seed
        case .mistralNamed: .mistralNamed
        case .mistral: .mistral
        case .command: .command
        case .lfm: .lfm
        case .miniCPM: .miniCPM
        case .glm: .glm
        case .qwenMarkup: .qwenMarkup
        case .jamba: .jamba
        case .nemotron: .nemotron
        case .granite: .granite
        case .functionary: .functionary
        case .hermes: .hermes
        case .llama: .llama
        }
    }

    /// Texts that the parser looks for; decoding has to keep them even where they are special tokens.
    package var markers: [String] { self == .harmony ? HarmonyParser.marks : syntax.marks + extraMarks }

    /// Tags in the headers of Mistral's calls, and the like.
    private var extraMarks: [String] {
        switch self {
        case .mistral, .mistralNamed: ["[CALL_ID]", "[ARGS]"]
        case .kimi: ["<|tool_call_argument_begin|>"]
        case .deepSeek, .deepSeekPlain: ["<｜tool▁sep｜>"]
        case .step3: ["<｜tool_call_begin｜>", "<｜tool_sep｜>"]
        case .deepSeekMarkup, .deepSeekMarkup4: ["｜DSML｜"]
        case .solarOpen: ["<|tool_call:name|>", "<|tool_call:args|>"]
        default: []
        }
    }

    /// Finds the format that a template teaches.
    ///
    /// Only the template counts: a vocabulary often has marks that its model, trained further by others, never uses.
    ///
    /// - Parameter source: The template's text.
    /// - Returns: Nil when it writes no tools, or their calls in a way not known here.
    package static func detect(template source: String) -> ToolCallFormat? {
        guard source.contains("tools") || source.contains("tool_calls") else { return nil }
        return allCases.first { $0.syntax.isTaught(source) }
    }
}

// MARK: Names of calls

extension ToolCallFormat {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")

    /// Whether templates refuse ids that are not nine letters or digits.
    private var hasShortIDs: Bool { self == .mistral || self == .mistralNamed }

    /// A new id for a call, as the templates of the family want it.
    package func newCallID() -> String {
        var random = SystemRandomNumberGenerator()
        let count = hasShortIDs ? 9 : 24
        let characters = (0..<count).map { _ in Self.alphabet[Int.random(in: 0..<62, using: &random)] }
        return (hasShortIDs ? "" : "call_") + String(characters)
    }

    /// The messages with ids that the family's templates accept.
    ///
    /// A client may bring calls of another model. The n-th id that does not fit becomes `call` and the number, so that
    /// a longer conversation begins with the same text; Kimi's ids name the function and the call's number.
    func fittingIDs(_ messages: [ChatMessage]) -> [ChatMessage] {
        guard hasShortIDs || self == .kimi else { return messages }
        var names: [String: String] = [:]
        var count = 0
        func fitting(_ id: String, _ function: String?) -> String {
            if let name = names[id] { return name }
            let number = "\(names.count % 100_000)"
            var name = "call" + String(repeating: "0", count: 5 - number.utf8.count) + number
            if self == .kimi {
                guard let function, ToolCallSyntax.kimiName(id: id) == nil else { return id }
                name = "functions.\(function):\(count)"
            } else if id.utf8.count == 9, id.allSatisfy({ Self.alphabet.contains($0) }) {
                return id
            }
            names[id] = name
            return name
        }
        return messages.map { message in
            var message = message
            for i in message.toolCalls.indices {
                message.toolCalls[i].id = fitting(message.toolCalls[i].id, message.toolCalls[i].name)
                count += 1
            }
            message.toolCallID = message.toolCallID.map { fitting($0, nil) }
            return message
        }
    }
}
