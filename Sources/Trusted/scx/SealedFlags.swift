public import ArgumentParser
import SCXEncoding
public import SCXInference
import SCXProfiles

/// Settings of profile `sealed`.
struct SealedFlags: ParsableArguments {
    @OptionGroup var pads: PadFlags

    @Option(
        help: ArgumentHelp(
            "How this side holds keys and values: f32, bf16, f16 or int8.",
            discussion: """
                Bytes of one token for each block and key-value head of 128 channels: f32 1,024, bf16 and f16 512, int8 264. \
                f16 costs no accuracy that shows, bf16 and int8 little (docs/profile-sealed.md has figures).
                """))
    var kv = LayerCache.Format.f32

    @Option(
        help:
            "Round the row counts of requests up with rows of noise: exact, powers, or a multiple such as 64."
    )
    var padRows = RowCounts.exact

    @Option(help: "Send requests at multiples of so many milliseconds, so that their times tell less.")
    var pace: Double?

    @Option(help: "'columns' when each worker holds a shard of every site ('scx-worker --shard I/N').")
    var shard: Sharding?

    enum Sharding: String, CaseIterable, ExpressibleByArgument {
        case columns
    }

    /// Whether none of them was given.
    var isDefault: Bool {
        pads.isDefault && kv == .f32 && padRows == .exact && pace == nil && shard == nil
    }

    var ringOptions: RingOptions {
        var options = RingOptions()
        options.cacheFormat = kv
        return options
    }

    func validate() throws {
        if let pace, !(0.01...60_000).contains(pace) {
            throw ValidationError("'--pace \(pace)' is not from 0.01 to 60000 milliseconds.")
        }
    }

    var limits: PadBank.Limits {
        var limits = PadBank.Limits()
        limits.bytes = pads.memory
        return limits
    }
}

extension LayerCache.Format: ExpressibleByArgument {}

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
