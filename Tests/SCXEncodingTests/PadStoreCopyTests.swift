import Foundation
import SCXEncoding
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite("pads on disk that were copied or put back")
struct PadStoreCopyTests {
    typealias Place = PadFixture.Place

    private static let refusal = """
        is not the one that was used last: the bank is a copy, or was put back from a backup, and its pads may have \
        been used; remove the directory and fill it anew with 'scx pads fill'
        """

    /// A bank of four batches, and a copy of it.
    private struct Banks {
        let model: PadFixture.Model
        let place = Place()
        let backup = Place()

        init() throws {
            model = try PadFixture.model()
            let store = try PadFixture.open(place).store
            for site in [0, 0, 0, 2] { try store.fill(model.sites[site], model.source) }
        }

        func copy() throws { try FileManager.default.copyItem(atPath: place.path, toPath: backup.path) }

        /// Takes two batches in a run of its own.
        func use() throws {
            let store = try PadFixture.open(place).store
            for site in [0, 2] {
                #expect(store.takeIdentities(model.sites[site], model.source)?.count == 3)
            }
        }

        /// Opens a directory with what is known of the bank.
        func open(_ path: String) throws -> PadFixture.Opened {
            try PadFixture.open(path, registry: place.registry)
        }

        func refusal(_ path: String) -> String {
            #expect(throws: VaultError.self) { _ = try open(path) }?.description ?? ""
        }

        /// Writes each file of the copy over the bank's, in the bank's own files.
        func restoreInPlace(_ isRestored: (String) -> Bool = { _ in true }) throws {
            for file in try backup.files("") where isRestored(file) {
                try PadFixture.overwrite(
                    PadFixture.read(file), file.replacing(backup.path, with: place.path))
            }
        }
    }

    @Test("files of a backup that are written over the bank's own are refused")
    func inPlace() throws {
        let banks = try Banks()
        try banks.copy()
        try banks.use()
        let ledger = "\(banks.place.path)/burnt"
        let node = try PadFixture.node(ledger)
        try banks.restoreInPlace()
        #expect(try PadFixture.node(ledger) == node)
        for _ in 0..<2 { #expect(banks.refusal(banks.place.path) == "\(ledger): \(Self.refusal)") }
        #expect(try banks.place.files().count == 4)
    }

    @Test(
        "a backup that replaces ledger and pads, or the whole directory, is refused",
        arguments: [false, true])
    func replaced(whole: Bool) throws {
        for _ in 0..<3 {
            let banks = try Banks()
            try banks.copy()
            try banks.use()
            let manager = FileManager.default
            if whole {
                try manager.removeItem(atPath: banks.place.path)
                try manager.copyItem(atPath: banks.backup.path, toPath: banks.place.path)
            } else {
                // The system may give the new ledger the number of the old one.
                try manager.removeItem(atPath: "\(banks.place.path)/burnt")
                try banks.restoreInPlace { !$0.hasSuffix("bank.key") }
            }
            #expect(banks.refusal(banks.place.path) == "\(banks.place.path)/burnt: \(Self.refusal)")
        }
    }

    @Test("a backup of a run is refused after that run has burnt another batch, while it lasts and later")
    func sameRun() throws {
        let banks = try Banks()
        do {
            let store = try PadFixture.open(banks.place).store
            #expect(store.takeIdentities(banks.model.sites[0], banks.model.source)?.count == 3)
            try banks.copy()
            #expect(store.takeIdentities(banks.model.sites[2], banks.model.source)?.count == 3)
            let error = #expect(throws: VaultError.self) { _ = try banks.open(banks.backup.path) }
            #expect(error?.description == "\(banks.backup.path): is used by another process")
        }
        #expect(
            banks.refusal(banks.backup.path).contains(
                "/burnt: says that 1 batches were burnt, and there were 2: it was put back from a backup"))
        #expect(try PadFixture.open(banks.place).store.drain(banks.model).count == 6)
    }

