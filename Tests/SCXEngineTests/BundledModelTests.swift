import Foundation
import SCXProfiles
import Testing

/// Where the model that comes with the programs is looked for.
@Suite("bundled model")
struct BundledModelTests {
    /// A folder of this test alone, removed with it.
    final class Folder {
        let path: String

        init() throws {
            let folder = FileManager.default.temporaryDirectory.resolvingSymlinksInPath()
                .appending(path: "scx-bundled-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            path = folder.path
        }

        /// Makes an empty file and the folders above it.
        func touch(_ name: String) throws {
            let file = URL(filePath: "\(path)/\(name)")
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data().write(to: file)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    @Test("the nearest place wins: beside the program, then share, then the checkout")
    func order() throws {
        let folder = try Folder()
        let programs = "\(folder.path)/.build/release"
        try folder.touch(".build/release/scx")
        func place() -> String? { BundledModel.path(forProgramIn: programs) }

        #expect(place() == nil)
        try folder.touch("Models/ward-3m/config.json")
        #expect(place() == nil, "a folder above that is no checkout was looked into")
        try folder.touch("Package.swift")
        #expect(place() == "\(folder.path)/Models/ward-3m")
        try folder.touch(".build/share/scx/models/ward-3m/config.json")
        #expect(place() == "\(folder.path)/.build/share/scx/models/ward-3m")
        try folder.touch(".build/release/Models/ward-3m/config.json")
        #expect(place() == "\(programs)/Models/ward-3m")
        try folder.touch(".build/release/ward-3m/config.json")
        #expect(place() == "\(programs)/ward-3m")
    }

    @Test("only the nearest checkout counts, and a path that is not absolute finds nothing")
    func nested() throws {
        let folder = try Folder()
        try folder.touch("Package.swift")
        try folder.touch("Models/ward-3m/config.json")
        try folder.touch("inner/Package.swift")
        #expect(BundledModel.path(forProgramIn: "\(folder.path)/inner/.build/release") == nil)
        #expect(BundledModel.path(forProgramIn: "") == nil)
        #expect(BundledModel.path(forProgramIn: "bin") == nil)
    }

    @Test(
        "programs that were copied answer from any directory, in both layouts", arguments: ["bin", "share"])
    func copies(layout: String) throws {
        let folder = try Folder()
        let model = layout == "bin" ? "bin/ward-3m" : "share/scx/models/ward-3m"
        for name in [model, "bin/scx"] {
            try FileManager.default.createDirectory(
                at: URL(filePath: "\(folder.path)/\(name)").deletingLastPathComponent(),
                withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(atPath: LeakTests.bundled, toPath: "\(folder.path)/\(model)")
        for name in ["scx", "scx-worker"] {
            try FileManager.default.copyItem(
                atPath: CommandTests.folder.appending(path: name).path, toPath: "\(folder.path)/bin/\(name)")
        }
        let arguments = ["generate", "--prompt", "Patient", "--max-tokens", "4", "--ignore-eos", "--json"]
        let answered = try run("\(folder.path)/bin/scx", arguments, in: "/")
        #expect(answered.status == 0, "\(answered.text)")
        #expect(answered.text.contains("\"model\":\"ward-3m\""))

        try FileManager.default.removeItem(atPath: "\(folder.path)/\(model)")
        let refused = try run("\(folder.path)/bin/scx", arguments, in: "/")
        #expect(refused.status != 0)
        #expect(refused.text.contains("'--model'"))
    }

    /// Runs a program in a directory.
    ///
    /// - Returns: Its exit status, and all that it wrote.
    private func run(_ program: String, _ arguments: [String], in directory: String) throws -> (
        status: Int32, text: String
    ) {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.currentDirectoryURL = URL(filePath: directory)
        process.environment = ProcessInfo.processInfo.environment.merging(["ASAN_OPTIONS": "detect_leaks=0"])
        {
            $1
        }
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }
}
