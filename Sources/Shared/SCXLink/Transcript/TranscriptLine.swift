import SCXInference

/// A line of `transcript.jsonl` as it is read: an object whose members are looked up by name.
struct TranscriptLine {
    private let json: JSON
    private let number: Int
    private let path: String

    init(_ bytes: Span<UInt8>, number: Int, path: String) throws(TranscriptError) {
        do throws(JSONError) {
            json = try JSON(parsing: bytes, depth: 8)
        } catch {
            throw .line(number, path: path, reason: error.description)
        }
        self.number = number
        self.path = path
        guard json.object != nil else { throw fault("not an object") }
    }

    /// Wraps an object that is part of a line.
    private init(_ json: JSON, in line: TranscriptLine) {
        self.json = json
        (number, path) = (line.number, line.path)
    }

    subscript(name: String) -> JSON? { json[name].flatMap { $0.isNull ? nil : $0 } }

    func fault(_ reason: String) -> TranscriptError { .line(number, path: path, reason: reason) }

    /// Reads a whole number from 0 to `limit`.
    func int(_ name: String, atMost limit: Int = .max) throws(TranscriptError) -> Int {
        guard let value = self[name]?.int, (0...limit).contains(value) else {
            throw fault("'\(name)' is missing or out of range")
        }
        return value
    }

    /// Reads an array of at least one object.
    func objects(_ name: String) throws(TranscriptError) -> [TranscriptLine] {
        guard let objects = self[name]?.array, !objects.isEmpty, objects.allSatisfy({ $0.object != nil })
        else { throw fault("'\(name)' is missing or holds no objects") }
        return objects.map { TranscriptLine($0, in: self) }
    }

    func ints(_ name: String, atMost limit: Int = Int(UInt32.max)) throws(TranscriptError) -> [Int] {
        guard let values = self[name]?.array else { throw fault("'\(name)' is missing or no array") }
        return try values.map { value throws(TranscriptError) in
            guard let value = value.int, (0...limit).contains(value) else {
                throw fault("'\(name)' holds something out of range")
            }
            return value
        }
    }

    func bool(_ name: String) throws(TranscriptError) -> Bool {
        guard let value = self[name]?.bool else {
            throw fault("'\(name)' is missing or neither true nor false")
        }
        return value
    }

    func text(_ name: String) throws(TranscriptError) -> String {
        guard let value = self[name]?.string else { throw fault("'\(name)' is missing or no text") }
        return value
    }

    func choice<Choice>(_ name: String, of choices: [Choice]) throws(TranscriptError) -> Choice {
        let value = try text(name)
        guard let choice = choices.first(where: { "\($0)" == value }) else {
            throw fault("'\(name)' is not known")
        }
        return choice
    }

    func layer() throws(TranscriptError) -> Int { try int("layer", atMost: Int(UInt16.max)) }

    func count(_ name: String) throws(TranscriptError) -> Int { try int(name, atMost: Int(UInt32.max)) }

    func layout() throws(TranscriptError) -> TensorLayout {
        let precision = try choice("precision", of: TensorPrecision.allCases)
        let (prefix, channels) = (try count("exactPrefix"), try count("channels"))
        guard
            let layout = TensorLayout(
                precision: precision.rawValue, exactPrefix: UInt32(prefix), channels: UInt32(channels))
        else { throw fault("'exactPrefix' is out of range") }
        return layout
    }

    func slot() throws(TranscriptError) -> Slot { Slot(number: UInt32(try count("slot"))) }

    func slotIfAny() throws(TranscriptError) -> Slot? { self["slot"] == nil ? nil : try slot() }
}

extension TranscriptEntry {
    /// The entry's line in `transcript.jsonl`, without the newline.
    public var line: String {
        var members: [JSON.Member] = [
            .init("microseconds", .int(microseconds)), .init("direction", .string(direction.rawValue)),
            .init("connection", .int(Int(clamping: connection))),
            .init("number", .int(Int(clamping: number))), .init("kind", .string("\(kind)")),
        ]
        members += detail.members
        if case .request(.attention(_, let parts)) = detail {
            members.append(
                .init("parts", .array(zip(parts, layouts).map { .object($0.members + $1.members) })))
        }
        if elements != .none {
            members += [
                .init("dtype", .string("\(elements)")), .init("shape", [.int(rows), .int(channels)]),
                .init("offset", .int(offset)), .init("bytes", .int(byteCount)),
            ]
        }
        return JSON.object(members).text
    }
}

