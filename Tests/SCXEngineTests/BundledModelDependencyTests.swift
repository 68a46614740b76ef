import SCXProfiles
import Testing

/// Where the program of a package that uses this one finds the model.
@Suite("bundled model of a package that is used")
struct BundledModelDependencyTests {
    @Test("in the checkouts of the program's package, its own first")
    func checkouts() throws {
        let folder = try BundledModelTests.Folder()
        try folder.touch("Package.swift")
        func place() -> String? { BundledModel.path(forProgramIn: "\(folder.path)/.build/release") }
        try folder.touch(".build/checkouts/other/Package.swift")
        #expect(place() == nil)
        try folder.touch(".build/checkouts/swift-scx/Models/ward-3m/config.json")
        #expect(place() == "\(folder.path)/.build/checkouts/swift-scx/Models/ward-3m")
        try folder.touch("Models/ward-3m/config.json")
        #expect(place() == "\(folder.path)/Models/ward-3m")
    }

    @Test("around an example, when that is a checkout, and around nothing else")
    func examples() throws {
        let folder = try BundledModelTests.Folder()
        try folder.touch("Models/ward-3m/config.json")
        for name in ["Examples", "Programs"] { try folder.touch("\(name)/ask/Package.swift") }
        func place(_ name: String) -> String? {
            BundledModel.path(forProgramIn: "\(folder.path)/\(name)/ask/.build/debug")
        }
        #expect(place("Examples") == nil, "a folder that is no checkout was looked into")
        try folder.touch("Package.swift")
        #expect(place("Examples") == "\(folder.path)/Models/ward-3m")
        #expect(place("Programs") == nil)
    }
}
