import ArgumentParser
import SCX
import SCXEngine
import SCXInference
import SCXProfiles

struct RerankCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rerank", abstract: "Order texts by how well they answer a query.",
        discussion: """
            The model is a cross-encoder (BERT, RoBERTa or ModernBERT with a classification head of one label) or a \
            Qwen3-Reranker. Prints score, number and text, the best first.
            """)

    @OptionGroup var options: ModelOptions

    @Option(help: "The query.")
    var query: String

    @Argument(help: "The texts.")
    var texts: [String] = []

    @Option(help: "A file with a text in each line, '-' for standard input.")
    var file: String?

    @Option(help: "What the query is for, in place of Qwen3-Reranker's own text.")
    var instruction: String?

    @Option(help: "Print only so many.")
    var top: Int?

    @Flag(help: "Leave out the end of pairs that are too long.")
    var truncate = false

    @Flag(help: "Print a line of JSON for each text.")
    var json = false

    func validate() throws {
        guard texts.isEmpty != (file == nil) else {
            throw ValidationError("give texts, or a file of them by '--file'.")
        }
        guard top ?? 1 > 0 else { throw ValidationError("'--top' is at least 1.") }
    }

    func run() throws {
        let model = try OpenModel(options)
        let scorer = try model.scorer()
        let texts = try file.map { try readText($0).split(separator: "\n").map(String.init) } ?? self.texts
        let requests = try texts.map { text in
            try scorer.request(query, text, instruction: instruction, cut: truncate ? scorer.longest : nil)
        }
        let scores = try model.makeEngine().readings(of: requests).map { scorer.score($0) }
        let order = scores.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }
        for index in order.prefix(top ?? .max) {
            if json {
                let line: JSON = [
                    "index": .int(index), "relevance_score": .double(Double(scores[index])),
                    "text": .string(texts[index]),
                ]
                print(line.text)
            } else {
                print("\(scores[index])\t\(index)\t\(texts[index].printable(longest: 200))")
            }
        }
    }
}
