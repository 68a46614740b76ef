import Foundation
import SCX

/// Prints an answer while it is computed, and then what it cost.
func show(_ answer: Answer) async throws {
    for try await part in answer {
        switch part {
        case .thought: break  // of models that think before they answer
        case .text(let text): print(text, terminator: "")
        case .end(let ending):
            print("\n[\(ending.crossing); \(ending.reusedTokens) of \(ending.promptTokens) tokens reused]")
        }
    }
}

/// Answers the questions on the command line, or two of its own, in one conversation.
func run() async throws {
    // The worker is a part of this program here, so that nothing else is needed. On another machine it is:
    //     .tcp(host: "worker.example", port: 7070, files: TLSFiles(directory: "keys"))
    let options = Model.Options(profile: .sealed, workers: [.inProcess])
    let model = try await Model.open(.bundled, options: options)
    print("\(model.name), \(model.disclosure)")

    let given = Array(CommandLine.arguments.dropFirst())
    let questions = given.isEmpty ? ["What are the symptoms of asthma?", "Thank you."] : given
    let conversation = model.conversation()
    for question in questions {
        print("\n> \(question)")
        let answer = try await conversation.ask(question, options: AnswerOptions(maximumTokens: 60))
        try await show(answer)
    }
    await conversation.close()

    let vector = try await model.embedding(of: "asthma")
    print("\nThe embedding of a word has \(vector.count) numbers.")
    print("In all: \(model.crossing).")
    await model.close()
}

do { try await run() } catch {
    // A ModelError is one line that names who is at fault, and holds no text of anybody's.
    print("ask: \(error)")
    exit(1)
}
