import ArgumentParser
import SCX
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

extension OpenModel {
    /// Loads what the options name, with progress on standard error when that is a terminal.
    ///
    /// - Parameters:
    ///   - options: Model, profile and worker.
    ///   - wrap: Put around the way to the worker.
    /// - Throws: An error that names the file, the flag or the worker at fault.
    init(_ options: ModelOptions, wrap: (any WorkerLink) -> any WorkerLink = { $0 }) throws {
        let settings = try options.settings()
        self = try asFlags { try OpenModel(settings, wrap: wrap) }
    }

    /// The tokenizer, for what cannot be done without.
    func requireTokenizer() throws -> Tokenizer {
        guard let tokenizer else {
            throw ValidationError(
                "'\(name)' has no tokenizer.json: give the prompt as numbers with '--prompt-ids'.")
        }
        return tokenizer
    }

    /// The chat template, for what cannot be done without.
    func requireChatFormat() throws -> ChatFormat {
        let (format, fault) = chatFormat()
        if let fault { throw ValidationError("'\(name)': the chat template cannot be used: \(fault).") }
        guard let format else { throw ValidationError("'\(name)' has no chat template.") }
        return format
    }
}

/// Runs what opens a model; settings that do not go together are the fault of the command's flags.
func asFlags<Value>(_ work: () throws -> Value) throws -> Value {
    do { return try work() } catch let error as ModelError { throw ValidationError("\(error).") }
}

extension ModelOptions {
    /// What the options come down to.
    ///
    /// - Throws: `ValidationError` that names the flag at fault.
    func settings() throws -> ModelSettings {
        var settings = ModelSettings(directory: try loaded.directory())
        settings.profile = profile
        settings.weights = weights
        settings.threads = threads
        settings.workers = workers.isEmpty ? [.process()] : try workers.map { try $0.place(tls) }
        settings.isSharded = sealed.shard != nil
        settings.pads = try sealed.pads.settings(tls)
        settings.rowCounts = sealed.padRows
        settings.pace = sealed.pace.map { .milliseconds($0) }
        settings.ring = sealed.ringOptions
        settings.scx = { [scx] blocks in try scx.options(blockCount: blocks) }
        settings.openDrafts = { [speculate, weights, threads] checkpoint, tokenizer, name in
            let drafts = try OpenDrafts(
                speculate, checkpoint, tokenizer, name: name, weights: weights, threads: threads)
            return { drafts.makeDrafter() }
        }
        settings.warn = { standardError("warning: \($0)") }
        return settings
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
