import ArgumentParser
import SCX
import SCXEncoding
import SCXEngine
import SCXImages
import SCXInference
import SCXLink
import SCXProfiles
import SCXText

struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continue a prompt.",
        discussion: "The text streams to standard output; '--json' prints one object at the end instead.")

    @OptionGroup var options: ModelOptions
    @OptionGroup var prompt: PromptOptions
    @OptionGroup var sampling: SamplingOptions

    @Flag(help: "Put the prompt into the model's chat template, as a user's message.")
    var chat = false

    @Option(help: "A picture of that message: a PNG, JPEG or WebP file; may be repeated.")
    var image: [String] = []

    @Flag(help: "Print one JSON object: prompt, tokens, text, log-probabilities, timings, traffic, drafts.")
    var json = false

    func validate() throws {
        guard image.isEmpty || chat else { throw ValidationError("'--image' needs '--chat'.") }
    }

    func run() throws {
        let model = try OpenModel(options)
        let pictures = try pictures(model)
        let ids = try promptTokens(model, pictures)
        var request = try sampling.request(prompt: ids, model: model)
        request.pictures = pictures
        let engine = model.makeEngine()
        let clock = ContinuousClock()
        let start = clock.now
        var first = start
        var last = start
        var tokens: [SampledToken] = []
        var text = ""
        var reason = FinishReason.length
        var speculation = SpeculationUse()
        try engine.run(engine.submit(request)) { event in
            last = clock.now
            speculation = event.usage.speculation
            if tokens.isEmpty { first = last }
            guard let token = event.token else { return true }
            tokens.append(token)
            text += event.text
            reason = event.finished ?? reason
            if !json {
                standardOutput(
                    model.tokenizer == nil ? (tokens.count > 1 ? " " : "") + "\(token.id)" : event.text)
            }
            return true
        }
        guard json else { return standardOutput("", terminator: "\n") }

        let firstSeconds = (first - start).seconds
        let decodeSeconds = (last - first).seconds
        var report: JSON = [
            "model": .string(model.name),
            "profile": .string(options.profile.rawValue),
            "weights": .string(options.weights.rawValue),
            "prompt_tokens": .array(ids.map { .int(Int($0)) }),
            "tokens": .array(tokens.map { .int(Int($0.id)) }),
            "text": .string(text),
            "finish_reason": .string(reason.rawValue),
            "logprobs": .array(tokens.map { .double(Double($0.logprob)) }),
            "timings": [
                "load_s": .double(model.loadSeconds),
                "ttft_s": .double(firstSeconds),
                "decode_s": .double(decodeSeconds),
                "prompt_tokens": .int(ids.count),
                "generated_tokens": .int(tokens.count),
                "prefill_tokens_per_s": .double(Double(ids.count) / firstSeconds),
                "decode_tokens_per_s": tokens.count > 1
                    ? .double(Double(tokens.count - 1) / decodeSeconds) : .null,
            ],
            "link": [
                "exchanges": .int(engine.traffic.exchanges),
                "bytes_sent": .int(engine.traffic.bytesSent),
                "bytes_received": .int(engine.traffic.bytesReceived),
            ],
            "speculation": [
                "proposed": .int(speculation.proposed),
                "accepted": .int(speculation.accepted),
                "steps": .int(speculation.steps),
            ],
        ]
        if let sealed = model.forward.sealedReport, case .object(let members) = report {
            let (use, values) = (sealed.pads, sealed.values)
            report = .object(
                members + [
                    .init(
                        "pads",
                        [
                            "direct": .int(use.direct), "peer": .int(use.peer), "banked": .int(use.banked),
                            "stalled_s": .double(use.stalledSeconds),
                        ]), .init("refused_products", .int(values.refused)),
                ])
        }
        print(report.text)
    }

    private func pictures(_ model: OpenModel) throws -> [ImagePixels] {
        guard !image.isEmpty else { return [] }
        let reader = try model.requirePictures()
        return try image.map { try reader.pixels(of: $0) }
    }

    private func promptTokens(_ model: OpenModel, _ pictures: [ImagePixels]) throws -> [Int32] {
        guard chat else { return try prompt.tokens(model) }
        var message = ChatMessage(role: "user", content: try prompt.text())
        if !image.isEmpty { message.parts = image.map(ChatMessage.Part.picture) + [.text(message.content)] }
        var text = try model.requireChatFormat().prompt([message])
        if let reader = model.pictures() { text = try reader.prompt(text, pictures) }
        return try model.requireTokenizer().encode(text, addSpecialTokens: false)
    }
}

