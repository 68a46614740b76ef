#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The demonstration model that comes with the package.
package enum BundledModel {
    package static let name = "ward-3m"

    /// The model's directory: in `Models` beside the program or in a folder above it, which finds it for an installed
    /// copy and in a build folder; nil if it is not there.
    package static var path: String? {
        var folder = executableFolder()
        while !folder.isEmpty {
            let candidate = "\(folder)/Models/\(name)"
            if unsafe access("\(candidate)/config.json", R_OK) == 0 { return candidate }
            guard let slash = folder.lastIndex(of: "/") else { break }
            folder = String(folder[..<slash])
        }
        return nil
    }
}
