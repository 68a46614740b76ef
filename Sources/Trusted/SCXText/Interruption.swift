import Foundation

/// Tells long work on the calling thread that nobody wants its result any more.
///
/// Tokenising and rendering look at it now and then, and stop: what they give then is of no use. It belongs to a thread, so
/// that what works deep inside need not be handed it.
package enum Interruption {
    private final class Box {
        let check: @Sendable () -> Bool

        init(_ check: @escaping @Sendable () -> Bool) { self.check = check }
    }

    private static let name = "scx interruption"

    /// Asked by the work; nil where nothing can interrupt it.
    package static var check: (@Sendable () -> Bool)? {
        (Thread.current.threadDictionary[name] as? Box)?.check
    }

    /// Whether to stop.
    package static var isRequested: Bool { check?() ?? false }

    /// Does work that stops when it is told to.
    ///
    /// - Parameters:
    ///   - check: Whether to stop; asked on this thread.
    ///   - work: What to do.
    /// - Returns: What the work gives.
    /// - Throws: What the work throws.
    package static func watching<Value, Failure: Error>(
        _ check: @escaping @Sendable () -> Bool, _ work: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let before = Thread.current.threadDictionary[name]
        Thread.current.threadDictionary[name] = Box(check)
        defer { Thread.current.threadDictionary[name] = before }
        return try work()
    }
}
