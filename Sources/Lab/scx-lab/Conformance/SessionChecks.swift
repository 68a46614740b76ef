import SCXInference
import SCXLink

extension ConformanceCheck {
    /// What is kept in slots.
    static let sessions: [ConformanceCheck] = [
        ConformanceCheck(601, .sessions, "'middle' goes on with a session, and goes back in it") { subject in
            try subject.needsCausal()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 601)
            // The last begins before the end of what the slot holds, so the rest of it is removed.
            for (position, rows) in [(0, 9), (9, 1), (10, 2), (12, 1), (4, 3), (7, 1)] {
                try session.compare(
                    .middle(
                        subject.manyBlocks, [.init(slot: 3, position: position, queries: rows)],
                        numbers.floats(rows * subject.model.hiddenSize), rows: rows))
            }
            return session.nearness
        },
        ConformanceCheck(602, .sessions, "'attention' goes on with what a slot holds, and goes back in it") {
            subject in
            try subject.needsCausal()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 602)
            let layer = subject.model.blockCount - 1
            for (position, queries, keys) in [(0, 5, 5), (5, 1, 1), (6, 2, 3), (9, 4, 0), (3, 1, 1)] {
                try session.compare(
                    subject.attention(
                        layer,
                        [
                            .init(slot: 7, position: position, queries: queries, keys: keys),
                            .init(queries: 1, keys: 2),
                        ], &numbers))
            }
            return session.nearness
        },
        ConformanceCheck(603, .sessions, "'linear' with a slot, 'unlock' in any order, then 'middle'") {
            subject in
            try subject.needsKeys()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 603)
            let hidden = subject.model.hiddenSize
            func step(_ exact: UInt8, _ rows: Int, _ order: [UInt32], position: Int) throws {
                try session.compare(
                    .linear(0, 1, slot: 9, exact: exact, numbers.floats(rows * hidden), rows: rows))
                try session.compare(.unlock(slot: 9, 0, position: position, order))
                try session.compare(
                    .middle(
                        0..<1, [.init(slot: 9, position: position + order.count, queries: 2)],
                        numbers.floats(2 * hidden), rows: 2))
            }
            // Row 1 is redundant, row 3 is named twice.
            try step(0, 6, [3, 0, 5, 2, 3], position: 0)
            try step(0, 2, [1, 0], position: 3)
            if subject.reference.knowsWeights { try step(1, 3, [2, 0], position: 1) }
            return session.nearness
        },
        ConformanceCheck(604, .sessions, "'unlock' of rows that are in another slot, for two sessions") {
            subject in
            try subject.needsKeys()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 604)
            let hidden = subject.model.hiddenSize
            try session.compare(.linear(0, 1, slot: 20, numbers.floats(7 * hidden), rows: 7))
            for (slot, order) in [(21, [6, 1, 0]), (22, [2, 5])] as [(UInt32, [UInt32])] {
                try session.compare(.unlock(slot: slot, 0, position: 0, from: 20, order))
                try session.compare(
                    .middle(
                        0..<1, [.init(slot: slot, position: order.count, queries: 1)], numbers.floats(hidden),
                        rows: 1))
            }
            // They are there until their slot is released.
            try session.compare(.unlock(slot: 21, 0, position: 1, from: 20, [4]))
            try session.compare(.release(slot: 20))
            try session.client.askInVain(
                .unlock(slot: 21, 0, position: 1, from: 20, [4]), "'unlock' from a released slot")
            return session.nearness
        },
        ConformanceCheck(605, .sessions, "'lockTail', then 'tailScores' of two sessions, step by step") {
            subject in
            try subject.needsKeys()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 605)
            let (hidden, width) = (
                subject.model.hiddenSize, subject.model.keyValueHeadCount * subject.model.headSize
            )
            let layer = subject.model.blockCount - 1
            try session.compare(.lockTail(slot: 1, layer, numbers.floats(9 * width), rows: 9))
            try session.compare(.lockTail(slot: 2, layer, numbers.floats(2 * width), rows: 2))
            for step in 0..<3 {
                try session.compare(
                    .tailScores(
                        layer,
                        [
                            .init(slot: 2, position: 2 + step, queries: 1),
                            .init(slot: 1, position: 9 + step, queries: 1),
                        ],
                        numbers.floats(2 * hidden)))
            }
            // Others replace the locked keys.
            try session.compare(.lockTail(slot: 1, layer, numbers.floats(width), rows: 1))
            try session.compare(
                .tailScores(layer, [.init(slot: 1, position: 1, queries: 1)], numbers.floats(hidden)))
            return session.nearness
        },
        ConformanceCheck(606, .sessions, "'release' forgets a slot, and takes one that is not there") {
            subject in
            let session = try subject.session()
            try session.compare(.release(slot: 77))
            try session.compare(.release(slot: .max))
            guard subject.canKeep else { return "without slots" }
            try session.compare(subject.begin(slot: 4, rows: 3))
            try session.compare(.release(slot: 4))
            try session.client.askInVain(subject.goOn(slot: 4, position: 3), "a session that was released")
            try session.compare(subject.begin(slot: 4, rows: 2))
            return "and the slot can be used again"
        },
        ConformanceCheck(607, .sessions, "a slot is its own connection's, and ends with it") { subject in
            try subject.needsCausal()
            let (one, other) = (try subject.session(), try subject.session())
            try one.compare(subject.begin(slot: 1, rows: 3))
            try other.client.askInVain(subject.goOn(slot: 1, position: 3), "the slot of another connection")
            try other.compare(subject.begin(slot: 1, rows: 5))
            try one.compare(subject.goOn(slot: 1, position: 3))
            one.close()
            try other.compare(subject.goOn(slot: 1, position: 5))
            let third = try subject.open()
            try third.askInVain(subject.goOn(slot: 1, position: 3), "the slot of a closed connection")
            return "two connections"
        },
        ConformanceCheck(608, .sessions, "'stats' counts connections, slots, requests and rows") { subject in
            let session = try subject.session()
            let before = try subject.statistics(session.client)
            try demand(before.connections > 0, "no connection is counted, this is one")
            try session.compare(subject.good(rows: 3, seed: 608))
            if subject.canKeep { try session.compare(subject.begin(slot: 1, rows: 2)) }
            let after = try subject.statistics(session.client)
            // Others may use the worker, too.
            let (requests, rows) = subject.canKeep ? (2, 5) : (1, 3)
            try demand(
                after.requests >= before.requests + requests,
                "\(after.requests - before.requests) requests are counted, \(requests) were asked")
            try demand(
                after.rows >= before.rows + rows,
                "\(after.rows - before.rows) rows are counted, \(rows) were sent")
            try demand(after.batches > before.batches, "no batch is counted")
            if subject.canKeep {
                try demand(after.slots > 0 && after.slotBytes > 0, "no slot is counted, one is held")
            }
            return "\(after.connections) connections, \(after.slots) slots of \(after.slotBytes) bytes"
        },
        ConformanceCheck(609, .sessions, "rows that are mutual attend to each other, as those of a picture") {
            subject in
            try subject.needsCausal()
            guard subject.model.vision != nil else { throw ConformanceSkip("the model takes no pictures") }
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 609)
            let hidden = subject.model.hiddenSize
            for (position, mutual) in [(0, 0), (3, 1), (7, 0)] as [(Int, UInt8)] {
                try session.compare(
                    .middle(
                        subject.manyBlocks,
                        [.init(slot: 1, position: position, queries: position == 3 ? 4 : 3)],
                        mutual: [mutual], numbers.floats((position == 3 ? 4 : 3) * hidden),
                        rows: position == 3 ? 4 : 3))
            }
            return session.nearness
        },
    ]
}

