import ArgumentParser
import SCXEncoding
import SCXInference
import SCXOptions
import SCXProfiles

/// The flags of profile `sealed`.
struct SealedFlags: ParsableArguments {
    @OptionGroup var pads: PadFlags

    @OptionGroup var cache: CacheFlag

    @Option(
        help:
            "Round the row counts of requests up with rows of noise: exact, powers, or a multiple such as 64."
    )
    var padRows = RowCounts.exact

    @Option(help: "Send requests at multiples of so many milliseconds, so that their times tell less.")
    var pace: Double?

    @Option(
        help: ArgumentHelp(
            "Reach only so many of a block's experts with a request; it tells the worker which a token does not take.",
            valueName: "count"))
    var expertCover: Int?

    @Option(help: "'columns' when each worker holds a shard of every site ('scx-worker --shard I/N').")
    var shard: Sharding?

    enum Sharding: String, CaseIterable, ExpressibleByArgument {
        case columns
    }

    /// Whether all of these flags have their default values.
    var isDefault: Bool {
        pads.isDefault && cache.kv == .f32 && padRows == .exact && pace == nil && shard == nil
            && expertCover == nil
    }

    var ringOptions: RingOptions {
        var options = RingOptions()
        options.cacheFormat = cache.kv
        options.expertCover = expertCover
        return options
    }

    func validate() throws {
        if let pace, !(0.01...60_000).contains(pace) {
            throw ValidationError("'--pace \(pace)' is not from 0.01 to 60000 milliseconds.")
        }
        if let expertCover, expertCover < 1 {
            throw ValidationError("'--expert-cover \(expertCover)' is not positive.")
        }
    }
}
