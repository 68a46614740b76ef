import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing
import scx_lab

@Suite("a link with a long round trip", .timeLimit(.minutes(60)))
struct DelayedStreamTests {
    private let soon = Deadline(after: .seconds(3_600))

    private func send(_ stream: any ByteStream, _ bytes: [UInt8]) throws(LinkError) {
        try unsafe bytes.span.bytes.withUnsafeBytes { bytes throws(LinkError) in
            try unsafe stream.write(bytes, before: soon)
        }
    }

    private func receive(_ stream: any ByteStream, _ count: Int) throws(LinkError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        try unsafe span.withUnsafeMutableBytes { bytes throws(LinkError) in
            try unsafe stream.read(bytes, before: soon)
        }
        return bytes
    }

    @Test("what is written arrives whole and in order, and what is read is not delayed")
    func order() throws {
        let (near, far) = try SocketStream.pair()
        let stream = DelayedStream(near, by: .milliseconds(5))
        let pieces = (0..<50).map { piece in
            (0..<(piece * 37 % 400 + 1)).map { UInt8(truncatingIfNeeded: piece &* 31 &+ $0) }
        }
        for piece in pieces { try send(stream, piece) }
        for piece in pieces { #expect(try receive(far, piece.count) == piece) }
        try send(far, [1, 2, 3])
        #expect(try receive(stream, 3) == [1, 2, 3])
        #expect(stream.remoteEnd == near.remoteEnd)
        stream.close()
        #expect(throws: LinkError.self) { try send(stream, [1]) }
        #expect(throws: LinkError.self) { try receive(stream, 1) }
    }

    @Test("the end of the other side is told to who writes")
    func otherSideCloses() throws {
        let (near, far) = try SocketStream.pair()
        let stream = DelayedStream(near, by: .milliseconds(5))
        far.close()
        #expect(throws: LinkError.self) {
            for _ in 0..<100_000 { try send(stream, [UInt8](repeating: 1, count: 100)) }
        }
        stream.close()
    }

    @Test("profile sealed gives the same tokens over it, and drafts save exchanges")
    func sealed() throws {
        let checkpoint = try Checkpoint(directory: "\(AttackFixture.root)/Models/ward-3m")
        let pool = AttackFixture.pool
        let sites = try RingModel(checkpoint, pool: pool)
        let weights = try Decoder(checkpoint, format: .int8, pool: pool)
        let digest = checkpoint.digest()
        let server = WorkerServer(worker: Worker(model: weights), digest: digest, weights: .int8)
        // A line that comes again and again, so that drafts are right.
        let line: [Int32] = [316, 1304, 35, 203, 363, 393, 281, 596, 1897, 16, 262, 1788]
        let prompt = [0] + Array(repeating: line, count: 8).flatMap(\.self)
        func answer(_ forward: any ForwardPass, _ drafter: (any Drafter)?) throws -> (
            tokens: [Int32], exchanges: Int
        ) {
            let engine = Engine(
                forward: forward, tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
                maximumLength: checkpoint.configuration.maximumLength, drafter: drafter)
            var sampling = SamplingParameters()
            sampling.temperature = 0
            var tokens: [Int32] = []
            let id = try engine.submit(
                GenerationRequest(prompt: prompt, maximumTokens: 24, sampling: sampling))
            try engine.run(id) { event in
                tokens.append(event.token?.id ?? -1)
                return true
            }
            return (tokens, engine.traffic.exchanges)
        }
        func overLink(_ drafter: (any Drafter)?) throws -> (tokens: [Int32], exchanges: Int) {
            let link = RemoteLink(digest: digest, model: checkpoint.configuration) {
                _ throws(LinkError) in
                let (near, far) = try SocketStream.pair()
                Thread.detachNewThread { server.serve(far) }
                return DelayedStream(near, by: .milliseconds(5))
            }
            defer { link.close() }
            let bank = PadBank(sites: sites.sites, sources: [DirectPads(weights)])
            return try answer(
                RingForwardPass(sealed: sites, workers: RingWorkers([("far", [link])]), bank: bank), drafter)
        }
        let expected = try answer(RingForwardPass(fixedPoint: sites, weights: weights), nil)
        let (off, on) = (try overLink(nil), try overLink(NGramDrafter(longest: 4)))
        #expect(expected.tokens.count == 24 && off.tokens == expected.tokens && on.tokens == expected.tokens)
        #expect(off.exchanges == 24 * 21 && on.exchanges < off.exchanges)
    }
}
