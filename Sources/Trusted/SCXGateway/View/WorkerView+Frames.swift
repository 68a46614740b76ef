import SCXInference
import SCXLink
import SCXProfiles

extension WorkerView {
    /// Frames listed at most: an answer of a thousand tokens has tens of thousands.
    static let mostFrames = 1000

    /// Counts over the whole answer.
    func totals(_ capture: WorkerCapture, _ frames: [TranscriptEntry]) -> JSON {
        func bytes(_ direction: TranscriptEntry.Direction) -> JSON {
            .int(frames.reduce(0) { $0 + ($1.direction == direction ? $1.byteCount : 0) })
        }
        let time = capture.exchanges.reduce(Duration.zero) { $0 + $1.duration }
        return [
            "exchanges": .int(capture.exchanges.count), "frames": .int(frames.count),
            "bytes_to_worker": bytes(.received), "bytes_from_worker": bytes(.sent),
            "microseconds": .int(Int(time / .microseconds(1))),
        ]
    }

    /// A frame as a line of a table.
    func row(_ frame: TranscriptEntry) -> JSON {
        var members: [JSON.Member] = [
            .init("direction", .string(frame.direction == .received ? "to worker" : "from worker")),
            .init("kind", .string("\(frame.kind)")),
        ]
        if let layer = frame.layer { members.append(.init("layer", .int(layer))) }
        if case .request(.linear(_, let site, _, _)) = frame.detail {
            members.append(.init("site", .string("\(site)")))
        }
        if frame.elements != .none {
            members += [
                .init("rows", .int(frame.rows)), .init("channels", .int(frame.channels)),
                .init("dtype", .string("\(frame.elements)")),
            ]
        }
        members += [
            .init("bytes", .int(frame.byteCount)), .init("microseconds", .int(frame.microseconds)),
        ]
        return .object(members)
    }
}
