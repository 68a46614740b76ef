import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Testing

@Suite("pads on disk")
struct PadStoreTests {
    typealias Place = PadFixture.Place

    @Test(
        "what was added comes back once, the oldest first, in this run and in the next",
        arguments: [1, 7, 300])
    func roundTrip(rows: Int) throws {
        let place = Place()
        let model = try PadFixture.model([(12, 1_000), (8, 12), (12, 16)])
        do {
            let store = try PadFixture.open(place).store
            for site in model.sites {
                for first in [0, 5] { try store.fill(site, model.source, rows: rows, first: first) }
            }
            #expect(model.sites.allSatisfy { store.rows(of: $0.site) == 2 * rows })
        }
        let opened = try PadFixture.open(place)
        let store = opened.store
        #expect(try place.files().count == 6)
        var firsts: [Int] = []
        for site in model.sites {
            for _ in 0..<2 {
                guard let pads = store.take(site) else {
                    Issue.record("nothing is there")
                    continue
                }
                let (isRight, maker) = (pads.isRight(site, model.source), pads.maker)
                #expect(isRight && maker == PadMaker(model.source))
                firsts.append(pads.first)
            }
            #expect(store.takeIdentities(site, model.source) == nil)
        }
        #expect(firsts == [0, 5, 0, 5, 0, 5])
        #expect(opened.warnings.all.isEmpty)
        #expect(try place.files().isEmpty && store.burntCount == 6 && store.byteCount == 0)
    }

    @Test("directory, key, ledger and files are their owner's alone, and contents say nothing")
    func filesSayNothing() throws {
        let place = Place()
        let model = try PadFixture.model()
        let store = try PadFixture.open(place).store
        var random = SecureRandom()
        let seed = random.padSeed()
        let products = model.source.multiply(model.sites[0], seed: seed, rows: 0..<4)
        try store.add(
            products.span, seed: seed, first: 0, site: model.sites[0], maker: PadMaker(model.source))
        func mode(_ path: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        }
        #expect(try mode(place.path) == 0o700)
        let files = try place.files("")
        #expect(
            files.map { URL(filePath: $0).lastPathComponent } == [
                "000000000001-0.query-key-value.pads", "bank.key", "burnt",
            ])
        for file in files { #expect(try mode(file) == 0o600) }
        let content = try PadFixture.read(files[0])
        for start in stride(from: 0, to: 32, by: 8) {
            #expect(content.range(of: Data(seed.bytes[start..<start + 8])) == nil)
        }
        for i in stride(from: 0, to: products.count - 2, by: 2) {
            let words = Data(
                [products.span[i], products.span[i + 1]].flatMap { word in
                    (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
                })
            #expect(content.range(of: words) == nil)
        }
    }

    @Test("a file that was burnt is refused and removed when it is put back, whenever that is")
    func burntFiles() throws {
        let place = Place()
        let model = try PadFixture.model()
        let site = model.sites[0]
        var backups: [(path: String, content: Data)] = []
        do {
            let opened = try PadFixture.open(place)
            for _ in 0..<3 { try opened.store.fill(site, model.source) }
            backups = try place.files().map { ($0, try PadFixture.read($0)) }
            for _ in 0..<2 { #expect(opened.store.takeIdentities(site, model.source)?.count == 3) }
        }
        for backup in backups { try PadFixture.write(backup.content, backup.path) }
        let opened = try PadFixture.open(place)
        #expect(opened.warnings.all.count == 2)
        for (line, backup) in zip(opened.warnings.all, backups) {
            #expect(line == "\(backup.path): its pads were used or passed over before; it is removed")
        }
        #expect(try place.files() == [backups[2].path])
        #expect(opened.store.takeIdentities(site, model.source)?.count == 3)
        #expect(opened.store.takeIdentities(site, model.source) == nil)

        // New numbers are above all that ever were.
        try opened.store.fill(site, model.source)
        #expect(try place.files().first?.contains("/000000000004-") == true)
        // Put in the place of another while the program runs.
        let name = try #require(try place.files().first)
        try PadFixture.write(backups[0].content, name)
        #expect(opened.store.takeIdentities(site, model.source) == nil)
        #expect(opened.warnings.all.last == "\(name): was exchanged for another file")
    }

    @Test("a bank has one owner at a time, and the next one gets what is left")
    func twoOwners() throws {
        let place = Place()
        let model = try PadFixture.model()
        var first: PadFixture.Opened? = try PadFixture.open(place)
        for site in model.sites { try first?.store.fill(site, model.source) }
        let error = #expect(throws: VaultError.self) { _ = try PadFixture.open(place) }
        #expect(error?.isBusy == true && error?.description == "\(place.path): is used by another process")
        #expect(first?.store.drain(model).count == 9)
        // Others can look.
        #expect(try PadStoreStatus(directory: place.path).burntBatches == 3)
        first = nil
        #expect(try PadFixture.open(place).store.drain(model).isEmpty)
    }

    @Test("a key of the caller's opens what it sealed, and no key is kept")
    func givenKey() throws {
        let place = Place()
        let model = try PadFixture.model()
        func open(_ byte: UInt8) throws -> PadStore {
            let key = SecretBuffer<UInt8>(repeating: byte, count: 32)
            return try PadStore(
                directory: place.path, registry: place.registry, digest: PadFixture.digest, blocks: 1,
                key: key
            ) { line in
                withExtendedLifetime(place) { _ = Issue.record("\(line)") }
            }
        }
        do { try open(1).fill(model.sites[0], model.source) }
        #expect(try place.files("bank.key").isEmpty)
        let error = #expect(throws: VaultError.self) { _ = try open(2) }
        #expect(error?.description == "\(place.path)/burnt: was changed, or is not of this key")
        #expect(try open(1).takeIdentities(model.sites[0], model.source)?.count == 3)
    }

    @Test("a look at a bank changes nothing and counts the tokens that every site has")
    func status() throws {
        let place = Place()
        let missing = #expect(throws: VaultError.self) { _ = try PadStoreStatus(directory: place.path) }
        #expect(
            missing?.description.hasSuffix(
                "there is no bank of pads here; 'scx pads fill --count N' makes one") == true)
        #expect(throws: VaultError.self) {
            _ = try PadStore(
                directory: place.path, registry: place.registry, digest: PadFixture.digest, blocks: 1,
                makes: false
            ) { _ in }
        }
        for path in [place.path, place.registry] {
            #expect(!FileManager.default.fileExists(atPath: path))
        }

        let model = try PadFixture.model()
        let opened = try PadFixture.open(place)
        for site in model.sites { try opened.store.fill(site, model.source, rows: 5) }
        var status = try PadStoreStatus(directory: place.path)
        // Two of the five sites of a block have no pads.
        #expect(status.rows == [5, 0, 0, 5, 5] && status.tokens == 0 && status.batches == 3)
        #expect(status.bytes == opened.store.byteCount && status.digest == PadFixture.digest)
        _ = opened.store.take(model.sites[1])
        let file = try #require(try place.files().last)
        try PadFixture.write(Data([1, 2, 3]), file)
        status = try PadStoreStatus(directory: place.path)
        #expect(status.rows == [5, 0, 0, 0, 0] && status.burntBatches == 1)
        #expect(status.problems == ["\(file): is cut: 3 bytes"])
    }
}
