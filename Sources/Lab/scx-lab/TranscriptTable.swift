import Foundation
import SCXInference
import SCXLink

/// The texts that `scx-lab transcript show` prints.
enum TranscriptTable {
    static let heading = row(
        ["connection", "number", "seconds", "direction", "kind", "layer", "shape", "bytes"], "fields")

    static func row(_ entry: TranscriptEntry) -> String {
        row(
            [
                "\(entry.connection)", "\(entry.number)",
                String(format: "%.6f", Double(entry.microseconds) / 1e6), entry.direction.rawValue,
                "\(entry.kind)", entry.layer.map { "\($0)" } ?? "",
                entry.elements == .none ? "" : "\(entry.rows)x\(entry.channels)", "\(entry.byteCount)",
            ], fields(entry.detail))
    }

    private static func row(_ cells: [String], _ rest: String) -> String {
        let widths = [10, 6, 11, -9, -11, 5, 12, 10]
        let padded = zip(cells, widths).map { cell, width in
            let space = String(repeating: " ", count: max(0, abs(width) - cell.count))
            return width < 0 ? cell + space : space + cell
        }
        return (padded + [rest]).joined(separator: "  ")
    }

    private static func fields(_ detail: TranscriptEntry.Detail) -> String {
        switch detail {
        case .none: ""
        case .hello(let hello):
            "version \(hello.version), digest \(shown(hello.digest.prefix(12)))"
                + (hello.weights.isEmpty ? "" : ", weights \(shown(hello.weights.prefix(12)))")
        case .request(let operation): fields(operation)
        case .statistics(let statistics):
            "connections \(statistics.connections), slots \(statistics.slots), "
                + "slot bytes \(statistics.slotBytes), requests \(statistics.requests), "
                + "batches \(statistics.batches), rows \(statistics.rows)"
        case .failure(let code, let reason): "error \(code): \(shown(reason.prefix(200)))"
        case .undecoded(let bytes): "\(bytes.count) bytes that are not this kind's fields"
        }
    }

    private static func fields(_ operation: Request.Operation) -> String {
        func text(_ slot: Slot?) -> String { slot.map { ", slot \($0.number)" } ?? "" }
        func text(_ segments: [Segment]) -> String {
            let parts = segments.prefix(4).map { "slot \($0.slot.number) @\($0.position)+\($0.rows)" }
            return parts.joined(separator: ", ")
                + (segments.count > 4 ? ", … \(segments.count) segments" : "")
        }
        switch operation {
        case .linear(_, let site, let slot, let exact):
            return "\(site)\(exact ? ", exact" : "")\(text(slot))"
        case .attention(_, let all):
            let parts = all.prefix(4).map {
                "position \($0.position), \($0.queries) queries, \($0.keys) keys\(text($0.slot))"
            }
            return parts.joined(separator: "; ") + (all.count > 4 ? "; … \(all.count) parts" : "")
        case .feedForward, .stats: return ""
        case .headTopK(let count): return "count \(count)"
        case .lockTail(let slot, _), .release(let slot): return "slot \(slot.number)"
        case .middle(let blocks, let segments):
            return "blocks \(blocks.lowerBound)-\(blocks.upperBound - 1): \(text(segments))"
        case .tailScores(_, let segments): return text(segments)
        case .linearRing(_, let site, _): return "\(site)"
        case .padProducts(_, let site, _, let first, let rows):
            return "\(site), pads \(first) to \(first + rows - 1)"
        case .unlock(let slot, _, let position, let source):
            let rows = source.map { ", rows of slot \($0.number)" } ?? ""
            return "slot \(slot.number), position \(position)\(rows)"
        }
    }

    /// A text of the transcript, made safe for a terminal.
    private static func shown(_ text: Substring) -> String { text.printable() }

    static func values(of entry: TranscriptEntry, in transcript: Transcript) throws -> String? {
        let indent = String(repeating: " ", count: 22)
        switch entry.isInGroups ? .float32 : entry.elements {
        case .none: return nil
        case .uint32:
            let words = try transcript.words(of: entry)
            let (low, high) = (words.min() ?? 0, words.max() ?? 0)
            return "\(indent)min \(low)  max \(high)  first \(words.prefix(6))"
        case .float32:
            let values = try transcript.floats(of: entry)
            let numbers = values.filter { !$0.isNaN }
            let mean = numbers.reduce(0) { $0 + Double($1) } / Double(max(1, numbers.count))
            let first = values.prefix(6).map { short(Double($0)) }.joined(separator: " ")
            let odd = values.count - numbers.count
            return "\(indent)min \(short(Double(numbers.min() ?? .nan)))  max "
                + "\(short(Double(numbers.max() ?? .nan)))  mean \(short(mean))  first \(first)"
                + (odd > 0 ? "  not numbers: \(odd)" : "")
        }
    }

    private static func short(_ value: Double) -> String { String(format: "%.5g", value) }

    static func totals(_ entries: [TranscriptEntry]) -> [String] {
        struct Total {
            var messages = 0
            var bytes = 0
        }
        var totals: [MessageKind: [TranscriptEntry.Direction: Total]] = [:]
        for entry in entries {
            totals[entry.kind, default: [:]][entry.direction, default: Total()].messages += 1
            totals[entry.kind]?[entry.direction]?.bytes += entry.byteCount
        }
        let kinds = MessageKind.allCases.filter { totals[$0] != nil }
        return ["kind         received         bytes      sent         bytes"]
            + kinds.map { kind in
                let columns = [TranscriptEntry.Direction.received, .sent].map { direction in
                    let total = totals[kind]?[direction] ?? Total()
                    return String(format: "%9d %13d", total.messages, total.bytes)
                }
                let name = "\(kind)".padding(toLength: 11, withPad: " ", startingAt: 0)
                return "\(name) \(columns.joined(separator: " "))"
            }
    }
}
