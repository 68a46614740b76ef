#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The model that comes with the package.
package enum BundledModel {
    package static let name = "ward-3m"

    /// Where it lies: in `Models` beside the program or in the folders above it, which covers an installed copy and a
    /// build folder; nil where it is not.
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
