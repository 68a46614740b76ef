import Foundation
package import SCXEngine
package import SCXImages
package import SCXInference
package import SCXLink
package import SCXProfiles
package import SCXText

/// A model that is ready to answer: checkpoint, tokenizer, and the worker that computes.
package struct OpenModel {
    package let name: String
    package let checkpoint: Checkpoint
    /// Nil when the directory has no `tokenizer.json`.
    package let tokenizer: Tokenizer?
    /// Embeds texts as the model's files say.
    package let embedder: TextEmbedder
    package let forward: any ForwardPass
    /// Seconds that opening took.
    package let loadSeconds: Double
    private let settings: ModelSettings
    private let worker: WorkerAccess
    private let makeDrafter: () -> (any Drafter)?

    package var configuration: DecoderConfiguration { checkpoint.configuration }

    /// Tokens that end an answer.
    package var stopTokens: Set<Int32> {
        Set(checkpoint.generation.endOfSequence.compactMap { Int32(exactly: $0) })
    }

    /// Loads what the settings name.
    ///
    /// - Parameters:
    ///   - settings: Model, profile and worker.
    ///   - wrap: Put around the way to each main worker.
    /// - Throws: ``ModelError`` for settings that do not go together; otherwise an error of the module that found the
    ///   fault, which names the file or the worker.
    package init(
        _ settings: ModelSettings, wrap: (any WorkerLink) -> any WorkerLink = { $0 }
    ) throws {
        let start = ContinuousClock.now
        self.settings = settings
        name = settings.name
        checkpoint = try Checkpoint(directory: settings.directory)
        tokenizer = try Tokenizer(ifPresentIn: settings.directory)
        embedder = TextEmbedder(
            try SentenceModules(checkpoint), tokenizer: tokenizer, configuration: checkpoint.configuration)
        // First, since it may be refused in a moment.
        makeDrafter = try settings.openDrafts(checkpoint, tokenizer, name)
        worker = try WorkerAccess(settings, checkpoint)
        forward = try Self.forward(settings.profile, settings, checkpoint, tokenizer, worker, wrap)
        loadSeconds = (ContinuousClock.now - start) / .seconds(1)
    }

    /// Another profile's way to compute, through the same worker.
    ///
    /// - Parameters:
    ///   - profile: The profile.
    ///   - wrap: Put around the way to each main worker.
    /// - Returns: What an engine takes.
    /// - Throws: As ``init(_:wrap:)``.
    package func forward(
        _ profile: Profile, wrap: (any WorkerLink) -> any WorkerLink
    ) throws -> any ForwardPass {
        try Self.forward(profile, settings, checkpoint, tokenizer, worker, wrap)
    }

    private static func forward(
        _ profile: Profile, _ settings: ModelSettings, _ checkpoint: Checkpoint, _ tokenizer: Tokenizer?,
        _ worker: WorkerAccess, _ wrap: (any WorkerLink) -> any WorkerLink
    ) throws -> any ForwardPass {
        switch profile {
        case .plain:
            return PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                link: wrap(try worker.makeLink()),
                pictures: checkpoint.configuration.vision == nil
                    ? nil : try PictureModel(checkpoint, pool: settings.pool(idle: .sleep)))
        case .scx:
            try ScxOptions.check(checkpoint)
            let scx = try settings.scx(checkpoint.configuration.blockCount)
            let pool = settings.pool()
            let profile = try ModelProfile.cached(
                checkpoint, encode: tokenizer?.encoding, pool: pool,
                progress: ProgressLine("profiling \(settings.name)", report: settings.progress),
                warn: settings.warn)
            return try ScxForwardPass(
                checkpoint, format: settings.weights, pool: pool, profile: profile, options: scx,
                link: wrap(try worker.makeLink()))
        case .sealed:
            let links = try worker.makeLinks().map { ($0.name, wrap($0.link), $0.hello) }
            return try SealedModel(checkpoint, settings).forward(links, worker.owners)
        case .fixedPoint:
            return try SealedModel(checkpoint, settings).fixedPoint()
        }
    }

    /// The chat template, or why it cannot be used: what needs none is served then.
    ///
    /// - Returns: Both nil when the directory has no chat template.
    package func chatFormat() -> (format: ChatFormat?, fault: String?) {
        do throws(TemplateError) {
            return (try ChatFormat.load(directory: URL(filePath: checkpoint.directory)), nil)
        } catch { return (nil, error.description) }
    }

    /// What reads pictures for the model.
    ///
    /// - Parameter limits: How large a picture may be.
    /// - Returns: Nil for a model that takes none.
    package func pictures(limits: PictureLimits = PictureLimits()) -> PictureReader? {
        PictureReader(checkpoint, limits: limits)
    }

    /// What scores pairs of a query and a text.
    ///
    /// - Throws: ``EmbeddingError`` when the model does not score pairs, or ``CheckpointError``.
    package func scorer() throws -> PairScorer {
        try PairScorer(checkpoint, embedder.modules, tokenizer: tokenizer)
    }

    /// An engine over this model.
    ///
    /// - Parameter forward: How it computes; nil for the profile that the model was opened with.
    /// - Returns: An engine without sessions.
    package func makeEngine(_ forward: (any ForwardPass)? = nil) -> Engine {
        Engine(
            forward: forward ?? self.forward, tokenizer: tokenizer,
            vocabularySize: configuration.vocabularySize,
            maximumLength: configuration.maximumLength,
            drafter: configuration.hasHead ? makeDrafter() : nil)
    }
}
