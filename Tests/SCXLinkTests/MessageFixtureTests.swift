import Foundation
import SCXLink
import Testing

/// Messages and transcripts that two implementations wrote: this one, and `Tools/scx_link.py`.
///
/// Each is to read what the other wrote; `Tools/check-link.py` is the other half of these tests. After a change of the
/// protocol, write both anew:
///
///     SCX_WRITE_FIXTURES=1 swift test --disable-xctest --filter MessageFixtureTests
///     python3 Tools/check-link.py --write
@Suite("messages that two implementations wrote", .serialized)
struct MessageFixtureTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func folder(_ name: String) -> URL { root.appending(path: "Tests/Fixtures/link/\(name)") }

    @Test(
        "are written when that is asked for",
        .enabled(if: ProcessInfo.processInfo.environment["SCX_WRITE_FIXTURES"] != nil))
    func write() throws {
        let folder = Self.folder("swift")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let stream = MemoryStream()
        var lines = [Transcript.Start(unixMicroseconds: 1_700_000_000_000_000, offset: 0).line]
        var tensors: [UInt8] = []
        for (i, message) in try LinkSamples.messages(seed: 7).enumerated() {
            try MessageStream(stream).send(message)
            let entry = TranscriptEntry(
                message, direction: message.head.isAnswer ? .sent : .received, connection: 1,
                microseconds: 10 * i, offset: tensors.count)
            lines.append(entry.line)
            // The last frame's bytes are the tensor's: all of these fit one.
            tensors += stream.bytes.suffix(entry.byteCount)
        }
        try Data(stream.bytes).write(to: folder.appending(path: "messages.bin"))
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(
            to: folder.appending(path: "transcript.jsonl"))
        try Data(tensors).write(to: folder.appending(path: "transcript.bin"))
    }

    @Test(
        "are read alike from frames and from a transcript, and written alike", arguments: ["swift", "python"])
    func read(name: String) throws {
        let folder = Self.folder(name)
        let bytes = [UInt8](try Data(contentsOf: folder.appending(path: "messages.bin")))
        let transcript = try Transcript(directory: folder.path)
        #expect(!transcript.endsEarly)
        let (stream, copy) = (MemoryStream(bytes), MemoryStream())
        for entry in transcript.entries {
            let message = try MessageStream(stream).receiveAny()
            try MessageStream(copy).send(message)
            let own = TranscriptEntry(
                message, direction: entry.direction, connection: entry.connection,
                microseconds: entry.microseconds, offset: entry.offset)
            #expect(own == entry)
            if case .undecoded = entry.detail { Issue.record("\(entry.kind) was not decoded") }
            switch message.tensor {
            case .none: #expect(entry.elements == .none)
            case .floats(let values): #expect(try transcript.floats(of: entry) == values)
            case .words(let words): #expect(try transcript.words(of: entry) == words)
            }
            if !entry.layouts.isEmpty, case .rows(let rows) = try Request(message).payload {
                #expect(try transcript.floats(of: entry) == rows.values)
            }
        }
        #expect(stream.unread == 0)
        #expect(copy.bytes == bytes)
        let kinds = Set(transcript.entries.map(\.kind))
        #expect(kinds == Set(MessageKind.allCases).subtracting([.more]))
    }

    @Test(
        "numbers in groups that Python wrote are those that it meant",
        arguments: [TensorPrecision.int8, .int4])
    func groups(precision: TensorPrecision) throws {
        let transcript = try Transcript(directory: Self.folder("python").path)
        let entry = try #require(transcript.entries.first { $0.layouts.map(\.precision) == [precision] })
        let codes = (0..<64).map { Float(37 * $0 % (1 << Int(precision.rawValue))) }
        #expect(
            try transcript.floats(of: entry)
                == [0.1, -2, 3.4e38] + codes.map { -1.5 + 0.25 * $0 } + codes.prefix(6).map { 8 + 2 * $0 })
    }

    /// The worked example of `docs/protocol.md`.
    static func example() throws -> [(title: String, bytes: [UInt8])] {
        let digest = "d1ge57"
        var client = ClientProtocol(digest: digest, model: LinkSamples.model)
        var own = Hello(digest: digest, weights: "bf16")
        own.window = 4
        var worker = WorkerProtocol(hello: own, largestTensor: 64)
        var messages = [("client: hello", client.hello())]
        guard case .send(let welcome) = try worker.receive(messages[0].1) else { return [] }
        messages.append(("worker: hello", welcome))
        _ = try client.receiveHello(welcome)
        let rows = EncodedTensor(encodedRows: 1, channels: 2, values: [1, -2.5])
        let request = Request(
            .middle(blocks: 0..<22, segments: [Segment(slot: Slot(number: 3), position: 17, rows: 1)]), rows)
        messages.append(("client: middle", try client.ask(request)))
        _ = try worker.receive(messages[2].1)
        let answer = Answer.tensor(EncodedTensor(resultOf: request, channels: 2, values: [0.5, 3]))
        messages.append(("worker: middle", worker.answer(.success(answer), to: 2)))
        _ = try client.receive(messages[3].1)
        messages.append(("client: release", try client.ask(Request(.release(slot: Slot(number: 4))))))
        _ = try worker.receive(messages[4].1)
        messages.append(("worker: failure", worker.answer(.failure(.invalidRequest("no slot 4")), to: 3)))
        return try messages.map { ($0.0, try MemoryStream.bytes(of: $0.1)) }
    }

    /// Lines of 16 bytes.
    static func dump(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { at in
            let line = bytes[at..<min(at + 16, bytes.count)]
            return line.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
        }.joined(separator: "\n")
    }

    @Test("the worked example of docs/protocol.md is what the code writes")
    func documented() throws {
        let page = try String(contentsOf: Self.root.appending(path: "docs/protocol.md"), encoding: .utf8)
        for (title, bytes) in try Self.example() {
            let text = "\(title)\n\(Self.dump(bytes))\n"
            #expect(page.contains(text), "the page lacks:\n\(text)")
        }
    }
}