extension TranscriptEntry.Detail {
    var members: [JSON.Member] {
        switch self {
        case .none: []
        case .hello(let hello):
            [
                .init("version", .int(Int(hello.version))), .init("digest", .string(hello.digest)),
                .init("weights", .string(hello.weights)), .init("ring", .bool(hello.ring)),
                .init("window", .int(Int(hello.window))),
                .init("shard", [.int(hello.shard.index), .int(hello.shard.count)]),
            ]
        case .request(let operation): operation.members
        case .statistics(let statistics):
            WorkerStatistics.fields.map { .init($0.name, .int(statistics[keyPath: $0.path])) }
        case .failure(let code, let reason):
            [.init("code", .int(Int(code))), .init("reason", .string(reason))]
        case .undecoded(let bytes):
            [.init("fields", .string(hexadecimal(bytes)))]
        }
    }

    init(
        _ line: TranscriptLine, _ kind: MessageKind, _ direction: TranscriptEntry.Direction
    ) throws(TranscriptError) {
        if line["fields"] != nil {
            self = .undecoded(try line.bytes("fields"))
            return
        }
        switch (kind, direction) {
        case (.hello, _):
            var hello = Hello(
                version: UInt16(try line.int("version", atMost: Int(UInt16.max))),
                digest: try line.text("digest"), weights: try line.text("weights"))
            // Transcripts of earlier versions of the link do not have the following members.
            if line["ring"] != nil { hello.ring = try line.bool("ring") }
            if line["window"] != nil {
                hello.window = UInt16(try line.int("window", atMost: Int(UInt16.max)))
            }
            if line["shard"] != nil {
                let shard = try line.ints("shard", atMost: Int(UInt16.max))
                guard shard.count == 2, let part = Shard(index: shard[0], of: shard[1]) else {
                    throw line.fault("'shard' is no part of a whole")
                }
                hello.shard = part
            }
            self = .hello(hello)
        case (.failure, _):
            self = .failure(
                code: UInt16(try line.int("code", atMost: Int(UInt16.max))), reason: try line.text("reason"))
        case (.stats, .sent):
            var statistics = WorkerStatistics()
            for field in WorkerStatistics.fields {
                statistics[keyPath: field.path] = try line.int(field.name)
            }
            self = .statistics(statistics)
        case (_, .received): self = .request(try Request.Operation(line, kind))
        case (_, .sent): self = .none
        }
    }
}

extension Request.Operation {
    fileprivate var members: [JSON.Member] {
        func member(_ slot: Slot?) -> [JSON.Member] { slot?.members ?? [] }
        func member(_ segments: [Segment]) -> JSON.Member {
            .init(
                "segments",
                .array(
                    segments.map {
                        .array(
                            [.int(Int($0.slot.number)), .int($0.position), .int($0.rows)]
                                + ($0.isMutual ? [.int(1)] : []))
                    }))
        }
        func member(_ layer: Int) -> JSON.Member { .init("layer", .int(layer)) }
        switch self {
        case .linear(let layer, let site, let slot, let exact):
            return [member(layer), .init("site", .string("\(site)"))] + member(slot)
                + [.init("exact", .bool(exact))]
        // The parts of an attention are written later, together with their layouts.
        case .attention(let layer, _), .feedForward(let layer): return [member(layer)]
        case .headTopK(let count): return [.init("count", .int(count))]
        case .lockTail(let slot, let layer):
            return member(slot) + [member(layer)]
        case .middle(let blocks, let segments):
            return [
                .init("blocks", [.int(blocks.lowerBound), .int(blocks.upperBound)]), member(segments),
            ]
        case .tailScores(let layer, let segments): return [member(layer), member(segments)]
        case .unlock(let slot, let layer, let position, let source):
            return member(slot) + [member(layer), .init("position", .int(position))]
                + (source.map { [.init("from", .int(Int($0.number)))] } ?? [])
        case .linearRing(let layer, let site, let groups):
            return [member(layer), .init("site", .string("\(site)"))]
                + (groups.map { [.init("groups", .array($0.map(JSON.int)))] } ?? [])
        case .padProducts(let layer, let site, let seed, let first, let rows):
            return [
                member(layer), .init("site", .string("\(site)")),
                .init("seed", .string(hexadecimal(seed.bytes))),
                .init("first", .int(first)), .init("count", .int(rows)),
            ]
        case .release(let slot): return member(slot)
        case .stats: return []
        }
    }

