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

    @Option(
        help: "A picture in place of texts: a PNG, JPEG or WebP file, for CLIP and SigLIP; may be repeated.")
    var image: [String] = []

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
        guard [!texts.isEmpty, file != nil, !image.isEmpty].count(where: { $0 }) == 1 else {
            throw ValidationError("give texts, a file of them by '--file', or pictures by '--image'.")
        }
        guard image.isEmpty || (promptName == nil && instruction == nil && dimensions == nil) else {
            throw ValidationError(
                "'--prompt-name', '--instruction' and '--dimensions' are for texts, not for '--image'.")
        }
        guard promptName == nil || instruction == nil else {
            throw ValidationError("'--prompt-name' and '--instruction' do not go together.")
        }
    }

    func run() throws {
        let model = try OpenModel(options)
        guard image.isEmpty else { return try show(pictures(model), tokens: nil) }
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
        try show(vectors, tokens: requests.map(\.prompt.count))
    }

    private func pictures(_ model: OpenModel) throws -> [[Float]] {
        let engine = model.makeEngine()
        guard case .embedding? = engine.pictureShape?.vector else {
            throw ValidationError("'\(model.name)' does not give vectors of pictures.")
        }
        let reader = try model.requirePictures()
        return try image.flatMap { try engine.vectors(of: try reader.pixels(of: $0)) }
    }

    /// Prints vectors, or writes them.
    ///
    /// - Parameters:
    ///   - vectors: One for each text or picture.
    ///   - tokens: How many tokens each text has.
    /// - Throws: An error that names the file that cannot be written.
    private func show(_ vectors: [[Float]], tokens: [Int]?) throws {
        if let out {
            let width = vectors.first?.count ?? 0
            let values = vectors.flatMap(\.self)
            try SafeTensorsWriter.write(
                values.span, name: "embeddings", shape: [vectors.count, width], to: out)
            standardError("Wrote embeddings [\(vectors.count), \(width)] to \(out).")
        } else if compare {
            printCosines(vectors)
        } else {
            for (index, vector) in vectors.enumerated() {
                var line: [JSON.Member] = tokens.map { [.init("tokens", .int($0[index]))] } ?? []
                line.append(.init("embedding", .array(vector.map { .double(Double($0)) })))
                print(JSON.object(line).text)
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
