import Foundation

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

    /// Where the model lies, by ``path(forProgramIn:)``; nil when it is in none of the places.
    package static var path: String? { path(forProgramIn: executableFolder()) }

    /// Looks for the model as a program in some folder does.
    ///
    /// These places are tried in this order:
    /// 1. beside the program, as `ward-3m` or `Models/ward-3m`: a program that was copied with its model;
    /// 2. in `../share/scx/models`, as packages install it;
    /// 3. in `Models` of the checkout whose build folder holds the program: the nearest folder above that has a
    ///    `Package.swift`;
    /// 4. for a program of a package that uses this one: in `Models` of the packages that SwiftPM has checked out for it,
    ///    and, if its checkout lies in a folder `Examples`, in `Models` of the checkout around that.
    ///
    /// Other folders above are not looked into, since other users may be able to write them.
    ///
    /// - Parameter folder: The program's folder, absolute and without symbolic links.
    /// - Returns: A directory with a `config.json` that can be read; nil when no place has one.
    package static func path(forProgramIn folder: String) -> String? {
        guard folder.hasPrefix("/") else { return nil }
        let parent = Self.parent(of: folder) ?? ""
        var places = ["\(folder)/\(name)", "\(folder)/Models/\(name)", "\(parent)/share/scx/models/\(name)"]
        var above = Self.parent(of: folder)
        while let checkout = above {
            if canRead("\(checkout)/Package.swift") {
                places.append("\(checkout)/Models/\(name)")
                places += packages(usedBy: checkout).map { "\($0)/Models/\(name)" }
                break
            }
            above = Self.parent(of: checkout)
        }
        return places.first { canRead("\($0)/config.json") }
    }

    /// The packages that a checkout's package depends on, as far as their folders are known.
    private static func packages(usedBy checkout: String) -> [String] {
        let folder = "\(checkout)/.build/checkouts"
        let fetched = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        var packages = fetched.sorted().map { "\(folder)/\($0)" }
        if let examples = parent(of: checkout), examples.hasSuffix("/Examples"),
            let outer = parent(of: examples), canRead("\(outer)/Package.swift")
        {
            packages.append(outer)
        }
        return packages
    }

    /// The folder that holds a file or folder; nil of `/`, whose name is written "" here.
    private static func parent(of path: String) -> String? {
        path.lastIndex(of: "/").map { String(path[..<$0]) }
    }

    private static func canRead(_ path: String) -> Bool { unsafe access(path, R_OK) == 0 }
}
