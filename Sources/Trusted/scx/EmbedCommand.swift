import ArgumentParser
import SCX
import SCXEngine
import SCXInference
import SCXProfiles

struct EmbedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "embed", abstract: "Turn texts into vectors.",
        discussion: """
            Pooling, normalisation and prompts are those of sentence-transformers' files in the model's directory; without \
            them a vector is the mean of the hidden states. Prints a line of JSON for each text, or with '--compare' how \
            alike the texts are.
            """)

    @OptionGroup var options: ModelOptions

    @Argument(help: "The texts.")
    var texts: [String] = []

    @Option(help: "A file with a text in each line, '-' for standard input.")
    var file: String?

    @Option(help: "The name of the model's prompt that comes before each text.")
    var promptName: String?

    @Option(help: "An instruction in place of that of the model's prompt.")
    var instruction: String?

    @Option(help: "Keep this many channels, as models trained for it allow; the vector is normalised again.")
    var dimensions: Int?

    @Flag(help: "Leave out the end of texts that are too long.")
    var truncate = false

    @Flag(help: "Print the cosine of each pair of texts instead of vectors.")
    var compare = false

    @Option(help: "Write the vectors to this safetensors file, as tensor 'embeddings'.")
    var out: String?

    func validate() throws {
        guard texts.isEmpty != (file == nil) else {
            throw ValidationError("give texts, or a file of them by '--file'.")
        }
        guard promptName == nil || instruction == nil else {
            throw ValidationError("'--prompt-name' and '--instruction' do not go together.")
        }
    }

    func run() throws {
        let model = try OpenModel(options)
        let embedder = model.embedder
        try embedder.check(dimensions: dimensions)
        let prompt: TextEmbedder.Prompt =
            instruction.map { .instruction($0) } ?? promptName.map { .named($0) } ?? .standard
        let texts = try file.map { try readText($0).split(separator: "\n").map(String.init) } ?? self.texts
        let requests = try texts.map { text in
            try embedder.request(text, prompt: prompt, cut: truncate ? embedder.longest : nil)
        }
        let vectors = try model.makeEngine().readings(of: requests)
            .map { embedder.vector($0, dimensions: dimensions) }
        if let out {
            let width = vectors.first?.count ?? 0
            let values = vectors.flatMap(\.self)
            try SafeTensorsWriter.write(
                values.span, name: "embeddings", shape: [vectors.count, width], to: out)
            standardError("Wrote embeddings [\(vectors.count), \(width)] to \(out).")
        } else if compare {
            printCosines(vectors)
        } else {
            for (request, vector) in zip(requests, vectors) {
                let line: JSON = [
                    "tokens": .int(request.prompt.count),
                    "embedding": .array(vector.map { .double(Double($0)) }),
                ]
                print(line.text)
            }
        }
    }

    private func printCosines(_ vectors: [[Float]]) {
        let normed = vectors.map { SentenceModules.normalized($0) }
        for a in normed {
            let cosines = normed.map { b in zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
            print(cosines.map { (($0 * 10_000).rounded() / 10_000).description }.joined(separator: "\t"))
        }
    }
}
