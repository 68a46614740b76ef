import ArgumentParser
import Foundation
import SCXInference
import SCXOptions

struct ExpertsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "experts",
        abstract: "Measure what it costs profile sealed to hide which experts are taken.",
        discussion: """
            One block's experts multiply random rows: once as profile sealed asks for them, every expert with the same number \
            of slots, and once only those rows that the router chose, a request for each expert that is taken. Both run on \
            the threads of this process, and the best of the repeats counts. Pads are prepared before. The rows are drawn, \
            so that the experts are taken about equally often.
            """)

    @OptionGroup var loaded: ModelFlags

    @Option(help: "Numbers of rows, separated by commas: sessions that generate, or tokens of a prompt.")
    var rows = "1,16,64,512"

    @Option(help: "Runs of each; the best counts.")
    var repeats = 3

    func validate() throws {
        guard repeats > 0, rows.split(separator: ",").allSatisfy({ (1...4_096).contains(Int($0) ?? 0) })
        else {
            throw ValidationError("'--repeats' is positive, and '--rows' are numbers from 1 to 4096.")
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        guard let experts = checkpoint.configuration.experts else {
            throw ValidationError("\(checkpoint.directory) has no experts.")
        }
        let cost = try ExpertCost(checkpoint, pool: loaded.pool)
        print(
            "\(experts.count) experts of \(experts.feedForwardSize) channels, \(experts.perToken) for a token, "
                + "hidden \(checkpoint.configuration.hiddenSize); one block, milliseconds")
        for count in rows.split(separator: ",").compactMap({ Int($0) }) {
            func best(_ once: (Int) throws -> ExpertCost.Times) rethrows -> ExpertCost.Times {
                try (0..<repeats).map { _ in try once(count) }.min { $0.all < $1.all } ?? ExpertCost.Times()
            }
            let (hiding, choosing) = (try best(cost.hiding), try best(cost.choosing))
            func line(_ name: String, _ one: ExpertCost.Times) -> String {
                String(
                    format: "  %@: worker %.2f, trusted side %.2f, %.2f MB sent and %.2f MB received", name,
                    1e3 * one.worker, 1e3 * one.trusted, Double(one.sent) / 1e6, Double(one.received) / 1e6)
            }
            print(
                String(
                    format: "%d rows, %d slots for each expert, which are %.2f times the rows that are taken",
                    count,
                    hiding.slots, Double(hiding.slots * experts.count) / Double(count * experts.perToken)))
            print(line("hiding", hiding))
            print(line("only those chosen", choosing))
            print(
                String(
                    format:
                        "  hiding takes %.2f times the worker's time, %.2f times the whole time, %.2f times the bytes",
                    hiding.worker / choosing.worker, hiding.all / choosing.all,
                    Double(hiding.sent + hiding.received) / Double(choosing.sent + choosing.received)))
        }
    }
}
