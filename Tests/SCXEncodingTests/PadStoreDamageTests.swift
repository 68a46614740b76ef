import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Testing

@Suite("damaged pads on disk")
struct PadStoreDamageTests {
    typealias Place = PadFixture.Place

    /// Two batches of the first site and one of the last, of which the first is damaged in ways; each is refused with one
    /// line, and the others are as they were.
    private func refuses(
        _ model: PadFixture.Model, rows: Int, damages: (Data) -> [(name: String, content: Data)]
    ) throws {
        let place = Place()
        do {
            let store = try PadFixture.open(place).store
            for site in [0, 0, 2] { try store.fill(model.sites[site], model.source, rows: rows) }
        }
        let file = try #require(try place.files().first)
        let content = try PadFixture.read(file)
        for damage in damages(content) {
            try PadFixture.write(damage.content, file)
            // The other batch of this site is away, so that nothing is burnt.
            let other = try place.files()[1]
            try FileManager.default.moveItem(atPath: other, toPath: other + ".away")
            do {
                let opened = try PadFixture.open(place)
                #expect(opened.store.takeIdentities(model.sites[0], model.source) == nil, "\(damage.name)")
                #expect(opened.warnings.all.count == 1, "\(damage.name): \(opened.warnings.all)")
                #expect(opened.warnings.all.first?.hasPrefix("\(file): ") == true, "\(damage.name)")
                #expect(opened.warnings.all.first?.contains("\n") == false)
                #expect(opened.store.rows(of: .head) == rows && opened.store.burntCount == 0)
            }
            try FileManager.default.moveItem(atPath: other + ".away", toPath: other)
        }
        // As it was it is good, and so are the others; a damaged one is passed over.
        try PadFixture.write(content.dropLast(), file)
        do {
            let opened = try PadFixture.open(place)
            #expect(opened.store.takeIdentities(model.sites[2], model.source)?.count == rows)
            #expect(opened.warnings.all.count == 1)
        }
        try PadFixture.write(content, file)
        let opened = try PadFixture.open(place)
        for _ in 0..<2 { #expect(opened.store.takeIdentities(model.sites[0], model.source)?.count == rows) }
        #expect(opened.warnings.all.isEmpty)
    }

    @Test("one flipped bit anywhere, and the file is refused")
    func flips() throws {
        let model = try PadFixture.model()
        try refuses(model, rows: 2) { content in
            #expect(content.count == 136 + (32 + 1 + 6 + 28) + (2 * 8 * 4 + 28))
            return content.indices.map { position in
                var damaged = content
                damaged[position] ^= UInt8(1 << (position % 8))
                return ("byte \(position)", damaged)
            }
        }
    }

    @Test("a file of several parts is refused when it is cut anywhere, grows, or has parts in other places")
    func parts() throws {
        // 1,000 rows of 600 words: three parts of products.
        let model = try PadFixture.model([(12, 600), (8, 12), (12, 16)])
        let part = (1 << 20) + 28
        try refuses(model, rows: 1_000) { content in
            let preface = 136 + 67
            let borders = [0, 1, 7, 8, 135, 136, preface, preface + part, preface + 2 * part, content.count]
            var damages: [(String, Data)] = []
            for size in Set(borders.flatMap { [$0 - 1, $0, $0 + 1] }) where size >= 0 && size < content.count
            {
                damages.append(("cut to \(size)", content[..<size]))
            }
            damages.append(("a byte more", content + [0]))
            damages.append(("a part more", content + content[preface..<preface + part]))
            let (first, second) = (
                content[preface..<preface + part], content[(preface + part)..<(preface + 2 * part)]
            )
            damages.append(
                ("parts swapped", content[..<preface] + second + first + content[(preface + 2 * part)...]))
            damages.append(
                ("a part twice", content[..<preface] + first + first + content[(preface + 2 * part)...]))
            damages.append(("a part left out", content[..<preface] + content[(preface + part)...]))
            for position in [
                preface, preface + 11, preface + 12, preface + part - 1, preface + part, content.count - 1,
            ] {
                var damaged = content
                damaged[position] ^= 0x40
                damages.append(("byte \(position)", damaged))
            }
            return damages
        }
    }

    @Test("files that changed names are refused, and back under their own they are good")
    func swapped() throws {
        let place = Place()
        let model = try PadFixture.model()
        do {
            let store = try PadFixture.open(place).store
            for site in [0, 0, 2] { try store.fill(model.sites[site], model.source) }
        }
        let files = try place.files()
        let contents = try files.map(PadFixture.read)
        for (i, j) in [(0, 1), (1, 0), (0, 2)] {
            try PadFixture.write(contents[j], files[i])
            do {
                let opened = try PadFixture.open(place)
                #expect(opened.warnings.all == ["\(files[i]): has the name of another batch"])
            }
            try PadFixture.write(contents[i], files[i])
        }
        // A copy under a number of its own is none either.
        let copy = files[0].replacing("0001-", with: "0009-")
        try PadFixture.write(contents[0], copy)
        let opened = try PadFixture.open(place)
        #expect(opened.warnings.all == ["\(copy): has the name of another batch"])
        #expect(opened.store.drain(model).count == 9)
    }

    @Test("files of another bank, model or version are refused, each with its reason")
    func others() throws {
        let places = [Place(), Place()]
        let model = try PadFixture.model()
        let key = SecretBuffer<UInt8>(repeating: 7, count: 32)
        let lines = PadFixture.Lines()
        func open(_ place: Place) throws -> PadStore {
            try PadStore(
                directory: place.path, registry: place.registry, digest: PadFixture.digest, blocks: 1,
                key: key
            ) { line in withExtendedLifetime(place) { lines.add(line) } }
        }
        for place in places { try open(place).fill(model.sites[0], model.source) }
        // Of one key, but of another bank.
        let file = try #require(try places[0].files().first)
        let own = try PadFixture.read(file)
        try PadFixture.write(PadFixture.read(places[1].files()[0]), file)
        #expect(try open(places[0]).takeIdentities(model.sites[0], model.source) == nil)
        var other = own
        other[7] = 2
        try PadFixture.write(other, file)
        #expect(try open(places[0]).takeIdentities(model.sites[0], model.source) == nil)
        other = own
        other[60] ^= 1
        try PadFixture.write(other, file)
        #expect(try open(places[0]).takeIdentities(model.sites[0], model.source) == nil)
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
        #expect(try open(places[0]).takeIdentities(model.sites[0], model.source) == nil)
        #expect(
            lines.all == [
                "\(file): is of another bank", "\(file): has version 2, and this program reads version 1",
                "\(file): is of another model",
                "\(file): can be read by others than its owner; chmod 600 changes that",
            ])
        try PadFixture.write(own, file)
        #expect(try open(places[0]).takeIdentities(model.sites[0], model.source)?.count == 3)

        let digest = String(PadFixture.digest.reversed())
        let error = #expect(throws: VaultError.self) { _ = try PadFixture.open(Place().path + "/a/b") }
        #expect(error?.description.contains("cannot make this directory") == true)
        let bank = Place()
        do { try PadFixture.open(bank).store.fill(model.sites[0], model.source) }
        let model2 = #expect(throws: VaultError.self) { _ = try PadFixture.open(bank, digest: digest) }
        #expect(
            model2?.description
                == "\(bank.path): holds pads of another model (digest \(PadFixture.digest), this one has \(digest))"
        )
        // Another key in the place of the bank's.
        let keyFile = "\(bank.path)/bank.key"
        let right = try PadFixture.read(keyFile)
        try PadFixture.write(Data(repeating: 3, count: 32), keyFile)
        let wrong = #expect(throws: VaultError.self) { _ = try PadFixture.open(bank) }
        #expect(wrong?.description == "\(bank.path)/burnt: was changed, or is not of this key")
        try FileManager.default.removeItem(atPath: keyFile)
        let none = #expect(throws: VaultError.self) { _ = try PadFixture.open(bank) }
        #expect(none?.description == "\(keyFile): is gone; without it the pads here are of no use")
        try PadFixture.write(right, keyFile)
        #expect(try PadFixture.open(bank).store.drain(model).count == 3)
    }

    @Test("a batch for rows of another shape is refused and stays")
    func shapes() throws {
        let place = Place()
        let (model, wider) = (try PadFixture.model(), try PadFixture.model([(16, 8), (8, 12), (12, 16)]))
        do { try PadFixture.open(place).store.fill(model.sites[0], model.source) }
        let opened = try PadFixture.open(place)
        #expect(opened.store.takeIdentities(wider.sites[0], wider.source) == nil)
        #expect(
            opened.warnings.all.first?.hasSuffix("is for rows of 12 and 8 channels, not 16 and 8") == true)
        #expect(try place.files().count == 1 && opened.store.burntCount == 0)
    }

    @Test("a ledger that was changed anywhere, cut at a record, is older or gone stops the bank")
    func ledger() throws {
        let place = Place()
        let model = try PadFixture.model()
        let file = "\(place.path)/burnt"
        var (older, known) = (Data(), Data())
        do {
            let store = try PadFixture.open(place).store
            known = try PadFixture.read(place.registryFile())
            for _ in 0..<4 { try store.fill(model.sites[0], model.source) }
            for _ in 0..<2 { _ = store.take(model.sites[0]) }
            older = try PadFixture.read(file)
            _ = store.take(model.sites[0])
            try store.fill(model.sites[2], model.source)
        }
        let content = try PadFixture.read(file)
        #expect(content.count == 128 + 3 * 32 && content.starts(with: older))
        func refused(_ data: Data) throws -> String {
            try PadFixture.write(data, file)
            let error = #expect(throws: VaultError.self) { _ = try PadFixture.open(place) }
            return error?.description ?? ""
        }
        for position in content.indices {
            var damaged = content
            damaged[position] ^= UInt8(1 << (position % 8))
            #expect(try refused(damaged).hasPrefix("\(file): "), "byte \(position)")
        }
        for size in [0, 5, 8, 127] {
            #expect(try refused(content[..<size]).hasPrefix("\(file): "), "\(size) bytes")
        }
        let swapped = content[..<128] + content[160..<192] + content[128..<160] + content[192...]
        #expect(
            try refused(swapped).contains("was changed at record 1, so nobody can tell which pads were used"))
        #expect(try refused(older).contains("says that 2 batches were burnt, and there were 3"))

        // Cut at a record, together with what is known of the bank elsewhere, it looks like a younger one until a batch
        // that knows better is read.
        let (registryFile, latest) = (try place.registryFile(), try PadFixture.read(place.registryFile()))
        do {
            let copy = Place()
            try FileManager.default.copyItem(atPath: place.path, toPath: copy.path)
            try PadFixture.write(older, "\(copy.path)/burnt")
            try PadFixture.write(known, registryFile)
            let opened = try PadFixture.open(copy.path, registry: place.registry)
            #expect(opened.store.takeIdentities(model.sites[2], model.source) == nil)
            #expect(opened.warnings.all.count == 1)
            #expect(opened.warnings.all.first?.contains("and the ledger has 2: it is an older one") == true)
            #expect(opened.store.takeIdentities(model.sites[0], model.source) == nil)
        }
        // A torn record, or one of zeros, is what a crash leaves.
        for torn in [content + content[128..<159], content + Data(count: 32), content + [1]] {
            try PadFixture.write(torn, file)
            try PadFixture.write(latest, registryFile)
            #expect(try PadFixture.open(place).store.burntCount == 3)
            // Written anew, it has one record for the site.
            #expect(try PadFixture.read(file).count == 128 + 32)
        }
        let last = try PadFixture.read(file)
        try FileManager.default.removeItem(atPath: file)
        let gone = #expect(throws: VaultError.self) { _ = try PadFixture.open(place) }
        #expect(
            gone?.description.hasPrefix("\(file): is gone, so nobody can tell which pads were used") == true)
        try PadFixture.write(last, file)
        #expect(try PadFixture.open(place).store.drain(model).count == 6)
    }
}
