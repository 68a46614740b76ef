import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite("bank of pads")
struct PadBankTests {
    typealias Place = PadFixture.Place

    /// Takes pads and says what they are: z = ρ where x̂ = 0.
    ///
    /// Checks that they come off again.
    @discardableResult
    static func take(_ bank: PadBank, _ rows: Int, _ site: RingSite, _ source: PadFixture.Source) throws
        -> [[UInt32]]
    {
        let zeros = FixedPointRows(Plaintext(rows: rows, channels: site.inputs), for: site, pool: nil)
        let padded = try bank.take(rows, for: site).encode(zeros, pool: nil)
        let tensor = padded.tensor
        var answer = [UInt32](repeating: 0, count: rows * site.outputs)
        var out = answer.mutableSpan
        source.multiply(tensor.values.span, site, into: &out)
        let expected = zeros.expectedSketches(site, pool: nil)
        switch padded.open(
            RingTensor(joinedRows: rows, channels: site.outputs, values: answer), zeros, expected: expected,
            pool: nil)
        {
        case .verified: break
        case .wrong(let row): throw WrongPad(source: row.source)
        }
        return (0..<rows).map { Array(tensor.values[$0 * site.inputs..<($0 + 1) * site.inputs]) }
    }

    struct WrongPad: Error, Equatable {
        let source: Int
    }

    /// Fills a bank on disk with pads for so many tokens.
    static func fill(
        _ place: Place, _ model: PadFixture.Model, tokens: Int, fileRows: Int = 4,
        by source: PadFixture.Source? = nil
    ) throws {
        var fill = PadFill(
            try PadFixture.open(place).store, sites: model.sites, sources: [source ?? model.source])
        (fill.batchRows, fill.fileRows) = (16, fileRows)
        try fill.run(tokens: tokens)
    }

