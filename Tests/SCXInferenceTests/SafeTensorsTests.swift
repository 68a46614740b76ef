import Foundation
import SCXInference
import Testing

@Suite("safetensors files")
struct SafeTensorsTests {
    let directory = try? TemporaryDirectory()

    func write(_ bytes: [UInt8]) throws -> String {
        try #require(directory).write(bytes, to: "t.safetensors")
    }

    /// A file with that header, claiming its true length.
    func write(header: String, data: Int) throws -> String {
        try write(littleEndian(UInt64(header.utf8.count)) + header.utf8 + [UInt8](repeating: 0, count: data))
    }

    @Test("what the writer writes is read back, rows of every type exactly")
    func roundTrip() throws {
        let path = try #require(directory).path("t.safetensors")
        var writer = try SafeTensorsWriter(
            path,
            tensors: [
                .init("half \"quoted\" é", .f16, [2, 3]), .init("brain", .bf16, [2, 2]),
                .init("empty", .f32, [0, 4]),
                .init("single", .f32, [2, 1]), .init("scalar", .f32, []),
            ])
        let halves: [UInt16] = [0x3C00, 0xBC00, 0x0001, 0x7BFF, 0x8000, 0x3555]
        let brains: [UInt16] = [0x3F80, 0xC000, 0x0001, 0x7F7F]
        try unsafe writer.append(halves.span.bytes)
        try unsafe writer.append(brains.span.bytes)
        let singles: [Float] = [1.5, -2, 42]
        try unsafe writer.append(singles.span.bytes)
        try writer.finish()

        let file = try SafeTensorsFile(path)
        #expect(file.tensorNames == ["brain", "empty", "half \"quoted\" é", "scalar", "single"])
        let half = try file.tensor("half \"quoted\" é")
        #expect(half.type == .f16 && half.shape == [2, 3] && half.byteCount == 12)
        #expect(row(half, 0) == [1, -1, 0x1p-24])
        #expect(row(half, 1) == [65504, -0.0, 0.333_251_953_125])
        #expect(
            row(try file.tensor("brain"), 1) == [Float(bitPattern: 0x10000), Float(bitPattern: 0x7F7F_0000)])
        #expect(row(try file.tensor("single"), 1) == [-2])
        #expect(try file.tensor("scalar").byteCount == 4 && file.tensor("empty").byteCount == 0)
        half.discard()
        #expect(row(half, 0) == [1, -1, 0x1p-24])
    }

    @Test("one float32 tensor is written in one call")
    func writeOne() throws {
        let path = try #require(directory).path("logits.safetensors")
        let values: [Float] = [1, 2, 3, 4]
        try SafeTensorsWriter.write(values.span, name: "logits", shape: [2, 2], to: path)
        #expect(row(try SafeTensorsFile(path).tensor("logits"), 1) == [3, 4])
    }

    @Test("an unfinished file leaves nothing, and a failure names the file")
    func unfinished() throws {
        let directory = try #require(directory)
        do {
            var writer = try SafeTensorsWriter(
                directory.path("a.safetensors"), tensors: [.init("x", .f32, [2])])
            let half: [Float] = [1]
            try unsafe writer.append(half.span.bytes)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path("")).isEmpty)

        let nowhere = directory.path("nowhere/a.safetensors")
        #expect(
            throws: CheckpointError.file(
                path: nowhere, action: "write it", reason: "No such file or directory")
        ) {
            try SafeTensorsWriter.write([Float]().span, name: "x", shape: [0], to: nowhere)
        }
        try FileManager.default.createDirectory(
            atPath: directory.path("taken"), withIntermediateDirectories: false)
        #expect(
            throws: CheckpointError.file(
                path: directory.path("taken"), action: "write it", reason: "Is a directory")
        ) {
            try SafeTensorsWriter.write([Float]().span, name: "x", shape: [0], to: directory.path("taken"))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path("")) == ["taken"])
    }

    @Test(
        "a header that the file does not bear out is refused",
        arguments: [
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}"#, 8, "'a': ends at byte 9"),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "'a': ends before it starts"),
            (
                #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8,
                "8 bytes do not fit F32 elements"
            ),
            (#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}}"#, 8, "do not fit F16"),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9, "1 bytes after the last tensor"),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12, "'a': unused bytes before it"),
            (
                #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12, "'b': overlaps another tensor"
            ),
            (
                #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8, "'a': listed twice"
            ),
            (
                #"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, 8,
                "is too large"
            ),
            (
                #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0,
                "is too large"
            ),
            (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, "'a': has no shape"),
            (
                #"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}"#, 8,
                "has no shape"
            ),
            (#"{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}"#, 8, "has no shape"),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, 8, "has no data_offsets"),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8.5]}}"#, 8, "has no data_offsets"),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807]}}"#, 8, "ends at byte"),
            (#"{"a":{"shape":[2],"data_offsets":[0,8]}}"#, 8, "has no dtype"),
            (#"{"a":7}"#, 0, "has no dtype"),
            (#"[1]"#, 0, "the header is not a JSON object"),
            (#"{"a":"#, 0, "not valid JSON at byte 5"),
            (#"{}"#, 3, "3 bytes after the last tensor"),
        ])
    func badHeaders(header: String, data: Int, expected: String) throws {
        let path = try write(header: header, data: data)
        let error = #expect(throws: CheckpointError.self) { try SafeTensorsFile(path) }
        let line = error?.description ?? ""
        #expect(line.hasPrefix(path) && line.contains(expected), "\(line)")
    }

    @Test("a header length beyond the file or the limit is refused", arguments: [3, 99, 1 << 40, UInt64.max])
    func badLengths(length: UInt64) throws {
        let path = try write(littleEndian(length) + [0x7B, 0x7D])
        #expect(throws: CheckpointError.self) { try SafeTensorsFile(path) }
    }

    @Test("an unknown type is an error only for the tensor that has it")
    func unknownType() throws {
        let path = try write(
            header: #"{"a":{"dtype":"Q7","shape":[3],"data_offsets":[0,5]},"b":{"dtype":"F32","shape":[1],"#
                + #""data_offsets":[5,9]},"c":{"dtype":"I64","shape":[1],"data_offsets":[9,17]}}"#,
            data: 17)
        let file = try SafeTensorsFile(path)
        #expect(try file.tensor("b").values() == [0])  // Misaligned, as old files are.
        #expect(throws: CheckpointError.unsupportedType(path: path, tensor: "a", found: "Q7")) {
            try file.tensor("a")
        }
        #expect(throws: CheckpointError.unsupportedType(path: path, tensor: "c", found: "I64")) {
            try file.tensor("c")
        }
        #expect(throws: CheckpointError.missingTensor(path: path, tensor: "d")) { try file.tensor("d") }
    }

    /// The bytes of a small file with two tensors.
    func sample() throws -> [UInt8] {
        let path = try #require(directory).path("sample.safetensors")
        var writer = try SafeTensorsWriter(
            path, tensors: [.init("a", .f32, [4, 8]), .init("b", .bf16, [64])])
        try unsafe writer.append([Float](repeating: 1, count: 64).span.bytes)
        try writer.finish()
        return Array(try Data(contentsOf: URL(filePath: path)))
    }

    @Test("every truncation is refused")
    func truncated() throws {
        let bytes = try sample()
        for count in 0..<bytes.count {
            let path = try write(Array(bytes[..<count]))
            #expect(throws: CheckpointError.self) { try SafeTensorsFile(path) }
        }
    }

    @Test("flipped bits are refused or give a file whose tensors lie inside it")
    func flipped() throws {
        let bytes = try sample()
        var random = SplitMix(state: 1)
        var refused = 0
        for _ in 0..<600 {
            var damaged = bytes
            // Mostly in the header, where flips matter.
            for _ in 0...random.next(2) {
                damaged[random.next(random.next(4) == 0 ? bytes.count : 200)] ^= UInt8(1 << random.next(8))
            }
            let path = try write(damaged)
            do {
                let file = try SafeTensorsFile(path)
                for name in file.tensorNames {
                    guard let tensor = try? file.tensor(name) else { continue }
                    let sum = unsafe tensor.withUnsafeBytes { unsafe $0.reduce(0) { $0 + Int($1) } }
                    #expect(sum >= 0 && tensor.byteCount <= bytes.count)
                }
            } catch { refused += 1 }
        }
        #expect(refused > 300)
    }

    @Test("what is no regular file is refused at once")
    func notFiles() throws {
        let directory = try #require(directory)
        #expect(throws: CheckpointError.self) { try SafeTensorsFile(directory.path("")) }
        #expect(throws: CheckpointError.self) { try SafeTensorsFile(directory.path("nothing")) }
        #expect(throws: CheckpointError.self) { try SafeTensorsFile("/dev/zero") }
        let empty = try write([])
        #expect(throws: CheckpointError.self) { try SafeTensorsFile(empty) }
    }
}

/// A directory that is removed with this object.
final class TemporaryDirectory {
    private let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { name.isEmpty ? url.path : url.path + "/" + name }

    @discardableResult
    func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
        try Data(bytes).write(to: URL(filePath: path(name)))
        return path(name)
    }
}

/// A small generator with a seed, so that failures repeat.
struct SplitMix {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((z ^ (z >> 31)) % UInt64(bound))
    }
}

/// A row of a matrix.
func row(_ tensor: StoredTensor, _ index: Int) -> [Float] {
    var values = [Float](repeating: .nan, count: tensor.shape[1])
    var span = values.mutableSpan
    tensor.row(index, into: &span)
    return values
}

private func littleEndian(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}
