import ArgumentParser
import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXOptions
import SCXProfiles
import SCXText

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A model that is ready to answer: checkpoint, tokenizer, and the worker that computes.
struct OpenModel {
    let name: String
    let checkpoint: Checkpoint
    /// Nil when the directory has no `tokenizer.json`.
    let tokenizer: Tokenizer?
    let forward: any ForwardPass
    /// Seconds that opening took.
    let loadSeconds: Double
    private let options: ModelOptions
    private let worker: WorkerAccess
    private let drafts: OpenDrafts

    var configuration: DecoderConfiguration { checkpoint.configuration }

    /// Tokens that end an answer.
    var stopTokens: Set<Int32> { Set(checkpoint.generation.endOfSequence.compactMap { Int32(exactly: $0) }) }

    /// Loads what the options name, with progress on standard error when that is a terminal.
    ///
    /// - Parameters:
    ///   - options: Model, profile and worker.
    ///   - wrap: Put around the way to the worker.
    /// - Throws: An error that names the file, the flag or the worker at fault.
    init(
        _ options: ModelOptions, wrap: (any WorkerLink) -> any WorkerLink = { $0 }
    ) throws {
        let clock = ContinuousClock()
        let start = clock.now
        self.options = options
        let directory = try options.loaded.directory()
        name = directory.split(separator: "/").last.map(String.init) ?? directory
        checkpoint = try Checkpoint(directory: directory)
        tokenizer = try Tokenizer(ifPresentIn: directory)
        // First, since it may be refused in a moment.
        drafts = try OpenDrafts(
            options.speculate, checkpoint, tokenizer, name: name, weights: options.weights,
            threads: options.threads)
        worker = try WorkerAccess(options, checkpoint, name)
        forward = try Self.forward(options.profile, options, checkpoint, tokenizer, name, worker, wrap)
        loadSeconds = (clock.now - start).seconds
    }

    /// Another profile's way to compute, through the same worker.
    func forward(
        _ profile: ModelOptions.Profile, wrap: (any WorkerLink) -> any WorkerLink
    ) throws -> any ForwardPass {
        try Self.forward(profile, options, checkpoint, tokenizer, name, worker, wrap)
    }

    private static func forward(
        _ profile: ModelOptions.Profile, _ options: ModelOptions, _ checkpoint: Checkpoint,
        _ tokenizer: Tokenizer?, _ name: String, _ worker: WorkerAccess,
        _ wrap: (any WorkerLink) -> any WorkerLink
    ) throws -> any ForwardPass {
        switch profile {
        case .plain:
            return PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                link: wrap(try worker.makeLink()))
        case .scx:
            let scx = try options.scx.options(blockCount: checkpoint.configuration.blockCount)
            let pool = ThreadPool(threads: options.threads ?? ThreadPool.systemCores)
            let profile = try ModelProfile.cached(
                checkpoint, encode: tokenizer?.encoding, pool: pool,
                progress: ProgressLine("profiling \(name)")
            ) { standardError("warning: \($0)") }
            return try ScxForwardPass(
                checkpoint, format: options.weights, pool: pool, profile: profile, options: scx,
                link: wrap(try worker.makeLink()))
        case .sealed:
            return try SealedModel(checkpoint, name, options.sealed.pads, threads: options.threads).forward(
                worker.makeLinks().map { ($0.name, wrap($0.link), $0.hello) }, options, worker.owners)
        case .fixedPoint:
            return try SealedModel(checkpoint, name, options.sealed.pads, threads: options.threads)
                .fixedPoint(
                    options.sealed.ringOptions)
        }
    }

    /// The tokenizer, for what cannot be done without.
    func requireTokenizer() throws -> Tokenizer {
        guard let tokenizer else {
            throw ValidationError(
                "'\(name)' has no tokenizer.json: give the prompt as numbers with '--prompt-ids'.")
        }
        return tokenizer
    }

    /// The chat template, or why it cannot be used: what needs none is served then.
    func chatFormat() -> (format: ChatFormat?, fault: String?) {
        do throws(TemplateError) {
            return (try ChatFormat.load(directory: URL(filePath: checkpoint.directory)), nil)
        } catch { return (nil, error.description) }
    }

    /// The chat template, for what cannot be done without.
    func requireChatFormat() throws -> ChatFormat {
        guard let format = try ChatFormat.load(directory: URL(filePath: checkpoint.directory)) else {
            throw ValidationError("'\(name)' has no chat template.")
        }
        return format
    }

    /// An engine over this model.
    func makeEngine(_ forward: (any ForwardPass)? = nil) -> Engine {
        Engine(
            forward: forward ?? self.forward, tokenizer: tokenizer,
            vocabularySize: configuration.vocabularySize,
            maximumLength: configuration.maximumLength, drafter: drafts.makeDrafter())
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

/// Writes to standard error; what files, peers and models brought into the text cannot move the terminal's cursor.
func standardError(_ text: String, terminator: String = "\n") {
    var bytes = Array((text.printable(keepsLines: true) + terminator).utf8)
    unsafe _ = write(STDERR_FILENO, &bytes, bytes.count)
}

/// Writes to standard output at once, so that an answer appears as it is made; a terminal gets no control characters of a
/// model's.
func standardOutput(_ text: String, terminator: String = "") {
    print(isatty(STDOUT_FILENO) == 0 ? text : text.printable(keepsLines: true), terminator: terminator)
    _ = fflush(nil)
}
