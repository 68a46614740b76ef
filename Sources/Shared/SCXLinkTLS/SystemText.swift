import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A day as in `2025-12-31`, in UTC.
func date(_ moment: Int) -> String {
    var moment = time_t(moment)
    var parts = unsafe tm()
    unsafe gmtime_r(&moment, &parts)
    func padded(_ number: Int32) -> String { (number < 10 ? "0" : "") + "\(number)" }
    return unsafe "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
}

/// Seconds since 1970.
func currentTime() -> Int { time(nil) }

extension IOError {
    /// The system's text for this error.
    var systemReason: String { unsafe String(cString: strerror(errnoCode)) }
}
