import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Testing

@Suite("sites kept between starts")
struct SiteStoreTests {
    typealias Place = PadFixture.Place
    typealias Lines = PadFixture.Lines

    /// The shapes of a model's sites.
    private func shapes(_ model: PadFixture.Model) -> [SiteShape] {
        model.sites.map {
            SiteShape(site: $0.site, inputs: $0.inputs, outputs: $0.outputs, hasBias: false)
        }
    }

    private func open(_ place: Place, _ lines: Lines, digest: String = PadFixture.digest) throws -> SiteStore
    {
        try SiteStore(directory: place.path, digest: digest) { line in
            withExtendedLifetime(place) { lines.add(line) }
        }
    }

    /// Rows of a site's inputs that are always the same.
    private func rows(_ site: RingSite) -> Plaintext {
        var rows = Plaintext(rows: 3, channels: site.inputs)
        for row in 0..<3 {
            rows.withRow(row) { for i in $0.indices { $0[i] = Float((row * 31 + i * 17) % 23) - 11.5 } }
        }
        return rows
    }

    /// Carries rows through a site as a worker would, and opens what it answers.
    ///
    /// - Returns: The bits of the result; nil when the answer is refused.
    private func result(
        _ site: RingSite, _ source: PadFixture.Source, error: UInt32 = 0,
        meanwhile: () throws -> Void = {}
    ) throws -> [UInt32]? {
        let bank = PadBank(sites: [site], sources: [source])
        let fixed = FixedPointRows(rows(site), for: site, pool: nil)
        let padded = try bank.take(3, for: site).encode(fixed, pool: nil)
        let tensor = padded.tensor
        var answer = [UInt32](repeating: 0, count: 3 * site.outputs)
        var out = answer.mutableSpan
        source.multiply(tensor.values.span, site, into: &out)
        answer[site.outputs + 1] &+= error
        let expected = fixed.expectedSketches(site, pool: nil)
        try meanwhile()
        switch padded.open(
            RingTensor(joinedRows: 3, channels: site.outputs, values: answer), fixed, expected: expected,
            pool: nil)
        {
        case .verified(let values):
            return (0..<3 * site.outputs).map { values.span[$0].bitPattern }
        case .wrong(let row):
            #expect(row.index == 1)
            return nil
        }
    }

    /// Whether sites give the results of a model, bit by bit, and refuse a wrong product.
    private func expectWorking(_ sites: [RingSite], _ model: PadFixture.Model) throws {
        #expect(sites.map(\.site) == model.sites.map(\.site))
        for (kept, site) in zip(sites, model.sites) {
            let right = try #require(try result(site, model.source))
            #expect(try result(kept, model.source) == right)
            #expect(try result(kept, model.source, error: 1) == nil)
            #expect(try result(kept, model.source, error: 1 << 31) == nil)
        }
    }