/// The options that say where the prompt comes from; exactly one of the three must be given.
struct PromptOptions: ParsableArguments {
    @Option(help: "The prompt.")
    var prompt: String?

    @Option(help: "A file with the prompt, '-' for standard input.")
    var promptFile: String?

    @Option(help: "The prompt as token ids, separated by commas: for models without a tokenizer.")
    var promptIds: String?

    func validate() throws {
        let given = [prompt, promptFile, promptIds].compactMap { $0 }.count
        guard given == 1 else {
            throw ValidationError("give the prompt by one of '--prompt', '--prompt-file' and '--prompt-ids'.")
        }
        if promptIds != nil { _ = try ids() }
    }

    /// The prompt's text.
    func text() throws -> String {
        if let prompt { return prompt }
        guard let promptFile else {
            throw ValidationError("'--chat' needs a text: give '--prompt' or '--prompt-file'.")
        }
        return try readText(promptFile)
    }

    /// The prompt's tokens.
    func tokens(_ model: OpenModel) throws -> [Int32] {
        if promptIds != nil { return try ids() }
        return try model.requireTokenizer().encode(text())
    }

    private func ids() throws -> [Int32] {
        try (promptIds ?? "").split(separator: ",").map { part in
            guard let id = Int32(part.filter { $0 != " " }) else {
                throw ValidationError("'--prompt-ids': '\(part)' is not a token id.")
            }
            return id
        }
    }
}

/// The options that say how tokens are drawn and when the answer ends.
struct SamplingOptions: ParsableArguments {
    @Option(help: "Most tokens of the answer.")
    var maxTokens = 256

    @Option(help: "0 takes the likeliest token; higher values vary more.")
    var temperature: Float = 0

    @Option(help: "Draw from the K likeliest tokens (0: all).")
    var topK = 0

    @Option(help: "Draw from the likeliest tokens that together have this probability.")
    var topP: Float = 1

    @Option(help: "Draw from tokens at least this likely, as a share of the likeliest.")
    var minP: Float = 0

    @Option(help: "Divide the logits of tokens seen before by this (1: off).")
    var repetitionPenalty: Float = 1

    @Option(help: "Subtract this from the logits of tokens in the answer so far.")
    var presencePenalty: Float = 0

    @Option(help: "Subtract this for each time that a token is in the answer so far.")
    var frequencyPenalty: Float = 0

    @Option(help: "Add BIAS to the logit of a token, as ID:BIAS; may be repeated.")
    var logitBias: [String] = []

    @Option(help: "Seed of the draws: the same seed gives the same text.")
    var seed: UInt64?

    @Option(help: "End the answer before this text; may be repeated.")
    var stop: [String] = []

    @Flag(help: "Go on after the model's end token.")
    var ignoreEos = false

    func validate() throws {
        guard maxTokens > 0 else { throw ValidationError("'--max-tokens \(maxTokens)' is not positive.") }
        do { try parameters().validate() } catch { throw ValidationError("\(error)") }
    }

    func parameters() throws -> SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = temperature
        parameters.topK = topK
        parameters.topP = topP
        parameters.minP = minP
        parameters.repetitionPenalty = repetitionPenalty
        parameters.presencePenalty = presencePenalty
        parameters.frequencyPenalty = frequencyPenalty
        parameters.seed = seed
        for entry in logitBias {
            let parts = entry.split(separator: ":")
            guard parts.count == 2, let token = Int32(parts[0]), let bias = Float(parts[1]) else {
                throw ValidationError("'--logit-bias \(entry)' is not ID:BIAS.")
            }
            parameters.logitBias[token] = bias
        }
        return parameters
    }

    func request(prompt: [Int32], model: OpenModel) throws -> GenerationRequest {
        GenerationRequest(
            prompt: prompt, maximumTokens: maxTokens, sampling: try parameters(),
            stop: StopConditions(tokens: model.stopTokens, ignoresTokens: ignoreEos, strings: stop))
    }
}
