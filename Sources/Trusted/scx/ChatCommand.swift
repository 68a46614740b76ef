import ArgumentParser
import SCX
import SCXEngine
import SCXInference
import SCXText
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Set by Ctrl-C while an answer is generated.
private let interrupted = Atomic(false)

struct ChatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat", abstract: "Talk with a model.",
        discussion: """
            Ctrl-C stops the answer, Ctrl-D ends. A line that ends in a backslash goes on in the next; lines between \
            two lines of \"\"\" are one message. /reset forgets the conversation, /save FILE writes it as JSON, \
            /help lists the commands, /quit ends. What a model thinks first goes to standard error.
            """)

    @OptionGroup var options: ModelOptions
    @OptionGroup var sampling: SamplingOptions

    @Option(help: "Instructions that the conversation begins with.")
    var system: String?

    func run() throws {
        let model = try OpenModel(options)
        let tokenizer = try model.requireTokenizer()
        let format = try model.requireChatFormat()
        let engine = model.makeEngine()
        let interactive = isatty(STDIN_FILENO) == 1
        let opening = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        var messages = opening
        var session: SessionID?
        if interactive {
            standardError("\(model.name), profile \(options.profile.rawValue). /help lists the commands.")
        }
        while let input = readMessage(interactive: interactive) {
            switch input {
            case .text(let text):
                messages.append(ChatMessage(role: "user", content: text))
            case .reset:
                messages = opening
                standardError("The conversation is forgotten.")
                continue
            case .save(let path):
                save(messages, to: path)
                continue
            case .help:
                standardError(
                    "/reset  /save FILE  /quit  Ctrl-C stops an answer; \\ or \"\"\" for several lines")
                continue
            case .quit:
                return
            }
            do {
                let prompt = try format.prompt(messages)
                let syntax = format.answers(withTools: false)
                var request = try sampling.request(
                    prompt: tokenizer.encode(prompt, addSpecialTokens: false), model: model)
                request.shownTokens = Set(syntax.marks.compactMap { tokenizer.id(for: $0) })
                let running = try engine.submit(request, continuing: session)
                session = running
                let start = format.reasoning?.start(after: prompt) ?? .text
                messages.append(try answer(engine, running, AnswerParser(syntax, start: start)))
            } catch {
                // The message could not be answered; the conversation goes on without it.
                messages.removeLast()
                standardError("scx: \(error)")
            }
        }
    }

    /// Streams an answer until it ends or Ctrl-C is pressed.
    private func answer(
        _ engine: Engine, _ session: SessionID, _ parser: AnswerParser
    ) throws -> ChatMessage {
        interrupted.store(false, ordering: .relaxed)
        let earlier = signal(SIGINT) { _ in interrupted.store(true, ordering: .relaxed) }
        defer { _ = signal(SIGINT, earlier) }
        var parser = parser
        var (text, thoughts) = ("", "")
        func show(_ parts: [AnswerEvent]) {
            for part in parts {
                switch part {
                case .reasoning(let piece):
                    thoughts += piece
                    standardError(piece, terminator: "")
                case .text(let piece):
                    if text.isEmpty, !thoughts.isEmpty { standardError("\n") }
                    text += piece
                    standardOutput(piece)
                default: break
                }
            }
        }
        try engine.run(session) { event in
            show(parser.push(event.text))
            return !interrupted.load(ordering: .relaxed)
        }
        show(parser.finish())
        standardOutput("", terminator: "\n")
        return ChatMessage(
            role: "assistant", content: text, reasoning: thoughts.isEmpty ? nil : thoughts)
    }

    private func save(_ messages: [ChatMessage], to path: String) {
        let json = JSON.array(
            messages.map { ["role": .string($0.role), "content": .string($0.content)] })
        do {
            try writeText(json.text + "\n", to: path)
            standardError("Saved \(messages.count) messages to \(path).")
        } catch {
            standardError("scx: \(error)")
        }
    }
}

/// A line or lines that the user typed: a message, or a command.
private enum ChatInput {
    case text(String), reset, save(String), help, quit
}

/// Reads the next message or command; nil at the end of input.
private func readMessage(interactive: Bool) -> ChatInput? {
    while true {
        if interactive { standardError("> ", terminator: "") }
        guard var line = readLine() else { return nil }
        if line == "\"\"\"" {
            var lines: [String] = []
            while let next = readLine(), next != "\"\"\"" { lines.append(next) }
            return .text(lines.joined(separator: "\n"))
        }
        while line.hasSuffix("\\") {
            line.removeLast()
            guard let next = readLine() else { break }
            line += "\n" + next
        }
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        switch words.first {
        case nil: continue
        case "/reset": return .reset
        case "/help": return .help
        case "/quit", "/exit": return .quit
        case "/save":
            if words.count == 2 { return .save(words[1]) }
            standardError("scx: '/save' needs a file's name.")
        case .some(let word) where word.hasPrefix("/"):
            standardError("scx: unknown command '\(word)'; /help lists the commands.")
        default: return .text(line)
        }
    }
}