    @Test("pads come from memory, then from the store, and are multiplied when both are empty")
    func order() throws {
        let place = Place()
        let model = try PadFixture.model()
        try Self.fill(place, model, tokens: 10)
        let source = model.source.named(.direct, "direct")
        let opened = try PadFixture.open(place)
        var limits = PadBank.Limits()
        (limits.loadedRows, limits.rows, limits.batchRows) = (6, 6, 5)
        let bank = PadBank(sites: model.sites, sources: [source], store: opened.store, limits: limits)
        while try bank.prepareNext() {}
        // Two files of four rows for each of the sites.
        #expect(bank.preparedRows == 8 && source.asked == 0 && bank.use.loaded == 24)
        #expect(opened.store.rows(of: .head) == 2)
        let site = model.sites[0]
        var pads = try Self.take(bank, 7, site, source)
        #expect(bank.use.banked == 7 && bank.use.loaded == 24 && bank.use.stalledSeconds == 0)
        // One from memory, two from the store, the rest is multiplied while somebody waits.
        pads += try Self.take(bank, 5, site, source)
        #expect(
            bank.use.banked == 10 && bank.use.loaded == 26 && bank.use.direct == 26 + 5 && source.asked == 1)
        #expect(Set(pads).count == 12)
        // Where the store is empty the sources fill the memory.
        while try bank.prepareNext() {}
        #expect(source.asked == 2 && bank.preparedRows == 8)
        #expect(opened.warnings.all.isEmpty && opened.store.burntCount == 7)
    }

    @Test("without a store it is as before")
    func withoutStore() throws {
        let model = try PadFixture.model()
        var limits = PadBank.Limits()
        (limits.rows, limits.batchRows) = (6, 4)
        let bank = PadBank(sites: model.sites, sources: [model.source], limits: limits)
        while try bank.prepareNext() {}
        #expect(
            bank.preparedRows == 8 && bank.use.direct == 24 && bank.use.loaded == 0 && bank.use.banked == 0)
        try Self.take(bank, 8, model.sites[1], model.source)
        #expect(bank.use.banked == 8)
        bank.close()
        #expect(try !bank.prepareNext())
    }

    @Test("loaded batches count against the memory, and one that does not fit is loaded when it is needed")
    func memory() throws {
        let place = Place()
        let model = try PadFixture.model()
        try Self.fill(place, model, tokens: 8)
        let opened = try PadFixture.open(place)
        var limits = PadBank.Limits()
        // A file of each site has 4 rows: 128, 192 and 256 bytes.
        limits.bytes = 128 + 192 + 255
        let bank = PadBank(sites: model.sites, sources: [model.source], store: opened.store, limits: limits)
        while try bank.prepareNext() {}
        #expect(bank.use.loaded == 8 && opened.store.rows(of: .head) == 8)
        try Self.take(bank, 3, model.sites[2], model.source)
        #expect(bank.use.loaded == 12 && bank.use.banked == 3 && model.source.asked == 3)
    }

    @Test("what a process left unused in memory is lost and comes from no later bank")
    func lost() throws {
        let place = Place()
        let model = try PadFixture.model()
        try Self.fill(place, model, tokens: 20)
        var all: [[UInt32]] = []
        for _ in 0..<5 {
            let store = try PadFixture.open(place).store
            let bank = PadBank(sites: model.sites, sources: [model.source], store: store)
            all += try Self.take(bank, 3, model.sites[0], model.source)
        }
        #expect(Set(all).count == 15)
        let status = try PadStoreStatus(directory: place.path)
        #expect(status.rows[0] == 0 && status.rows[4] == 20)
    }

    @Test("64 threads at one bank never get the same pad, whatever they take")
    func threads() throws {
        let place = Place()
        let model = try PadFixture.model()
        try Self.fill(place, model, tokens: 2_000, fileRows: 16)
        let opened = try PadFixture.open(place)
        var limits = PadBank.Limits()
        (limits.rows, limits.loadedRows, limits.batchRows) = (40, 20, 16)
        let bank = PadBank(sites: model.sites, sources: [model.source], store: opened.store, limits: limits)
        PadProducer.start(bank)
        let results = Mutex<[DecoderSite: [[UInt32]]]>([:])
        let failures = Mutex<[String]>([])
        let done = DispatchSemaphore(value: 0)
        for _ in 0..<64 {
            let thread = Thread {
                do {
                    for _ in 0..<30 {
                        let site = model.sites[Int.random(in: 0..<3)]
                        let pads = try Self.take(bank, Int.random(in: 1...9), site, model.source)
                        results.withLock { $0[site.site, default: []] += pads }
                    }
                } catch {
                    failures.withLock { $0.append("\(error)") }
                }
                done.signal()
            }
            thread.start()
        }
        for _ in 0..<64 { done.wait() }
        bank.close()
        #expect(failures.withLock { $0 }.isEmpty && opened.warnings.all.isEmpty)
        let taken = results.withLock { $0 }
        #expect(taken.values.reduce(0) { $0 + $1.count } > 64 * 30)
        for pads in taken.values { #expect(Set(pads).count == pads.count) }
    }

    @Test("stored pads of a maker that is refused are not used, and that is told once")
    func refusedMaker() throws {
        let model = try PadFixture.model()
        let key = [UInt8](repeating: 7, count: 32)
        for (name, maker) in [
            ("name", model.source.named(.peer, "peer a")),
            ("key", model.source.named(.peer, "peer b", key: key)),
        ] {
            let place = Place()
            try Self.fill(place, model, tokens: 8, by: maker)
            let lines = PadFixture.Lines()
            func bank(_ store: PadStore, refuses: Bool) -> PadBank {
                PadBank(sites: model.sites, sources: [model.source], store: store) {
                    lines.add($0)
                } refusal: { found in
                    guard refuses else { return nil }
                    return (name == "name" ? found.name == "peer a" : found.key == key)
                        ? "it is another's" : nil
                }
            }
            do {
                let opened = try PadFixture.open(place)
                let bank = bank(opened.store, refuses: true)
                try Self.take(bank, 3, model.sites[0], model.source)
                #expect(bank.use.loaded == 0 && bank.use.peer == 0 && opened.store.burntCount == 0)
                #expect(
                    lines.all.count == 1
                        && lines.all.allSatisfy {
                            $0.hasSuffix("that \(maker.name) multiplied are not used: it is another's")
                        })
                #expect(bank.makerNames(of: .peer).isEmpty)
            }
            // With other main workers they are as good as any.
            let bank = bank(try PadFixture.open(place).store, refuses: false)
            try Self.take(bank, 3, model.sites[0], model.source)
            #expect(bank.use.loaded == 4 && bank.use.peer == 4 && lines.all.count == 1)
            #expect(bank.makerNames(of: .peer) == [maker.name])
        }
    }

    @Test("stored pads of a maker that lied are passed over, and the maker is asked no more")
    func liar() throws {
        let place = Place()
        let model = try PadFixture.model()
        let liar = model.source.named(.peer, "peer tcp://there:1", error: 1)
        try Self.fill(place, model, tokens: 8, by: liar)
        try Self.fill(place, model, tokens: 16, by: model.source)
        let asked = liar.asked
        let lines = PadFixture.Lines()
        for (site, sources) in zip(model.sites, [[model.source], [liar, model.source]]) {
            let opened = try PadFixture.open(place)
            let bank = PadBank(sites: model.sites, sources: sources, store: opened.store) { lines.add($0) }
            let error = #expect(throws: WrongPad.self) { try Self.take(bank, 2, site, model.source) }
            bank.distrust(source: try #require(error).source)
            // Two files by the other, then what is multiplied now; the second file of the liar's is not used.
            let before = bank.use
            try Self.take(bank, 8, site, model.source)
            #expect(bank.use.loaded == before.loaded + 8 && bank.use.direct == before.direct + 8)
            try Self.take(bank, 1, site, model.source)
            #expect(bank.use.loaded == before.loaded + 8 && liar.asked == asked)
            // Of the first run's site, when the second begins.
            let passed = opened.warnings.all
            #expect(passed.count == (site.site == model.sites[0].site ? 0 : 1))
            #expect(
                passed.allSatisfy { $0.hasSuffix("its pads were used or passed over before; it is removed") })
        }
        #expect(
            lines.all
                == Array(
                    repeating: "peer tcp://there:1 gave a wrong product of pads and is asked no more",
                    count: 2))
    }

    @Test("where nobody knows who lied, a peer is left out for a while and where there is another source")
    func suspect() throws {
        let model = try PadFixture.model()
        let site = model.sites[0]
        let peers = ["peer a", "peer b"].map { model.source.named(.peer, $0) }
        let lines = PadFixture.Lines()
        let moment = Mutex(ContinuousClock.now)
        let bank = PadBank(
            sites: model.sites, sources: peers, warn: { lines.add($0) }, now: { moment.withLock { $0 } })
        for asked in [[1, 0], [1, 1]] {
            try Self.take(bank, 2, site, model.source)
            #expect(peers.map(\.asked) == asked)
            // What it prepared is gone.
            bank.suspect(source: 0)
            #expect(
                lines.all == ["peer a is left out for 2.0 s: it may have given a wrong product of pads"])
        }
        moment.withLock { $0 += .seconds(2) }
        try Self.take(bank, 64, site, model.source)
        #expect(peers.map(\.asked) == [2, 1])
        // Alone it goes on, and this side's own products are right.
        for source in [peers[0], model.source] {
            let alone = PadBank(sites: model.sites, sources: [source]) { lines.add($0) }
            try Self.take(alone, 2, site, model.source)
            alone.suspect(source: 0)
            try Self.take(alone, 2, site, model.source)
        }
        #expect(lines.all.count == 1)
    }
}