    fileprivate init(_ line: TranscriptLine, _ kind: MessageKind) throws(TranscriptError) {
        switch kind {
        case .linear:
            self = .linear(
                layer: try line.layer(), site: try line.choice("site", of: Site.allCases),
                slot: try line.slotIfAny(), exact: try line.bool("exact"))
        case .attention:
            self = .attention(
                layer: try line.layer(),
                parts: try line.objects("parts").map { part throws(TranscriptError) in
                    AttentionPart(
                        slot: try part.slotIfAny(), position: try part.count("position"),
                        queries: try part.count("queries"), keys: try part.count("keys"))
                })
        case .feedForward: self = .feedForward(layer: try line.layer())
        case .headTopK: self = .headTopK(count: try line.count("count"))
        case .unlock:
            self = .unlock(
                slot: try line.slot(), layer: try line.layer(), position: try line.count("position"),
                from: try line["from"] == nil ? nil : Slot(number: UInt32(line.count("from"))))
        case .lockTail: self = .lockTail(slot: try line.slot(), layer: try line.layer())
        case .middle:
            let blocks = try line.ints("blocks", atMost: Int(UInt16.max))
            guard blocks.count == 2, blocks[0] < blocks[1] else { throw line.fault("'blocks' is no range") }
            self = .middle(blocks: blocks[0]..<blocks[1], segments: try line.segments())
        case .tailScores: self = .tailScores(layer: try line.layer(), segments: try line.segments())
        case .release: self = .release(slot: try line.slot())
        case .stats: self = .stats
        case .linearRing:
            self = .linearRing(
                layer: try line.layer(), site: try line.choice("site", of: Site.allCases),
                groups: try line["groups"] == nil ? nil : line.groups())
        case .padProducts:
            let seed = try line.bytes("seed")
            guard seed.count == PadSeed.byteCount else { throw line.fault("'seed' is not 32 bytes") }
            self = .padProducts(
                layer: try line.layer(), site: try line.choice("site", of: Site.allCases),
                seed: PadSeed(bytes: seed), first: try line.count("first"), rows: try line.count("count"))
        case .hello, .failure, .more:
            throw line.fault("'\(kind)' without its fields")
        }
    }
}

extension Slot {
    fileprivate var members: [JSON.Member] { [.init("slot", .int(Int(number)))] }
}

extension AttentionPart {
    fileprivate var members: [JSON.Member] {
        (slot?.members ?? []) + [
            .init("position", .int(position)), .init("queries", .int(queries)), .init("keys", .int(keys)),
        ]
    }
}

extension TensorLayout {
    fileprivate var members: [JSON.Member] {
        [
            .init("precision", .string("\(precision)")), .init("exactPrefix", .int(exactPrefix)),
            .init("channels", .int(channels)),
        ]
    }
}

/// Writes bytes in hexadecimal, with two digits each.
private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

extension TranscriptLine {
    /// Reads a member whose value is bytes in hexadecimal.
    fileprivate func bytes(_ name: String) throws(TranscriptError) -> [UInt8] {
        let digits = Array(try text(name).utf8)
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<min($0 + 2, digits.count)], as: UTF8.self), radix: 16)
        }
        guard 2 * bytes.count == digits.count else { throw fault("'\(name)' is not hexadecimal") }
        return bytes
    }

    /// Reads numbers of groups, which must rise.
    fileprivate func groups() throws(TranscriptError) -> [Int] {
        let groups = try ints("groups", atMost: Int(UInt16.max))
        guard !groups.isEmpty, zip(groups, groups.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw fault("'groups' are none, or do not rise")
        }
        return groups
    }

    fileprivate func segments() throws(TranscriptError) -> [Segment] {
        guard let segments = self["segments"]?.array else { throw fault("'segments' is missing or no array") }
        return try segments.map { segment throws(TranscriptError) in
            let numbers = (segment.array ?? []).compactMap(\.int).filter {
                (0...Int(UInt32.max)).contains($0)
            }
            // The fourth says that rows attend to each other in both directions, and is left out where they do not.
            guard (3...4).contains(numbers.count), segment.array?.count == numbers.count,
                numbers.count == 3 || numbers[3] == 1
            else { throw fault("a segment is not three numbers, or four of which the last is 1") }
            return Segment(
                slot: Slot(number: UInt32(numbers[0])), position: numbers[1], rows: numbers[2],
                isMutual: numbers.count == 4)
        }
    }
}

extension WorkerStatistics {
    fileprivate static let fields:
        [(name: String, path: any WritableKeyPath<WorkerStatistics, Int> & Sendable)] = [
            ("connections", \.connections), ("slots", \.slots), ("slotBytes", \.slotBytes),
            ("requests", \.requests), ("batches", \.batches), ("rows", \.rows),
        ]
}
