import CSCXSystem
import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Ends the process after SIGTERM or SIGINT, whatever its threads do.
///
/// The first signal asks for an orderly end, which has some time; then, or at the second signal, the process ends at once. A
/// thread of its own waits for that, so that a program whose threads all hang ends too.
package enum EndingWatch {
    /// Begins to watch; the process should watch once.
    ///
    /// - Parameters:
    ///   - drain: How long running answers may take to end.
    ///   - grace: How long all else may take then.
    ///   - onSignal: Asks for an orderly end; called on a thread of its own.
    package static func start(
        drain: Duration, grace: Duration = .seconds(5), onSignal: @escaping @Sendable () -> Void
    ) {
        let pipe = cscx_watch_endings()
        guard pipe >= 0 else { return }
        let thread = Thread {
            cscx_take_endings()
            var number: UInt8 = 0
            while true {
                let count = unsafe read(pipe, &number, 1)
                if count == 1 { break }
                guard count < 0, errno == EINTR else { return }
            }
            // Whatever asks for an orderly end may hang as well.
            Thread.detachNewThread(onSignal)
            let seconds = (drain + grace) / .seconds(1)
            Thread.sleep(forTimeInterval: seconds)
            FileHandle.standardError.write(
                Data("scx: still busy \(Int(seconds)) seconds after the signal to end; ended.\n".utf8))
            _exit(128 + Int32(number))
        }
        thread.name = "scx ending"
        thread.stackSize = 256 << 10
        thread.start()
    }
}
