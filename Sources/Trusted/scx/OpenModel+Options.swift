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
    /// Loads the model that the options name, and shows the progress on standard error when that is a terminal.
    ///
    /// - Parameters:
    ///   - options: The model, profile and workers.
    ///   - wrap: Wraps each link to a worker, for example to record what crosses it.
    /// - Throws: An error that names the file, the flag or the worker at fault.
    init(_ options: ModelOptions, wrap: (any WorkerLink) -> any WorkerLink = { $0 }) throws {
        let settings = try options.settings()
        self = try asFlags { try OpenModel(settings, wrap: wrap) }
    }

    /// Returns the tokenizer, or throws for a command that needs one.
    func requireTokenizer() throws -> Tokenizer {
        guard let tokenizer else {
            throw ValidationError(
                "'\(name)' has no tokenizer.json: give the prompt as numbers with '--prompt-ids'.")
        }
        return tokenizer
    }

    /// Returns the chat template, or throws for a command that needs one.
    func requireChatFormat() throws -> ChatFormat {
        let (format, fault) = chatFormat()
        if let fault { throw ValidationError("'\(name)': the chat template cannot be used: \(fault).") }
        guard let format else { throw ValidationError("'\(name)' has no chat template.") }
        return format
    }
}

/// Runs code that opens a model; turns a ``ModelError``, such as settings that do not go together, into an error about
/// the command's flags.
func asFlags<Value>(_ work: () throws -> Value) throws -> Value {
    do { return try work() } catch let error as ModelError { throw ValidationError("\(error).") }
}

extension ModelOptions {
    /// The settings for opening the model that these options describe.
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

/// Writes to standard error, without control characters that files, peers or models could have put into the text.
func standardError(_ text: String, terminator: String = "\n") {
    var bytes = Array((text.printable(keepsLines: true) + terminator).utf8)
    unsafe _ = write(STDERR_FILENO, &bytes, bytes.count)
}

/// Writes to standard output at once, so that an answer appears while it is generated; when that is a terminal, without
/// control characters from the model.
func standardOutput(_ text: String, terminator: String = "") {
    print(isatty(STDOUT_FILENO) == 0 ? text : text.printable(keepsLines: true), terminator: terminator)
    _ = fflush(nil)
}
