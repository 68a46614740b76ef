import SCXLink
import Testing

@Suite("transcripts with faults")
struct TranscriptFaultTests {
    static let start = #"{"kind":"start","version":2,"unixMicroseconds":5,"offset":0}"#
    static let message =
        #"{"microseconds":1,"direction":"received","connection":1,"number":2,"kind":"feedForward","layer":3,"#
        + #""dtype":"float32","shape":[1,2],"offset":0,"bytes":8}"#

    /// Reads a transcript of these lines; `transcript.bin` has 16 bytes.
    static func read(_ lines: [String]) throws -> Transcript {
        let folder = TranscriptTests.Folder()
        try folder.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: folder.lines)
        try folder.write([UInt8](repeating: 0, count: 16), to: folder.tensors)
        return try Transcript(directory: folder.path)
    }

    static func fault(_ lines: [String]) -> (line: Int, reason: String)? {
        do { _ = try read(lines) } catch TranscriptError.line(let number, _, let reason) {
            return (number, reason)
        } catch {}
        return nil
    }

    @Test("lines written by others may have other order, spaces and members")
    func lenient() throws {
        let line = """
            { "kind" : "unlock", "more": {"a": [null]}, "layer": 3.0, "slot": 4, "position": 5, \
            "number": 2, "connection": 1, "direction": "received", "microseconds": 7, "dtype": null }
            """
        let entry = try #require(try Self.read([Self.start, line]).entries.first)
        #expect(entry.detail == .request(.unlock(slot: Slot(number: 4), layer: 3, position: 5)))
        #expect(entry.layer == 3)
        #expect(entry.slots == [Slot(number: 4)])
    }

    @Test("a hello of an earlier version of the link, which said less, is read too")
    func earlierHello() throws {
        let line =
            #"{"microseconds":1,"direction":"sent","connection":1,"number":1,"kind":"hello","version":2,"#
            + #""digest":"d","weights":"bf16"}"#
        let entry = try #require(try Self.read([Self.start, line]).entries.first)
        #expect(entry.detail == .hello(Hello(version: 2, digest: "d", weights: "bf16")))
    }

    @Test(
        "a fault in what a hello says, or a seed, is named",
        arguments: [
            (#""ring":1"#, "'ring' is missing or neither true nor false"),
            (#""window":65536"#, "'window' is missing or out of range"),
            (#""shard":[0]"#, "'shard' is no part of a whole"),
            (#""shard":[2,2]"#, "'shard' is no part of a whole"),
            (#""shard":3"#, "'shard' is missing or no array"),
            (
                #""kind":"padProducts","layer":0,"site":"down","first":0,"count":1"#,
                "'seed' is missing or no text"
            ),
            (
                #""kind":"padProducts","layer":0,"site":"down","seed":"00","first":0,"count":1"#,
                "'seed' is not 32 bytes"
            ),
            (#""kind":"linearRing","layer":0"#, "'site' is missing or no text"),
        ])
    func newFaults(_ members: String, _ reason: String) throws {
        let common = #"{"microseconds":1,"direction":"received","connection":1,"number":1,"#
        let kind = members.contains("kind") ? "" : #""kind":"hello","version":3,"digest":"d","weights":"","#
        let fault = try #require(Self.fault([Self.start, common + kind + members + "}"]))
        #expect(fault.line == 2)
        #expect(fault.reason == reason)
    }

    @Test(
        "a fault is named with its line",
        arguments: [
            ("layer\":3", "layer\":-1", "'layer' is missing or out of range"),
            ("layer\":3", "layer\":65536", "'layer' is missing or out of range"),
            ("layer\":3", "layer\":\"x\"", "'layer' is missing or out of range"),
            ("layer", "lawyer", "'layer' is missing or out of range"),
            ("received", "lost", "an unknown direction"), ("feedForward", "feed", "'kind' is not known"),
            ("feedForward", "more", "'more' without its fields"),
            ("float32", "float64", "'dtype' is not known"), ("float32", "none", "'dtype' is not known"),
            ("[1,2]", "[1]", "a shape of 1 numbers"), ("[1,2]", "7", "'shape' is missing or no array"),
            ("[1,2]", "[1,-2]", "'shape' holds something out of range"),
            ("[1,2]", "[0,2]", "a tensor of 0 x 2 elements"),
            ("[1,2]", "[4294967295,4294967295]", "a tensor of 4294967295 x 4294967295 elements"),
            ("bytes\":8", "bytes\":9", "'bytes' does not fit the shape"),
            ("offset\":0", "offset\":-1", "'offset' is missing or out of range"),
            ("offset\":0", "offset\":9223372036854775807", "'offset' is missing or out of range"),
            ("offset\":0", "offset\":9", "its tensor lies behind the end of transcript.bin"),
            ("layer\":3", "layer\":3,\"fields\":\"0g\"", "'fields' is not hexadecimal"),
            ("layer\":3", "layer\":3,\"fields\":\"012\"", "'fields' is not hexadecimal"),
        ])
    func faults(_ old: String, _ new: String, _ reason: String) throws {
        let line = Self.message.replacing(old, with: new)
        let fault = try #require(Self.fault([Self.start, line]))
        #expect(fault.line == 2)
        #expect(fault.reason == reason)
    }

    @Test("lines out of place are refused")
    func places() throws {
        #expect(try #require(Self.fault([Self.message])).reason == "a message before the first start")
        let overlap = try #require(Self.fault([Self.start, Self.message, "", Self.message]))
        #expect(overlap.line == 3)
        let again = try #require(Self.fault([Self.start, Self.message, Self.message]))
        #expect(again.reason == "its tensor lies over one before it")
        let cut = try #require(Self.fault([Self.start, Self.message, Self.start]))
        #expect(cut.reason == "its tensor lies over one before it")
        let version = try #require(Self.fault([Self.start.replacing("version\":2", with: "version\":1")]))
        #expect(version.reason == "another version")
        #expect(try #require(Self.fault(["[1]"])).reason == "not an object")
    }

    @Test("a line without end is not read into memory")
    func endless() throws {
        let fault = try #require(Self.fault([Self.start, String(repeating: " ", count: 5 << 20)]))
        #expect(fault.line == 2)
        #expect(fault.reason == "longer than 4194304 bytes")
    }

    @Test("a transcript cut at any byte reads up to its last whole line, or fails with a line")
    func cuts() throws {
        let folder = TranscriptTests.Folder()
        try TranscriptTests.record(try TranscriptTests.messages(seed: 5), in: folder)
        let lines = try folder.read(folder.lines)
        let whole = try Transcript(directory: folder.path).entries
        for count in stride(from: 0, through: lines.count, by: 7) {
            try folder.write(Array(lines[..<count]), to: folder.lines)
            let transcript = try Transcript(directory: folder.path)
            #expect(transcript.entries == Array(whole.prefix(transcript.entries.count)))
            #expect(transcript.endsEarly == (count > 0 && lines[count - 1] != 0x0A))
        }
        try folder.write(lines, to: folder.lines)
        try folder.write(Array(try folder.read(folder.tensors).dropLast()), to: folder.tensors)
        #expect(throws: TranscriptError.self) { try Transcript(directory: folder.path) }
    }

    @Test(
        "flipped bits give an error or entries whose tensors can be read", arguments: 0..<4 as Range<UInt64>)
    func flips(seed: UInt64) throws {
        let folder = TranscriptTests.Folder()
        try TranscriptTests.record(try TranscriptTests.messages(seed: seed), in: folder)
        let lines = try folder.read(folder.lines)
        var chance = Chance(seed)
        for _ in 0..<150 {
            var flipped = lines
            for _ in 0..<Int.random(in: 1...3, using: &chance) {
                flipped[Int.random(in: 0..<lines.count, using: &chance)] ^=
                    1 << UInt8.random(in: 0..<8, using: &chance)
            }
            try folder.write(flipped, to: folder.lines)
            guard let transcript = try? Transcript(directory: folder.path) else { continue }
            for entry in transcript.entries {
                #expect(entry.elements != .float32 || (try? transcript.floats(of: entry)) != nil)
                #expect(entry.elements != .uint32 || (try? transcript.words(of: entry)) != nil)
            }
        }
    }

    @Test("a tensor that is gone, or of other elements, is an error when it is asked for")
    func gone() throws {
        let folder = TranscriptTests.Folder()
        try folder.write(Array("\(Self.start)\n\(Self.message)\n".utf8), to: folder.lines)
        try folder.write([UInt8](repeating: 0, count: 8), to: folder.tensors)
        let transcript = try Transcript(directory: folder.path)
        let entry = try #require(transcript.entries.first)
        #expect(try transcript.floats(of: entry) == [0, 0])
        #expect(throws: TranscriptError.self) { try transcript.words(of: entry) }
    }
}
