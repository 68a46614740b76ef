import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

@Suite("profile sealed: starts from sites that were kept")
struct SiteDataTests {
    /// A copy of a small checkpoint, and a directory for its sites; both are removed in the end.
    private final class Place: Sendable {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        let warnings = Mutex<[String]>([])
        var model: String { "\(folder)/model" }
        var data: String { "\(folder)/data" }

        init(_ name: String) throws {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: TinyModel.folder.appending(path: name).path, toPath: model)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        /// As the checkpoint is now.
        func open() throws -> SealedFixture {
            let digest = try Checkpoint(directory: model).digest()
            let store = try SiteStore(directory: data, digest: digest) { line in
                self.warnings.withLock { $0.append(line) }
            }
            return try SealedFixture(directory: model, store: store)
        }

        /// The one file of sites.
        func file() throws -> String {
            let names = try FileManager.default.contentsOfDirectory(atPath: data)
            return "\(data)/" + (try #require(names.first { $0.hasSuffix(".sites") }))
        }

        /// Overwrites the matrices but for the embedding, and but for the parts that the digest covers.
        func clearWeights() throws {
            let path = "\(model)/model.safetensors"
            var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
            let size = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
            let header = try JSON(parsing: String(decoding: bytes[8..<8 + size], as: UTF8.self))
            for member in try #require(header.object) where member.value["shape"]?.array?.count == 2 {
                let offsets = (member.value["data_offsets"]?.array ?? []).compactMap { $0.int }
                guard offsets.count == 2, member.name != "model.embed_tokens.weight" else { continue }
                let range = 8 + size + offsets[0]..<8 + size + offsets[1]
                let start = range.lowerBound + (range.count - min(256, range.count)) / 2
                for i in range where !(start..<start + 256).contains(i) { bytes[i] = 0 }
            }
            try Data(bytes).write(to: URL(filePath: path))
        }
    }

    @Test("the same bits as from the checkpoint, for every family", arguments: SealedFixture.names)
    func families(name: String) throws {
        let place = try Place(name)
        let expected = try SealedFixture(name)
        let prompt = expected.prompt(23)
        let logits = try expected.engine(expected.fixedPoint()).logits(of: prompt)
        // Made, then kept.
        for isSecond in [false, true] {
            let fixture = try place.open()
            #expect(fixture.model.wereKept == isSecond)
            for forward in [fixture.fixedPoint(), fixture.sealed()] {
                let found = try fixture.engine(forward).logits(of: prompt)
                #expect(found.map(\.bitPattern) == logits.map(\.bitPattern))
            }
        }
        #expect(place.warnings.withLock { $0.isEmpty })
    }

    @Test("of the weights nothing but embedding and norms is read where pads come from a peer")
    func withoutWeights() throws {
        let place = try Place("llama-gqa2")
        let whole = try place.open()
        let prompt = whole.prompt(20)
        let expected = try whole.engine(whole.fixedPoint()).logits(of: prompt)
        let kept = try FileManager.default.attributesOfItem(atPath: place.file())[.systemFileNumber] as? Int
        try place.clearWeights()
        let bare = try place.open()
        // Its own weights are of no use now.
        #expect(try bare.engine(bare.fixedPoint()).logits(of: prompt) != expected)
        func forward(_ link: any WorkerLink) -> RingForwardPass {
            bare.sealed([link], sources: [PeerPads(whole.worker, name: "peer")])
        }
        #expect(try bare.engine(forward(whole.worker)).logits(of: prompt) == expected)
        #expect(
            try FileManager.default.attributesOfItem(atPath: place.file())[.systemFileNumber] as? Int == kept)

        // A refusal has the weights read, which are found to be others: one line, and nobody is accused.
        let warnings = Mutex<[String]>([])
        let liar = LyingLink(whole.worker) { _, answer, _ in answer.values.map { $0 &+ 1 } }
        let error = #expect(throws: LinkError.self) {
            let forward = bare.sealed([liar], sources: [PeerPads(whole.worker, name: "peer")]) { line in
                warnings.withLock { $0.append(line) }
            }
            _ = try bare.engine(forward).logits(of: prompt)
        }
        #expect(error.map { "\($0)".contains("the weights in \(place.model) were changed") } == true)
        #expect(warnings.withLock { $0.isEmpty })
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.data) == ["site.key"])
    }

    @Test("after a refusal the secret is drawn anew here, and what was kept is gone for the starts to come")
    func refusal() throws {
        let place = try Place("llama-gqa2")
        let fixture = try place.open()
        let prompt = fixture.prompt(20)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let liar = LyingLink(fixture.worker) { _, answer, number in
            guard number == 2 else { return nil }
            var values = answer.values
            values[3] ^= 1 << 20
            return values
        }
        let counts = SealedCounts()
        #expect(
            try fixture.engine(fixture.sealed([liar], counts: counts)).logits(of: prompt) == expected)
        #expect(counts.values.refused == 1)
        #expect(
            fixture.model.sites.map(\.renewals) == [0, 1] + fixture.model.sites.dropFirst(2).map { _ in 0 })
        // Another process may hold secrets that its own workers have tried: none is written back.
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.data) == ["site.key"])
        // The next start draws all of them, and keeps them.
        let again = try place.open()
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.data).count == 2)
        #expect(try again.engine(again.sealed()).logits(of: prompt) == expected)
        #expect(place.warnings.withLock { $0.isEmpty })
    }
}
