#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A library of the system, opened while the program runs, so that neither its build nor its start needs it.
///
/// A statically linked program (musl) cannot open libraries.
@safe
struct SystemLibrary: Sendable {
    // Stays open as long as the program runs.
    nonisolated(unsafe) private let handle: UnsafeMutableRawPointer

    /// Opens the first of the libraries that the system has; nil where it has none.
    init?(_ names: [String]) {
        #if canImport(Glibc) || canImport(Darwin)
            for name in names {
                if let handle = unsafe dlopen(name, RTLD_NOW | RTLD_LOCAL) {
                    unsafe self.handle = handle
                    return
                }
            }
        #endif
        return nil
    }

    /// Finds a function.
    ///
    /// - Parameters:
    ///   - name: Its name.
    ///   - type: Its type, which the caller must know from the library's header.
    /// - Returns: The function, or nil where the library has none of this name.
    @unsafe
    func function<F>(_ name: String, as type: F.Type) -> F? {
        #if canImport(Glibc) || canImport(Darwin)
            guard let symbol = unsafe dlsym(handle, name) else { return nil }
            return unsafe unsafeBitCast(symbol, to: type)
        #else
            return nil
        #endif
    }

    /// Why there is no library of a format, in the words that fit this program.
    static func missing(_ format: PictureFormat, name: String, package: String) -> ImageError {
        #if canImport(Glibc) || canImport(Darwin)
            .library(format, name: name, package: package)
        #else
            .staticProgram(format)
        #endif
    }
}