    @Test("of a bank and its copy the one that is used first is good, and the other is refused")
    func copies() throws {
        let banks = try Banks()
        try banks.copy()
        do {
            let used = try banks.open(banks.backup.path)
            #expect(used.warnings.all.isEmpty)
            let error = #expect(throws: VaultError.self) { _ = try PadFixture.open(banks.place) }
            #expect(error?.isBusy == true)
        }
        #expect(banks.refusal(banks.place.path) == "\(banks.place.path)/burnt: \(Self.refusal)")
        #expect(try banks.open(banks.backup.path).store.drain(banks.model).count == 12)
    }

    @Test("a bank of hard links to another's files is refused, and so are pads with a second name")
    func hardLinks() throws {
        let banks = try Banks()
        let manager = FileManager.default
        try manager.createDirectory(
            atPath: banks.backup.path, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        func link() throws {
            let (from, to) = (banks.place.path, banks.backup.path)
            for file in try banks.place.files("") {
                try manager.linkItem(atPath: file, toPath: file.replacing(from, with: to))
            }
        }
        let line =
            "has 2 names on the disk (hard links), and what has another may use its pads too; remove the others"
        do {
            let used = try PadFixture.open(banks.place)
            try link()
            #expect(banks.refusal(banks.backup.path) == "\(banks.backup.path)/burnt: \(line)")
            // What was linked while the bank was in use is not used any more.
            #expect(used.store.takeIdentities(banks.model.sites[0], banks.model.source) == nil)
            #expect(used.warnings.all == (try banks.place.files().prefix(3)).map { "\($0): \(line)" })
        }
        for place in [banks.place, banks.backup] {
            #expect(banks.refusal(place.path) == "\(place.path)/burnt: \(line)")
        }
        for file in try banks.backup.files("").dropFirst() { try manager.removeItem(atPath: file) }
        let opened = try PadFixture.open(banks.place)
        let first = try #require(try banks.place.files().first)
        #expect(opened.warnings.all == ["\(first): \(line)"])
        #expect(opened.store.drain(banks.model).count == 9)
    }

    @Test("without what is known of it, or with what is not its own, a bank is refused")
    func registry() throws {
        let banks = try Banks()
        let file = try banks.place.registryFile()
        let content = try PadFixture.read(file)
        #expect(content.count == 64)
        for position in content.indices {
            var damaged = content
            damaged[position] ^= UInt8(1 << (position % 8))
            try PadFixture.overwrite(damaged, file)
            #expect(banks.refusal(banks.place.path).hasPrefix("\(file): was changed"), "byte \(position)")
        }
        try PadFixture.overwrite(content.dropLast(), file)
        #expect(banks.refusal(banks.place.path).hasPrefix("\(file): was changed"))
        try FileManager.default.removeItem(atPath: file)
        #expect(
            banks.refusal(banks.place.path).hasPrefix(
                "\(banks.place.path): nothing is known of this bank in \(banks.place.registry): it is a copy"
            ))
        try PadFixture.write(content, file)
        #expect(try PadFixture.open(banks.place).store.drain(banks.model).count == 12)

        // Where it cannot be kept, no bank is made.
        let place = Place()
        let error = #expect(throws: VaultError.self) {
            _ = try PadFixture.open(place.path, registry: "\(file)/banks")
        }
        #expect(error?.description.contains("cannot make this directory") == true)
        #expect(error?.description.contains("XDG_STATE_HOME names another place") == true)
        #expect(try place.files("burnt").isEmpty)
    }

    @Test("ledgers of many runs stay short and know all that was burnt")
    func runs() throws {
        let place = Place()
        let model = try PadFixture.model()
        for run in 0..<20 {
            let store = try PadFixture.open(place).store
            #expect(store.burntCount == 3 * run)
            for site in model.sites { try store.fill(site, model.source) }
            #expect(store.drain(model).count == 9)
        }
        #expect(try PadFixture.read("\(place.path)/burnt").count == 128 + 6 * 32)
    }
}
