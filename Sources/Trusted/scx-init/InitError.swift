#if os(Linux)
    import Glibc

    /// Why the machine cannot go on, in one line for its console.
    package struct InitError: Error, Equatable, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }

        /// What a system call said.
        ///
        /// - Parameters:
        ///   - what: What was tried and on what, such as "/proc: cannot be mounted".
        ///   - code: `errno`, or its negative as the functions of `CSCXBoot` return it.
        init(_ what: String, code: Int32) {
            description = "\(what): \(unsafe String(cString: strerror(abs(code))))"
        }
    }

    /// Writes one line to the console, to which the kernel connects the first process.
    func say(_ line: String) {
        let bytes = Array("scx-init: \(line)\n".utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
#endif