@Suite("filling a bank of pads")
struct PadFillTests {
    typealias Place = PadFixture.Place

    @Test("a fill reads each weight for many pads, can be interrupted, and goes on where it was")
    func resumes() throws {
        let place = Place()
        let model = try PadFixture.model()
        var seen: [PadFill.Progress] = []
        do {
            var fill = PadFill(try PadFixture.open(place).store, sites: model.sites, sources: [model.source])
            (fill.batchRows, fill.fileRows) = (32, 5)
            try fill.run(tokens: 100) { progress in
                seen.append(progress)
                return seen.count < 4
            }
        }
        #expect(seen.map(\.rows) == [32, 64, 96, 128] && seen.allSatisfy { $0.totalRows == 300 })
        #expect(try PadStoreStatus(directory: place.path).rows == [64, 0, 0, 32, 32])
        let opened = try PadFixture.open(place)
        var fill = PadFill(opened.store, sites: model.sites, sources: [model.source])
        (fill.batchRows, fill.fileRows) = (32, 5)
        try fill.run(tokens: 100) {
            seen.append($0); return true
        }
        #expect(seen.last?.rows == 172 && seen.last?.totalRows == 172)
        #expect(model.sites.allSatisfy { opened.store.rows(of: $0.site) == 100 })
        #expect(model.source.asked == 3 * 4)
        try fill.run(tokens: 100)
        #expect(model.source.asked == 3 * 4)
        let pads = opened.store.drain(model)
        #expect(Set(pads).count == 300 && pads.count == 300)
    }