extension ConformanceSubject {
    /// Whether sessions can be kept in slots and go on.
    var canKeep: Bool {
        hello.shard == .whole && model.blockCount > 0 && model.isCausal && model.maximumLength >= 16
    }

    /// The first rows of a session, through the first block.
    func begin(slot: UInt32, rows: Int) -> WireRequest {
        var numbers = SampleNumbers(seed: UInt64(slot) << 8 + UInt64(rows))
        return .middle(
            0..<1, [.init(slot: slot, queries: rows)], numbers.floats(rows * model.hiddenSize), rows: rows)
    }

    /// One further row of a session.
    func goOn(slot: UInt32, position: Int) -> WireRequest {
        var numbers = SampleNumbers(seed: UInt64(slot) << 16 + UInt64(position))
        return .middle(
            0..<1, [.init(slot: slot, position: position, queries: 1)], numbers.floats(model.hiddenSize),
            rows: 1)
    }

    /// What the worker counts.
    func statistics(_ client: WireClient) throws -> WorkerStatistics {
        let answer = try client.ask(.stats)
        try demand(
            answer.head.kind == .stats && answer.fields.count == 48 && answer.tensor == .none,
            "'stats' is answered by '\(answer.head.kind)' with \(answer.fields.count) bytes of fields")
        let numbers = stride(from: 0, to: 48, by: 8).map { start in
            Int(
                clamping: answer.fields[start..<start + 8].reversed().reduce(UInt64(0)) {
                    $0 << 8 | UInt64($1)
                })
        }
        var counts = WorkerStatistics()
        (counts.connections, counts.slots, counts.slotBytes) = (numbers[0], numbers[1], numbers[2])
        (counts.requests, counts.batches, counts.rows) = (numbers[3], numbers[4], numbers[5])
        return counts
    }
}
