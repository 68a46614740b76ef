import Foundation
import SCXLink

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Fills a bank in the background, on a thread of low priority that ends together with the bank.
package enum PadProducer {
    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - bank: The bank to fill to its limits, and to refill when pads were taken.
    ///   - warn: Called with a line each time that the sources begin to fail.
    package static func start(_ bank: PadBank, warn: @escaping @Sendable (String) -> Void = { _ in }) {
        let thread = Thread { [weak bank] in
            #if os(Linux)
                // This lowers the priority of this thread and of threads that it starts, and of no others.
                _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
            #endif
            var isFailing = false
            while let bank, !bank.isClosed {
                do throws(LinkError) {
                    if try bank.prepareNext() {
                        isFailing = false
                        continue
                    }
                    bank.waitForRoom()
                } catch {
                    if !isFailing { warn("no pads can be prepared: \(error)") }
                    isFailing = true
                    Thread.sleep(forTimeInterval: 1)
                }
            }
        }
        thread.name = "scx pads"
        thread.start()
    }
}
