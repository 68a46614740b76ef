import CSCXCoverage
import SCXInference

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Gives one reader inputs, one after the other, in the process that a finding may end.
package struct FuzzRun {
    /// Memory that one input may take, in bytes.
    ///
    /// The sanitizer holds back a part of what was freed.
    private static let mostMemory = 1 << 30

    private var target: any FuzzTarget
    private var mutator: Mutator
    private var inputs: [[UInt8]]
    private let seedCount: Int
    private let journal: FuzzJournal

    /// - Parameters:
    ///   - target: The reader.
    ///   - seeds: Inputs to begin with besides the reader's own, such as former findings.
    ///   - seed: Of the sequence of inputs.
    ///   - journal: Where each input is written before it is tried.
    package init(_ target: any FuzzTarget, seeds: [[UInt8]], seed: UInt64, journal: FuzzJournal) {
        self.target = target
        self.journal = journal
        inputs = (target.seeds + seeds).map { Array($0.prefix(target.longest)) }
        if inputs.isEmpty { inputs = [[]] }
        seedCount = inputs.count
        mutator = Mutator(seed: seed, words: target.words, longest: target.longest)
    }

    /// Tries all seeds, and then new inputs until the time is over.
    ///
    /// - Parameters:
    ///   - end: When to stop, after all seeds at the earliest.
    ///   - count: How many inputs to stop at, if that is earlier.
    /// - Throws: ``FuzzJournal/Failure`` when an input cannot be written down.
    package mutating func run(until end: ContinuousClock.Instant, count: Int = .max) throws {
        let seeds = inputs
        for seed in seeds { _ = try attempt(seed) }
        var left = count - seeds.count
        while left > 0, ContinuousClock.now < end {
            left -= 1
            let old = inputs[mutator.below(inputs.count)]
            let input = mutator.mutated(old, inputs[mutator.below(inputs.count)])
            let isNew = try attempt(input)
            // Without coverage nothing tells good inputs: some are built upon by chance.
            let isKept = cscx_coverage_branches() > 0 ? isNew : mutator.below(64) == 0
            if isKept { keep(input) }
        }
    }

    /// Inputs that others are made of; the seeds stay, as the youngest of the others do.
    private mutating func keep(_ input: [UInt8]) {
        if inputs.count >= seedCount + 4096 {
            inputs.remove(at: seedCount + mutator.below(inputs.count - seedCount))
        }
        inputs.append(input)
    }

    /// Tries one input, and says whether it went where none did before.
    private mutating func attempt(_ input: [UInt8]) throws -> Bool {
        try journal.begin(input)
        let before = Self.peakMemory
        cscx_coverage_begin()
        do { try target.run(input) } catch {}
        let found = cscx_coverage_end()
        let grown = Self.peakMemory - before
        if grown > Self.mostMemory {
            FuzzJournal.print("an input took \(grown >> 20) MiB of memory")
            exit(FuzzJournal.memoryStatus)
        }
        return found > 0
    }

    /// Bytes that this process ever had in memory.
    private static var peakMemory: Int {
        var usage = rusage()
        #if canImport(Glibc)
            unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        #else
            unsafe getrusage(RUSAGE_SELF, &usage)
        #endif
        #if canImport(Darwin)
            return usage.ru_maxrss
        #else
            return usage.ru_maxrss << 10
        #endif
    }
}
