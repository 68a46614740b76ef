import Foundation

/// What the compilation of one request's schemas may cost.
///
/// Steps are counted, so that whether a schema is refused does not depend on the machine. The limit on time is for what
/// no count foresees.
package struct CompilationLimits: Equatable, Sendable {
    /// Bytes of all names, texts and numbers of the schemas.
    package var bytes = 1 << 20
    /// JSON values that the schemas hold.
    package var values = 100_000
    /// Steps of work for the smallest schema; a larger one has `stepsPerByte` more for each byte, up to `mostSteps`.
    package var steps = 2_000_000
    package var stepsPerByte = 64
    package var mostSteps = 20_000_000
    /// Nodes of the compiled grammar.
    package var nodes = 300_000
    /// States of the automata that regular expressions become.
    package var states = 10_000
    /// Time of the processor on the compiling thread.
    package var time = Duration.seconds(5)

    package init() {}
}

/// The work that a compilation has done, and what is left of it.
///
/// One budget serves all schemas of a request. It belongs to the thread that compiles.
package final class CompilationBudget {
    let limits: CompilationLimits
    private let isCancelled: () -> Bool
    /// Steps of work so far.
    package private(set) var steps = 0
    /// Nodes of grammars so far.
    package private(set) var nodes = 0
    private var bytes = 0
    private var values = 0
    private var states = 0
    private var mostSteps: Int
    private var nextCheck = 0
    private let start: Duration

    /// Steps between two looks at the clock.
    private static let stepsPerCheck = 16_384

    /// Begins to count.
    ///
    /// - Parameters:
    ///   - limits: How much may be spent.
    ///   - isCancelled: Asked now and then whether the result is still wanted.
    package init(_ limits: CompilationLimits = .init(), isCancelled: @escaping () -> Bool = { false }) {
        self.limits = limits
        self.isCancelled = isCancelled
        mostSteps = limits.steps
        start = Self.processorTime
    }

    /// Counts work.
    ///
    /// - Throws: ``ConstraintError/overLimit(_:_:)`` when there was too much, ``ConstraintError/cancelled`` when nobody
    ///   wants the result any more.
    func spend(_ count: Int = 1) throws(ConstraintError) {
        steps += count
        guard steps <= mostSteps else { throw .overLimit(.steps, mostSteps) }
        guard steps >= nextCheck else { return }
        nextCheck = steps + Self.stepsPerCheck
        guard !isCancelled() else { throw .cancelled }
        guard Self.processorTime - start <= limits.time else {
            throw .overLimit(.seconds, Int(limits.time.components.seconds))
        }
    }

    /// Counts a JSON value of a schema and its bytes, which give room for more work.
    func spend(valueOf count: Int) throws(ConstraintError) {
        values += 1
        bytes += count
        guard values <= limits.values else { throw .overLimit(.values, limits.values) }
        guard bytes <= limits.bytes else { throw .overLimit(.bytes, limits.bytes) }
        mostSteps = min(limits.steps + limits.stepsPerByte * bytes, max(limits.mostSteps, limits.steps))
        try spend()
    }

    /// Counts nodes of the grammar.
    func spend(nodes count: Int) throws(ConstraintError) {
        nodes += count
        guard nodes <= limits.nodes else { throw .overLimit(.nodes, limits.nodes) }
        try spend(count)
    }

    /// Counts states of automata.
    func spend(states count: Int) throws(ConstraintError) {
        states += count
        guard states <= limits.states else { throw .overLimit(.states, limits.states) }
        try spend(count)
    }

    /// What this thread has used of the processor.
    private static var processorTime: Duration {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