    @Test("a full disk ends a fill with one line, and what is there stays of use")
    func fullDisk() throws {
        let place = Place()
        let model = try PadFixture.model()
        // Two ledgers are written when a bank is made and opened.
        let room = Mutex(2 + 7)
        let opened = try PadFixture.open(place) { step in
            guard case .write = step else { return 0 }
            return room.withLock { room in
                room -= 1
                return room < 0 ? ENOSPC : 0
            }
        }
        var fill = PadFill(opened.store, sites: model.sites, sources: [model.source])
        (fill.batchRows, fill.fileRows) = (8, 4)
        let error = #expect(throws: VaultError.self) { try fill.run(tokens: 100) }
        #expect(error?.description == "\(place.path): cannot write it: No space left on device")
        #expect(try place.files("").count == 7 + 2)
        #expect(opened.store.drain(model).count == 28 && opened.warnings.all.isEmpty)
    }

    #if os(Linux)
        @Test("a disk that is really full does the same, also for the ledger", .enabled(if: geteuid() == 0))
        func realDisk() throws {
            let place = Place()
            try FileManager.default.createDirectory(atPath: place.path, withIntermediateDirectories: false)
            // Not everybody who is root may mount.
            guard unsafe mount("tmpfs", place.path, "tmpfs", 0, "size=128k,mode=700") == 0 else { return }
            defer { unsafe _ = umount2(place.path, Int32(MNT_DETACH)) }
            let model = try PadFixture.model([(12, 500), (8, 12), (12, 16)])
            let path = place.path + "/bank"
            let opened = try PadFixture.open(path)
            var fill = PadFill(opened.store, sites: model.sites, sources: [model.source])
            (fill.batchRows, fill.fileRows) = (8, 4)
            let error = #expect(throws: VaultError.self) { try fill.run(tokens: 1_000) }
            #expect(error?.description.hasSuffix("cannot write it: No space left on device") == true)
            // Fill what is left to the last byte, so that the ledger finds no room of its own.
            try PadFixture.write(Data(), place.path + "/rest")
            let handle = try FileHandle(forWritingTo: URL(filePath: place.path + "/rest"))
            while (try? handle.write(contentsOf: Data(count: 512))) != nil {}
            let left = model.sites.map { opened.store.rows(of: $0.site) }.reduce(0, +)
            #expect(left > 12)
            let pads = opened.store.drain(model)
            #expect(pads.count == left && Set(pads).count == left)
            #expect(opened.warnings.all.isEmpty && opened.store.burntCount > 3)
        }
    #endif

    @Test("files are so small that a quarter of the memory holds one of each site")
    func fileRows() throws {
        let sites = try PadFixture.model().sites
        #expect(PadFill.bytesPerToken(sites) == 4 * 36)
        #expect(PadFill.fileRows(sites, memory: 1 << 30) == 64)
        #expect(PadFill.fileRows(sites, memory: 4 * 144 * 63) == 32)
        #expect(PadFill.fileRows(sites, memory: 0) == 1)
    }
}
