import ArgumentParser
import Foundation
import SCXInference
import SCXOptions
import SCXProfiles
import SCXText

extension ModelsCommand {
    struct Profile: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "profile", abstract: "Measure what profile scx has to know of a model.",
            discussion: """
                Writes the statistics from which redundant rows are drawn, and the noise scale 'auto', to this user's \
                cache; without it the first use of the profile does. Then it shows what Laplace noise over the first \
                block's rows does against a worker that compares each row with those of the whole vocabulary. The \
                noise covers that one exchange: see docs/threat-model.md for the exchanges that it does not cover.
                """)

        @Argument(
            help: "Model directory as Hugging Face has it, or a GGUF file. (default: the bundled model)")
        var directory: String?

        @Option(help: "Show this scale too; may be repeated.")
        var scale: [Float] = []

        @OptionGroup var compute: ThreadsFlag

        @Flag(help: "Print one JSON object.")
        var json = false

        func validate() throws {
            for scale in scale where !(scale > 0 && scale <= 1e4) {
                throw ValidationError("'--scale \(scale)' is not between 0 and 10,000.")
            }
        }

        func run() throws {
            let directory = try directory ?? BundledModel.directory()
            let checkpoint = try Checkpoint(directory: directory)
            let pool = compute.pool
            let name = directory.split(separator: "/").last.map(String.init) ?? directory
            let profile = try ModelProfile.measured(
                checkpoint, encode: Tokenizer(ifPresentIn: directory)?.encoding, pool: pool,
                progress: ProgressLine("profiling \(name)")
            ) { standardError("warning: \($0)") }
            let calibration = try NoiseCalibration(checkpoint, pool: pool)
            let weights = try Decoder(
                checkpoint, format: .bf16, pool: pool, parts: DecoderParts(queryKeyValue: [0])
            ).exactWeights(of: .queryKeyValue(block: 0))
            let auto = profile.noiseScale
            let scales = Set([auto / 16, auto / 4, auto / 2, auto] + scale).sorted()
            let rows = scales.map { scale in
                (calibration.measure(scale), calibration.numericError(scale, weights: weights))
            }
            guard !json else { return print(report(profile, calibration, rows).text) }

            print("profile    \(ModelProfile.path(digest: checkpoint.digest()))")
            print("first rows \(calibration.hidden) channels of mean magnitude \(calibration.meanMagnitude)")
            print("")
            print("     scale   hits of \(calibration.trials)   mean rank   ε mean     ε max   error")
            for (row, error) in rows {
                let cells = [
                    column(row.scale, 10), column(Float(row.hits), 14), column(Float(row.meanRank), 12),
                    column(Float(row.meanEpsilon), 9), column(Float(row.maximumEpsilon), 10),
                    column(Float(error), 8),
                ]
                let notes = [
                    row.scale == auto ? "auto" : "", row.isAtChance ? "hits at chance" : "",
                ].filter { !$0.isEmpty }
                print(cells.joined() + (notes.isEmpty ? "" : "  " + notes.joined(separator: ", ")))
            }
            print(
                """

                hits       tokens named right from their noised row, among \(calibration.vocabulary); \
                guessing names \(Float(calibration.trials) / Float(calibration.vocabulary))
                mean rank  of the right token, 0 first to 1 last; 0.5 is chance
                ε          of the whole row, not of one channel: L1 distance of two tokens' rows over the scale
                error      what rounding rows to the noise's step loses in the product, relative
                """)
        }

        private func column(_ value: Float, _ width: Int) -> String {
            let text: String
            if value == value.rounded(), abs(value) < 1e6 {
                text = "\(Int(value))"
            } else {
                // Three significant digits.
                let digits = max(0, 2 - Int(log10(abs(value)).rounded(.down)))
                text = digits > 6 ? String(format: "%.1e", value) : String(format: "%.\(digits)f", value)
            }
            return String(repeating: " ", count: max(1, width - text.count)) + text
        }

        private func report(
            _ profile: ModelProfile, _ calibration: NoiseCalibration,
            _ rows: [(NoiseCalibration.Measurement, Double)]
        ) -> JSON {
            [
                "noise_scale": .double(Double(profile.noiseScale)),
                "vocabulary": .int(calibration.vocabulary), "hidden": .int(calibration.hidden),
                "mean_magnitude": .double(Double(calibration.meanMagnitude)),
                "trials": .int(calibration.trials),
                "scales": .array(
                    rows.map { row, error in
                        [
                            "scale": .double(Double(row.scale)), "hits": .int(row.hits),
                            "at_chance": .bool(row.isAtChance), "mean_rank": .double(row.meanRank),
                            "epsilon_mean": .double(row.meanEpsilon),
                            "epsilon_max": .double(row.maximumEpsilon), "numeric_error": .double(error),
                        ]
                    }),
            ]
        }
    }
}
