import ArgumentParser
import Foundation
import SCXEncoding
import SCXInference
import SCXOptions
import SCXProfiles

extension ModelsCommand {
    struct Sites: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "sites", abstract: "Keep what profile sealed needs of a model's weights.",
            discussion: """
                Reads the whole checkpoint once and writes scales, norms and the secrets that products are verified with \
                to a directory, sealed. Other commands with the same '--site-data' then start without reading the \
                weights; without this command the first of them reads and keeps them.
                """)

        @Argument(
            help: "Model directory as Hugging Face has it, or a GGUF file. (default: the bundled model)")
        var directory: String?

        @Option(help: "The directory, for its owner alone; made if it is not there.")
        var siteData: String

        @OptionGroup var compute: ThreadsFlag

        func validate() throws {
            guard !siteData.isEmpty else { throw ValidationError("'--site-data' names no directory.") }
        }

        func run() throws {
            let directory = try directory ?? BundledModel.directory()
            let name = directory.split(separator: "/").last.map(String.init) ?? directory
            let checkpoint = try Checkpoint(directory: directory)
            let store = try SiteStore(directory: siteData, digest: checkpoint.digest()) {
                standardError("warning: \($0)")
            }
            let start = ContinuousClock.now
            var progress = ProgressLine("reading \(name)")
            let model = try RingModel(
                checkpoint, pool: compute.pool, store: store
            ) { progress.show($0) }
            progress.finish()
            let seconds = String(format: "%.2f s", (ContinuousClock.now - start).seconds)
            let bytes = try FileManager.default.attributesOfItem(atPath: store.path)[.size] as? Int ?? 0
            print("model    \(checkpoint.digest())")
            print(
                "sites    \(model.sites.count), \(model.wereKept ? "read back" : "made of the weights") in \(seconds)"
            )
            print("file     \(store.path), \(bytes) bytes")
        }
    }
}
