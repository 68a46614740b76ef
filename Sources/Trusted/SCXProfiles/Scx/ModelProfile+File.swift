import Foundation
import SCXEncoding
package import SCXInference

/// Reads and writes a model's profile as a safetensors file: mean, factors and norms of each place, and the scale of
/// the noise.
extension ModelProfile {
    private static let noiseName = "noise.scale"

    /// Where this user's profile of a model is stored.
    ///
    /// - Parameter digest: The model's digest.
    /// - Returns: A file in the user's cache; it need not exist.
    package static func path(digest: String) -> String {
        let environment = ProcessInfo.processInfo.environment
        let home = environment["HOME"] ?? NSHomeDirectory()
        let cache = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "\(home)/.cache"
        let name = digest.filter { $0.isLetter || $0.isNumber }
        return "\(cache)/scx/\(name).profile.safetensors"
    }

    /// The profile of a model, from this user's cache; if it is not there, the model is measured now and the profile
    /// stored.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - encode: Converts a text to the model's tokens; nil for a model without a tokenizer.
    ///   - pool: Threads that measure.
    ///   - progress: Shows the progress of measuring.
    ///   - warn: Called with a line when a file cannot be read or written, which is no reason to fail.
    /// - Returns: The profile.
    /// - Throws: When the model cannot be measured, as ``init(measuring:tokens:pool:progress:)``.
    package static func cached(
        _ checkpoint: Checkpoint, encode: ((_ text: String) -> [Int32])?, pool: ThreadPool,
        progress: ProgressLine, warn: (_ message: String) -> Void
    ) throws -> ModelProfile {
        let path = path(digest: checkpoint.digest())
        if FileManager.default.fileExists(atPath: path) {
            do { return try ModelProfile(contentsOf: path, configuration: checkpoint.configuration) } catch {
                warn("\(error); the model is measured again")
            }
        }
        return try measured(checkpoint, encode: encode, pool: pool, progress: progress, warn: warn)
    }

    /// Measures a model, and stores the profile in this user's cache; see ``cached(_:encode:pool:progress:warn:)``.
    package static func measured(
        _ checkpoint: Checkpoint, encode: ((_ text: String) -> [Int32])?, pool: ThreadPool,
        progress: ProgressLine, warn: (_ message: String) -> Void
    ) throws -> ModelProfile {
        var progress = progress
        let vocabulary = checkpoint.configuration.vocabularySize
        let tokens = encode?(sampleText) ?? sampleTokens(vocabulary: vocabulary)
        let profile = try ModelProfile(measuring: checkpoint, tokens: tokens, pool: pool) {
            progress.show($0)
        }
        progress.finish()
        do { try profile.write(to: path(digest: checkpoint.digest())) } catch {
            warn("\(error); the next run measures the model again")
        }
        return profile
    }

    /// Writes the profile; makes the file's folder if it is not there.
    ///
    /// - Throws: ``CheckpointError`` that names the file.
    package func write(to path: String) throws {
        let folder = URL(filePath: path).deletingLastPathComponent()
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let sorted = places.sorted { $0.key.name < $1.key.name }
        var tensors = [SafeTensorsWriter.Tensor(Self.noiseName, .f32, [1])]
        for (place, statistics) in sorted {
            let channels = statistics.channels
            tensors.append(.init("\(place.name).mean", .f32, [channels]))
            tensors.append(.init("\(place.name).factors", .f32, [RowStatistics.factorCount, channels]))
            tensors.append(.init("\(place.name).norms", .f32, [statistics.norms.count]))
        }
        var writer = try SafeTensorsWriter(path, tensors: tensors)
        try unsafe writer.append([noiseScale].span.bytes)
        for (_, statistics) in sorted {
            try unsafe writer.append(statistics.mean.span.bytes)
            try unsafe writer.append(statistics.factors.span.bytes)
            try unsafe writer.append(statistics.norms.span.bytes)
        }
        try writer.finish()
    }

    /// Reads a profile of this model.
    ///
    /// - Throws: ``CheckpointError`` that names the file and the tensor, when it is missing or of another model;
    ///   ``KernelError`` when there is no memory.
    package init(contentsOf path: String, configuration: DecoderConfiguration) throws {
        let file = try SafeTensorsFile(path)
        let heads = configuration.headCount * configuration.headSize
        let keys = configuration.keyValueHeadCount * configuration.headSize
        var places: [Place: RowStatistics] = [:]
        for place in Place.all(blocks: configuration.blockCount) {
            let channels =
                switch place {
                case .outputInput: heads
                case .keys: keys
                case .attentionInput, .feedForwardInput, .headInput: configuration.hiddenSize
                }
            func values(_ part: String, _ shape: [Int]) throws(CheckpointError) -> [Float] {
                try file.values("\(place.name).\(part)", shape)
            }
            places[place] = try RowStatistics(
                mean: values("mean", [channels]),
                factors: values("factors", [RowStatistics.factorCount, channels]),
                norms: values("norms", [RowStatistics.normCount]))
        }
        self.places = places
        noiseScale = try file.values(Self.noiseName, [1])[0]
        guard noiseScale.isFinite, noiseScale >= 0 else {
            throw CheckpointError.file(path: path, action: "use it", reason: "its noise scale is no scale")
        }
    }
}

extension SafeTensorsFile {
    /// The values of a tensor that must have this shape.
    fileprivate func values(_ name: String, _ shape: [Int]) throws(CheckpointError) -> [Float] {
        let tensor = try tensor(name)
        guard tensor.shape == shape else {
            throw .file(path: path, action: "use it", reason: "'\(name)' has another shape")
        }
        return tensor.values()
    }
}
