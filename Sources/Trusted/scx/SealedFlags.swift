public import ArgumentParser
import SCXEncoding
public import SCXInference
import SCXProfiles

/// Settings of profile `sealed`.
struct SealedFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where products of pads come from: direct (this side multiplies), or peer:ADDRESS, a worker of another owner.",
            discussion: "May be repeated; the first that gives them counts. Addresses are as for '--worker'. (default: direct)"))
    var pads: [PadPlace] = []

    @Option(help: "Megabytes of prepared products of pads in memory at most.")
    var padMemory = 1024

    @Option(help: "How this side holds keys and values: \(LayerCache.Format.names).")
    var kv = LayerCache.Format.f32

    @Option(help: "Round the row counts of requests up with rows of noise: exact, powers, or a multiple such as 64.")
    var padRows = RowCounts.exact

    enum PadPlace: Equatable, ExpressibleByArgument {
        case direct
        case peer(ModelOptions.WorkerPlace)

        init?(argument: String) {
            if argument == "direct" {
                self = .direct
            } else if argument.hasPrefix("peer:"),
                let place = ModelOptions.WorkerPlace(argument: String(argument.dropFirst(5))),
                place != .inprocess
            {
                self = .peer(place)
            } else {
                return nil
            }
        }
    }

    /// Whether none of them was given.
    var isDefault: Bool { pads.isEmpty && padMemory == 1024 && kv == .f32 && padRows == .exact }

    /// What was given, with the default.
    var padPlaces: [PadPlace] { pads.isEmpty ? [.direct] : pads }

    var ringOptions: RingOptions {
        var options = RingOptions()
        options.cacheFormat = kv
        return options
    }

    var limits: PadBank.Limits {
        var limits = PadBank.Limits()
        limits.bytes = padMemory << 20
        return limits
    }

    func validate() throws {
        guard (1...1 << 20).contains(padMemory) else {
            throw ValidationError("'--pad-memory \(padMemory)' is not from 1 to 1048576 megabytes.")
        }
    }
}

extension LayerCache.Format: ExpressibleByArgument {
    static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

extension RowCounts: ExpressibleByArgument {
    package init?(argument: String) {
        switch argument {
        case "exact": self = .exact
        case "powers": self = .powersOfTwo
        default:
            guard let unit = Int(argument), (2...65_536).contains(unit) else { return nil }
            self = .multiples(of: unit)
        }
    }

    package var defaultValueDescription: String { "exact" }
}