    @Test("what is read back is what was saved, and it opens in no other process's place")
    func keeps() throws {
        let (place, lines) = (Place(), Lines())
        let model = try PadFixture.model()
        let store = try open(place, lines)
        #expect(try store.load(shapes(model)) == nil)
        store.save(model.sites)
        #expect(
            try place.files("").map { $0.split(separator: "/").last } == [
                "\(PadFixture.digest).sites", "site.key",
            ])
        for path in try place.files("") {
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
            #expect(mode as? Int == 0o600)
        }
        // Another one reads it while the first is open.
        let again = try open(place, lines)
        try expectWorking(#require(try again.load(shapes(model))), model)
        // Models side by side.
        let other = try open(place, lines, digest: String(PadFixture.digest.reversed()))
        #expect(try other.load(shapes(model)) == nil)
        other.save(model.sites)
        try expectWorking(#require(try other.load(shapes(model))), model)
        try expectWorking(#require(try store.load(shapes(model))), model)
        #expect(lines.all.isEmpty)
    }

    @Test("a file that is changed or cut anywhere, or grows, is one line and is made anew, or refused")
    func damage() throws {
        let (place, lines) = (Place(), Lines())
        let model = try PadFixture.model()
        let store = try open(place, lines)
        store.save(model.sites)
        let content = try PadFixture.read(store.path)
        let bodies = model.sites.map { 8 + 12 * $0.outputs + 8 * $0.inputs + 28 }
        #expect(content.count == bodies.reduce(88, +))
        var refused = 0
        func expectRefused(_ damaged: Data, _ name: String) throws {
            try PadFixture.write(damaged, store.path)
            let before = lines.all.count
            do throws(VaultError) {
                #expect(try store.load(shapes(model)) == nil, "\(name)")
                #expect(lines.all.count == before + 1, "\(name)")
                #expect(lines.all.last?.hasPrefix("\(store.path): ") == true)
                #expect(lines.all.last?.hasSuffix("; it is made anew") == true)
            } catch {
                refused += 1
                #expect("\(error)".hasPrefix("\(store.path): ") && "\(error)".contains("another key"))
                #expect(lines.all.count == before)
            }
        }
        for position in content.indices {
            var damaged = content
            damaged[position] ^= UInt8(1 << (position % 8))
            try expectRefused(damaged, "byte \(position)")
        }
        // The salt and the tag: the rest of the head says itself what is wrong.
        #expect(refused == 48)
        for size in Array(0..<100) + [content.count / 2, content.count - 1] {
            try expectRefused(content[..<size], "cut to \(size)")
        }
        try expectRefused(content + [0], "a byte more")
        #expect(refused == 48)
        // Sites of another shape, in another order.
        try PadFixture.write(content, store.path)
        #expect(try store.load(Array(shapes(model).reversed())) == nil)
        #expect(try store.load(Array(shapes(model).dropLast())) == nil)
        // Made anew it is good.
        try PadFixture.write(content.dropLast(), store.path)
        store.save(model.sites)
        try expectWorking(#require(try store.load(shapes(model))), model)
    }

    @Test("a file of another model, or that others can read, is made anew; one of another key is refused")
    func foreign() throws {
        let (place, other, lines) = (Place(), Place(), Lines())
        let model = try PadFixture.model()
        let store = try open(place, lines)
        store.save(model.sites)
        let second = try open(place, lines, digest: String(PadFixture.digest.reversed()))
        try PadFixture.write(PadFixture.read(store.path), second.path)
        #expect(try second.load(shapes(model)) == nil)
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: store.path)
        #expect(try store.load(shapes(model)) == nil)
        #expect(
            lines.all == [
                "\(second.path): is of another model; it is made anew",
                "\(store.path): can be read by others than its owner; chmod 600 changes that; it is made anew",
            ])

        let elsewhere = try open(other, lines)
        elsewhere.save(model.sites)
        let foreign = try PadFixture.read(store.path)
        try PadFixture.write(foreign, elsewhere.path)
        let error = #expect(throws: VaultError.self) { _ = try elsewhere.load(shapes(model)) }
        #expect(
            error?.description
                == "\(elsewhere.path): is sealed under another key, or its head was changed; bring back its 'site.key', "
                + "or remove it to begin anew")
        // Nothing was overwritten.
        #expect(try PadFixture.read(elsewhere.path) == foreign)
        // Without its key nothing begins; without the files a new key does.
        try FileManager.default.removeItem(atPath: "\(other.path)/site.key")
        #expect(throws: VaultError.self) { _ = try open(other, lines) }
        try FileManager.default.removeItem(atPath: elsewhere.path)
        _ = try open(other, lines)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: other.path)
        #expect(throws: VaultError.self) { _ = try open(other, lines) }
        #expect(lines.all.count == 2)
    }

    @Test(
        "a secret that is drawn anew verifies, also what was on its way, and the old one is gone from the disk"
    )
    func renewal() throws {
        let (place, lines) = (Place(), Lines())
        let model = try PadFixture.model()
        let store = try open(place, lines)
        store.save(model.sites)
        let old = try PadFixture.read(store.path)
        let site = model.sites[0]
        let right = try #require(try result(site, model.source))
        var random = SecureRandom()
        let pool = ThreadPool(threads: 1)
        let weights = model.weights[site.site]
        // In the middle of a product, whose check goes on with the secret that it began with.
        let found = try result(site, model.source) {
            store.remove()
            #expect(!FileManager.default.fileExists(atPath: store.path))
            site.renewSketch([try #require(weights)], random: &random, pool: pool)
            store.save(model.sites)
        }
        #expect(found == right && site.renewals == 1 && model.sites[1].renewals == 0)
        let new = try PadFixture.read(store.path)
        #expect(new.count == old.count && new != old)
        try expectWorking(model.sites, model)
        try expectWorking(#require(try store.load(shapes(model))), model)
        #expect(lines.all.isEmpty)
    }

    @Test("a site knows whether it was made of these weights")
    func weights() throws {
        let model = try PadFixture.model()
        let pool = ThreadPool(threads: 1)
        for site in model.sites {
            let weights = try #require(model.weights[site.site])
            #expect(site.isMade(of: [weights], pool: pool))
            // One weight by one step, which no scale shows.
            let other = try PackedMatrix(rows: site.outputs, columns: site.inputs, format: .int8)
            var values = PadFixture.values(inputs: site.inputs, outputs: site.outputs)
            let place = try #require(values.firstIndex { abs($0) < 100 })
            values[place] += 1
            unsafe other.pack(
                values.span.bytes, as: .f32, firstRow: 0, count: site.outputs, pool: pool)
            #expect(!site.isMade(of: [other], pool: pool))
        }
        let wrong = try #require(model.weights[model.sites[1].site])
        #expect(!model.sites[0].isMade(of: [wrong], pool: pool))
    }
}
