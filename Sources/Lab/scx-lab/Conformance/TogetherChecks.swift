import SCXInference
import SCXLink

extension ConformanceCheck {
    /// Several sessions at once.
    static let together: [ConformanceCheck] = [
        ConformanceCheck(901, .together, "sessions on four connections, in step with each other") { subject in
            try subject.needsCausal()
            let sessions = try (0..<4).map { _ in try subject.session() }
            let hidden = subject.model.hiddenSize
            for step in 0..<4 {
                for (i, session) in sessions.enumerated() {
                    var numbers = SampleNumbers(seed: UInt64(9010 + 10 * i + step))
                    // All have slot 1, which is another for each.
                    let rows = step == 0 ? 3 + i : 1
                    try session.send(
                        .middle(
                            subject.manyBlocks,
                            [.init(slot: 1, position: step == 0 ? 0 : 2 + i + step, queries: rows)],
                            numbers.floats(rows * hidden), rows: rows))
                }
                // The last that asked is heard first.
                for session in sessions.reversed() { try session.receive() }
            }
            return "4 steps, within \((sessions.map(\.deviation).max() ?? 0).short) of the largest"
        },
        ConformanceCheck(902, .together, "a window of requests on each of four connections") { subject in
            let sessions = try (0..<4).map { _ in try subject.session() }
            let window = min(subject.hello.window, 16)
            for i in 0..<window {
                for (j, session) in sessions.enumerated() {
                    try session.send(subject.good(rows: 1 + (i + j) % 5, seed: UInt64(902 + 100 * i + j)))
                }
            }
            for _ in 0..<window {
                for session in sessions { try session.receive() }
            }
            return "\(4 * window) requests"
        },
        ConformanceCheck(903, .together, "sessions of several slots on one connection, in turns") { subject in
            try subject.needsCausal()
            let session = try subject.session()
            for slot: UInt32 in [0, 1, .max] { try session.compare(subject.begin(slot: slot, rows: 2)) }
            for position in 2..<5 {
                for slot: UInt32 in [.max, 0, 1] {
                    try session.compare(subject.goOn(slot: slot, position: position))
                }
            }
            return session.nearness
        },
        ConformanceCheck(904, .together, "a refused request leaves the others on their way alone") {
            subject in
            guard subject.hello.window >= 3 else {
                throw ConformanceSkip("a window of \(subject.hello.window)")
            }
            let session = try subject.session()
            let wrong = WireRequest.linearRing(65_535, 1, [1], rows: 1)
            let first = try session.client.send(subject.good(rows: 3, seed: 1))
            let refused = try session.client.send(wrong)
            let last = try session.client.send(subject.good(rows: 2, seed: 2))
            var rest: Set<UInt64> = [first, refused, last]
            while !rest.isEmpty {
                let answer = try session.client.receive(atMost: 1 << 26)
                let number = answer.head.number
                try demand(rest.remove(number) != nil, "an answer to request \(number), which waits for none")
                try demand(
                    (answer.head.kind == .failure) == (number == refused),
                    "'\(answer.head.kind)' to request \(number), of which \(refused) is wrong")
            }
            return "3 requests"
        },
        ConformanceCheck(905, .together, "a fault of one connection leaves the requests of another alone") {
            subject in
            let (other, faulty) = (try subject.session(), try subject.open())
            let window = min(subject.hello.window, 16)
            for i in 0..<window { try other.send(subject.good(rows: 40, seed: UInt64(905 + i))) }
            faulty.tryToWrite(Array("no frame at all, and longer than a head is".utf8))
            for _ in 0..<window { try other.receive() }
            try faulty.expectEnd(code: 4, number: 2, mayBeSilent: subject.settings.place.losesLastWords)
            return "\(window) requests"
        },
    ]
}
