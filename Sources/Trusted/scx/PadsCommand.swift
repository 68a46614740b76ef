import ArgumentParser
import Foundation
import SCX
import SCXEncoding
import SCXInference
import SCXOptions
import SCXProfiles

struct PadsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pads",
        abstract: "Prepare pads of profile sealed on disk, and see how many there are.",
        discussion: """
            Commands with '--profile sealed' take pads from the bank, each once, and multiply when it is empty. Remove \
            a bank that was put back from a backup or a snapshot of the machine: its pads may have been used.
            """,
        subcommands: [Fill.self, Status.self])

    struct Fill: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "fill", abstract: "Prepare pads until the bank has them for so many tokens.",
            discussion: "What is there counts: a fill that was interrupted goes on where it was.")

        @Option(help: "Tokens of prompts and answers that the bank has pads for in the end.")
        var count: Int

        @OptionGroup var loaded: ModelFlags

        @OptionGroup var pads: PadFlags

        @OptionGroup var tls: TLSFlags

        func validate() throws {
            guard (1...1_000_000_000).contains(count) else {
                throw ValidationError("'--count \(count)' is not a number of tokens (1 to 1000000000).")
            }
        }

        func run() throws {
            var settings = ModelSettings(directory: try loaded.directory())
            settings.threads = loaded.threads
            settings.pads = try pads.settings(tls)
            settings.warn = { standardError("warning: \($0)") }
            let checkpoint = try Checkpoint(directory: settings.directory)
            let store = try pads.makeStore(checkpoint)
            let sealed = try SealedModel(checkpoint, settings)
            let sites = try sealed.ringModel().sites
            let sources = try asFlags { try sealed.sources() }
            for case (let source, let failure?) in sources {
                standardError("warning: \(source.name) is not asked: \(failure)")
            }
            var fill = PadFill(
                store, sites: sites, sources: sources.filter { $0.failure == nil }.map(\.source))
            fill.fileRows = PadFill.fileRows(sites, memory: pads.memory)
            var line = ProgressLine("preparing pads")
            let start = ContinuousClock.now
            try fill.run(tokens: count) { progress in
                let rate = Double(progress.rows) / (ContinuousClock.now - start).seconds
                let left = Double(progress.totalRows - progress.rows) / rate
                line.show(
                    Double(progress.rows) / Double(progress.totalRows),
                    note: "\(number(rate / Double(sites.count))) tokens/s, \(time(left)) left, "
                        + "\(size(progress.bytes)) on disk")
                return true
            }
            line.finish()
            let hasHead = checkpoint.configuration.hasHead
            try print(PadStoreStatus(directory: store.path, hasHead: hasHead).text)
        }

        private func number(_ value: Double) -> String {
            value < 10 ? String(format: "%.1f", value) : String(format: "%.0f", value)
        }

        private func time(_ seconds: Double) -> String {
            let seconds = Int(min(seconds, 1e9).rounded(.up))
            if seconds < 60 { return "\(seconds) s" }
            if seconds < 3_600 { return "\(seconds / 60) min \(seconds % 60) s" }
            return "\(seconds / 3_600) h \(seconds % 3_600 / 60) min"
        }
    }

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status", abstract: "Say what a bank has, without changing it.")

        @Option(help: "Model directory as Hugging Face has it, or a GGUF file. (default: the bundled model)")
        var model: String?

        @Option(help: "Directory of the bank. (default: this user's bank of the model)")
        var bank: String?

        @Flag(help: "Print one JSON object.")
        var json = false

        func run() throws {
            var flags = PadFlags()
            (flags.given, flags.bank, flags.siteData, flags.padMemory) = ([], bank, nil, 1024)
            let checkpoint: Checkpoint? =
                if bank != nil && model == nil { nil } else {
                    try Checkpoint(directory: model ?? BundledModel.directory())
                }
            let digest = checkpoint?.digest()
            let status = try PadStoreStatus(
                directory: flags.directory(digest ?? ""), hasHead: checkpoint?.configuration.hasHead ?? true)
            if let digest, digest != status.digest {
                throw ValidationError(
                    "'\(status.path)' holds pads of another model (digest \(status.digest), this one has \(digest))."
                )
            }
            print(json ? status.json.text : status.text)
        }
    }
}

extension PadStoreStatus {
    /// The status as lines for the terminal.
    fileprivate var text: String {
        var lines = [
            "bank     \(path)", "model    \(digest)", "tokens   \(tokens)",
            "batches  \(batches), \(size(bytes))", "burnt    \(burntBatches)",
        ]
        lines += problems.map { "refused  \($0)" }
        return lines.joined(separator: "\n")
    }

    fileprivate var json: JSON {
        [
            "directory": .string(path), "model_digest": .string(digest), "tokens": .int(tokens),
            "batches": .int(batches), "bytes": .int(bytes), "burnt_batches": .int(burntBatches),
            "refused": .array(problems.map(JSON.string)),
        ]
    }
}

/// Formats a number of bytes with a unit.
private func size(_ bytes: Int) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"]
    var (value, unit) = (Double(bytes), 0)
    while value >= 1000, unit + 1 < units.count { (value, unit) = (value / 1000, unit + 1) }
    guard unit > 0 else { return "\(bytes) bytes" }
    return String(format: value < 10 ? "%.1f" : "%.0f", value) + " " + units[unit]
}
