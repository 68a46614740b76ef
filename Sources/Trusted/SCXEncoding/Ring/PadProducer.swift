import Foundation
import SCXLink

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Fills a bank in the background, on a thread of low priority that ends with the bank.
package enum PadProducer {
    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - bank: To be filled to its limits, and again when pads were taken.
    ///   - warn: Told, once each time, when the source begins to fail.
    package static func start(_ bank: PadBank, warn: @escaping @Sendable (String) -> Void = { _ in }) {
        let thread = Thread { [weak bank] in
            #if os(Linux)
                // Of this thread alone, and of those that it starts.
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
