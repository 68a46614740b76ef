import CSCXCoverage
import SCXInference

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Gives inputs to one reader, one after the other, in a process that may crash.
package struct FuzzRun {
    /// How much the process's peak memory may grow by one input, in bytes; more is a finding.
    ///
    /// It is generous, since the address sanitizer keeps a part of what was freed.
    private static let mostMemory = 1 << 30

    private var target: any FuzzTarget
    private var mutator: Mutator
    private var inputs: [[UInt8]]
    private let seedCount: Int
    private let journal: FuzzJournal

    /// - Parameters:
    ///   - target: The reader.
    ///   - seeds: First inputs in addition to the reader's own, such as those of former findings.
    ///   - seed: Seed of the random numbers by which inputs are changed.
    ///   - journal: The journal, in which each input is written before the reader gets it.
    package init(_ target: any FuzzTarget, seeds: [[UInt8]], seed: UInt64, journal: FuzzJournal) {
        self.target = target
        self.journal = journal
        inputs = (target.seeds + seeds).map { Array($0.prefix(target.longest)) }
        if inputs.isEmpty { inputs = [[]] }
        seedCount = inputs.count
        mutator = Mutator(seed: seed, words: target.words, longest: target.longest)
    }

    /// Gives the reader all seeds, and then new inputs until the time is over.
    ///
    /// - Parameters:
    ///   - end: When to stop; the seeds are read in any case.
    ///   - count: The most inputs.
    /// - Throws: ``FuzzJournal/Failure`` when an input cannot be written to the journal.
    package mutating func run(until end: ContinuousClock.Instant, count: Int = .max) throws {
        let seeds = inputs
        for seed in seeds { _ = try attempt(seed) }
        var left = count - seeds.count
        while left > 0, ContinuousClock.now < end {
            left -= 1
            let old = inputs[mutator.below(inputs.count)]
            let input = mutator.mutated(old, inputs[mutator.below(inputs.count)])
            let isNew = try attempt(input)
            // Without coverage it is not known which inputs are useful, so one in 64 is kept at random.
            let isKept = cscx_coverage_branches() > 0 ? isNew : mutator.below(64) == 0
            if isKept { keep(input) }
        }
    }

    /// Adds an input to those from which new ones are made.
    ///
    /// The seeds always stay; beside them there are at most 4,096 inputs, of which a random one makes room.
    private mutating func keep(_ input: [UInt8]) {
        if inputs.count >= seedCount + 4096 {
            inputs.remove(at: seedCount + mutator.below(inputs.count - seedCount))
        }
        inputs.append(input)
    }

    /// Gives one input to the reader; returns whether it reached code that no earlier input had reached.
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

    /// The process's peak memory so far, in bytes.
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
