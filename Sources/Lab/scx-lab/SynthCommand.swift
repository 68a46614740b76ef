import ArgumentParser
import SCXInference

struct SynthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synth",
        abstract: "Writes a random checkpoint with a tokenizer.",
        discussion: """
            The directory looks like a published model of that shape, but the weights are random: it measures \
            speed and tests programs. The same seed gives the same files on every machine.

            Shapes: \(shapes.map(\.name).joined(separator: ", "))
            """)

    @Option(help: ArgumentHelp("Which model's sizes.", valueName: "name"))
    var shape: String

    @Option(help: ArgumentHelp("The directory to write.", valueName: "dir"))
    var out: String

    @Option(help: "Chooses the weights.")
    var seed: UInt64 = 0

    @Option(help: "How weights are stored: bf16, f16 or f32.")
    var dtype: StoredType = .bf16

    @Option(
        help:
            "How many times larger a few channels' activations are, as in large language models: 30 to 1000."
    )
    var outliers: Float?

    @Option(help: "Threads that draw numbers.")
    var threads: Int = 2

    @Flag(help: "Write into a directory that is not empty, replacing the model in it.")
    var force = false

    enum StoredType: String, CaseIterable, ExpressibleByArgument {
        case bf16, f16, f32

        var elementType: ElementType {
            switch self {
            case .bf16: .bf16
            case .f16: .f16
            case .f32: .f32
            }
        }
    }

    func validate() throws {
        guard (1...1024).contains(threads) else { throw ValidationError("--threads must be in 1…1024") }
        if let outliers, !(1...1e6).contains(outliers) {
            throw ValidationError("'--outliers \(outliers)' is not from 1 to 1000000.")
        }
        guard Self.shape(shape) != nil else {
            let names = Self.shapes.map(\.name).joined(separator: ", ")
            throw ValidationError("no shape '\(shape)'; there are \(names)")
        }
    }

    private static func shape(_ name: String) -> SyntheticShape? {
        shapes.first { $0.name == name }
    }

    /// The shapes of the package, and a small one with a large vocabulary for the laboratory.
    static let shapes: [SyntheticShape] = {
        var all = SyntheticShape.all
        guard var small = all.first(where: { $0.name == "tinyllama-1.1b" })?.configuration else { return all }
        (small.hiddenSize, small.blockCount, small.feedForwardSize) = (64, 4, 160)
        (small.headCount, small.keyValueHeadCount, small.headSize) = (4, 2, 16)
        small.rope.rotaryDimension = small.headSize
        small.slidingWindows = [Int?](repeating: nil, count: small.blockCount)
        all.append(SyntheticShape(name: "tiny-32k", configuration: small))
        return all
    }()

    func run() throws {
        guard let shape = Self.shape(shape) else { return }  // Ruled out above.
        if !force, try !SyntheticCheckpoint.isVacant(out) {
            throw ValidationError("\(out) is not an empty directory; --force replaces the model in it")
        }
        let clock = ContinuousClock()
        let start = clock.now
        var progress = ProgressLine("writing \(shape.name)")
        try SyntheticCheckpoint.write(
            shape, to: out, seed: seed, type: dtype.elementType,
            outliers: outliers.map { SyntheticOutliers(strength: $0) }, pool: ThreadPool(threads: threads)
        ) { written, total in progress.show(Double(written) / Double(total)) }
        progress.finish()
        print("\(out): \(shape.name), \(shape.configuration.parameterCount) parameters, \(clock.now - start)")
    }
}
