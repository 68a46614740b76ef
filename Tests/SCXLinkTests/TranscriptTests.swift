import Foundation
import SCXLink
import SCXWorker
import Synchronization
import Testing

@Suite("transcripts")
struct TranscriptTests {
    /// A directory that is removed with the test.
    final class Folder {
        let path = FileManager.default.temporaryDirectory.appending(
            path: "scx-transcript-\(UUID().uuidString)"
        ).path

        deinit { try? FileManager.default.removeItem(atPath: path) }

        var lines: String { "\(path)/transcript.jsonl" }
        var tensors: String { "\(path)/transcript.bin" }

        func read(_ file: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: file))) }

        func write(_ bytes: [UInt8], to file: String) throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try Data(bytes).write(to: URL(filePath: file))
        }
    }

    /// Messages with the direction that each goes in.
    static func messages(seed: UInt64) throws -> [(Message, TranscriptEntry.Direction)] {
        try LinkSamples.messages(seed: seed).map { ($0, $0.head.isAnswer ? .sent : .received) }
    }

    /// Records messages of two connections.
    static func record(_ messages: [(Message, TranscriptEntry.Direction)], in folder: Folder) throws {
        let recorder = try Recorder(directory: folder.path)
        for (i, (message, direction)) in messages.enumerated() {
            recorder.record(message, direction: direction, connection: UInt64(i % 2))
        }
        #expect(recorder.failure == nil)
    }

    /// Compares an entry with what was recorded.
    static func check(_ entry: TranscriptEntry, _ message: Message, in transcript: Transcript) throws {
        #expect(entry.kind == message.head.kind)
        #expect(entry.number == message.head.number)
        #expect(entry.elements == message.head.elements)
        switch message.tensor {
        case .none: #expect(entry.byteCount == 0)
        case .floats(let values): #expect(try transcript.floats(of: entry) == values)
        case .words(let words): #expect(try transcript.words(of: entry) == words)
        }
        switch entry.detail {
        case .request(let operation): #expect(try Request(message).operation == operation)
        case .hello(let hello): #expect(hello.digest == LinkSamples.digest)
        case .failure(let code, let reason): #expect(code == 2 && reason == "no place for slot 3")
        case .statistics(let statistics):
            #expect(try Answer(message, to: Request(.stats)) == .statistics(statistics))
        case .none: #expect(message.head.isAnswer && message.fields.isEmpty)
        case .undecoded(let bytes): #expect(bytes == message.fields)
        }
    }

    @Test("what was recorded is read back, tensors to the bit", arguments: 0..<4 as Range<UInt64>)
    func roundTrip(seed: UInt64) throws {
        let folder = Folder()
        let messages = try Self.messages(seed: seed)
        try Self.record(messages, in: folder)
        let transcript = try Transcript(directory: folder.path)
        #expect(transcript.starts.count == 1)
        #expect(!transcript.endsEarly)
        #expect(transcript.entries.count == messages.count)
        for (i, (entry, message)) in zip(transcript.entries, messages).enumerated() {
            #expect(entry.direction == message.1)
            #expect(entry.connection == UInt64(i % 2))
            try Self.check(entry, message.0, in: transcript)
        }
        let times = transcript.entries.map(\.microseconds)
        #expect(times == times.sorted())
        let bytes = transcript.entries.reduce(0) { $0 + $1.byteCount }
        #expect(try folder.read(folder.tensors).count == bytes)
        let permissions =
            try FileManager.default.attributesOfItem(atPath: folder.tensors)[.posixPermissions] as? Int
        #expect(permissions == 0o600)
    }

    @Test("fields that are not as the kind has them are kept as bytes")
    func undecoded() throws {
        let folder = Folder()
        let head = FrameHead(kind: .linearRing, isAnswer: false, number: 2)
        let messages = [
            Message(head: head, fields: [1, 0xAB, 255]),
            Message(head: FrameHead(kind: .middle, isAnswer: true, number: 2), fields: [7]),
        ]
        try Self.record([(messages[0], .received), (messages[1], .sent)], in: folder)
        let entries = try Transcript(directory: folder.path).entries
        #expect(entries.map(\.detail) == [.undecoded([1, 0xAB, 255]), .undecoded([7])])
    }

    @Test("a second run goes on after the first, without the line that it died in")
    func continued() throws {
        let folder = Folder()
        let messages = try Self.messages(seed: 9)
        try Self.record(messages, in: folder)
        // The worker died after a tensor and a part of its line.
        try folder.write(try folder.read(folder.tensors) + [1, 2, 3], to: folder.tensors)
        try folder.write(
            try folder.read(folder.lines) + Array(#"{"microseconds":5,"dir"#.utf8), to: folder.lines)
        let first = try Transcript(directory: folder.path)
        #expect(first.endsEarly)
        #expect(first.entries.count == messages.count)

        try Self.record(messages, in: folder)
        let both = try Transcript(directory: folder.path)
        #expect(!both.endsEarly)
        #expect(both.starts.count == 2)
        #expect(both.starts[1].offset == first.entries.reduce(0) { $0 + $1.byteCount } + 3)
        #expect(both.entries.map(\.run) == messages.map { _ in 0 } + messages.map { _ in 1 })
        for (entry, message) in zip(both.entries, messages + messages) {
            try Self.check(entry, message.0, in: both)
        }
    }

    @Test("two workers do not record into one directory")
    func locked() throws {
        let folder = Folder()
        let recorder = try Recorder(directory: folder.path)
        #expect(
            throws: TranscriptError.file(
                path: folder.path, action: "record into it", reason: "another worker is recording there")
        ) { try Recorder(directory: folder.path) }
        #expect(recorder.failure == nil)
    }

    @Test("a directory that cannot be made is refused at the start")
    func unusable() {
        #expect(throws: TranscriptError.self) { try Recorder(directory: "/dev/null/here") }
        #expect(throws: TranscriptError.self) { try Transcript(directory: "/nowhere") }
    }

    #if os(Linux)
        @Test("a full disk ends the recording with one warning, and what is there can be read")
        func full() throws {
            let folder = Folder()
            let messages = try Self.messages(seed: 2)
            try Self.record(messages, in: folder)
            let whole = try folder.read(folder.lines)
            try FileManager.default.removeItem(atPath: folder.tensors)
            try FileManager.default.createSymbolicLink(
                atPath: folder.tensors, withDestinationPath: "/dev/full")
            let warnings = Mutex<[TranscriptError]>([])
            let recorder = try Recorder(directory: folder.path) { warning in
                warnings.withLock { $0.append(warning) }
            }
            for (message, direction) in messages {
                recorder.record(message, direction: direction, connection: 1)
            }
            let failure = TranscriptError.file(
                path: folder.tensors, action: "write it", reason: "No space left on device")
            #expect(recorder.failure == failure)
            #expect(warnings.withLock { $0 } == [failure])
            let after = try folder.read(folder.lines)
            #expect(after.starts(with: whole))
            #expect(after.last == 0x0A)
        }
    #endif

    @Test("threads may record at once")
    func threads() async throws {
        let folder = Folder()
        let recorder = try Recorder(directory: folder.path)
        let message = ProtocolTests.request.message(number: 1)
        await withTaskGroup { group in
            for connection in 0..<8 as Range<UInt64> {
                group.addTask {
                    for _ in 0..<50 { recorder.record(message, direction: .received, connection: connection) }
                }
            }
        }
        let transcript = try Transcript(directory: folder.path)
        #expect(transcript.entries.count == 400)
        for entry in transcript.entries { try Self.check(entry, message, in: transcript) }
    }
}
