import Foundation
import SCXInference
import SCXLink
import SCXWorker

/// Computes in this process what the tested worker must answer.
final class ConformanceReference: Sendable {
    /// Holds the weights as the tested worker does.
    private let worker: Worker
    /// Holds int8 weights for products of integers, where the other does not.
    private let ringWorker: Worker?
    /// The largest difference that two roundings of the same sums may have, as a share of an answer's largest number.
    let tolerance: Double
    /// Whether the worker names its weights as this project does, so that they are rounded alike.
    let knowsWeights: Bool

    init(_ checkpoint: Checkpoint, _ hello: WorkerHello, pool: ThreadPool) throws {
        let format = WeightFormat(rawValue: hello.weights)
        knowsWeights = format != nil
        tolerance = Self.tolerance(of: format)
        let shards = hello.shard != .whole
        worker = Worker(
            model: try Decoder(
                checkpoint, format: shards ? .int8 : format ?? .f32, pool: pool, shard: hello.shard))
        ringWorker =
            hello.isRing && !worker.model.isRing
            ? Worker(model: try Decoder(checkpoint, format: .int8, pool: pool, shard: hello.shard)) : nil
    }

    /// The tolerance for weights of a format.
    ///
    /// Sums of float32 differ in their order alone. Where rows are rounded too, a number that lies in the middle of two
    /// codes may become either, and each such choice is worth a step.
    private static func tolerance(of format: WeightFormat?) -> Double {
        switch format {
        case .f32: 1e-4
        case .bf16, .int8: 0.05
        case .int4, nil: 0.1
        }
    }

    /// The message that answers a request, with number 1.
    func answer(_ request: WireRequest, connection: UInt64) throws(LinkError) -> Message {
        let worker =
            request.kind == .linearRing || request.kind == .padProducts ? ringWorker ?? worker : worker
        return try worker.answer(request.request(), connection: connection).message(
            to: request.kind, number: 1)
    }

    /// Forgets the slots of a connection.
    func release(connection: UInt64) { worker.release(connection: connection) }
}

/// A connection to the tested worker and one to the reference, which are asked the same.
final class ComparedSession {
    let client: WireClient
    private let reference: ConformanceReference
    private let number: UInt64
    private let tolerance: Double
    /// What the reference answers to requests on their way, by their numbers.
    private var expected: [UInt64: (request: WireRequest, answer: Message)] = [:]
    /// The largest difference so far, as a share of the answer's largest number.
    private(set) var deviation = 0.0

    init(_ client: WireClient, _ reference: ConformanceReference, number: UInt64, tolerance: Double) {
        (self.client, self.reference, self.number, self.tolerance) = (client, reference, number, tolerance)
    }

    deinit { reference.release(connection: number) }

    func close() { client.close() }

    /// Asks both, and demands the same answer.
    ///
    /// - Returns: The worker's answer.
    @discardableResult
    func compare(_ request: WireRequest, parts: [Int] = []) throws -> Message {
        try send(request, parts: parts)
        return try receive()
    }

    /// Sends a request, whose answer ``receive()`` compares.
    func send(_ request: WireRequest, parts: [Int] = []) throws {
        let answer: Message
        do throws(LinkError) { answer = try reference.answer(request, connection: number) } catch {
            throw ConformanceFailure("'\(request.kind)': the reference itself refuses: \(error)")
        }
        expected[try client.send(request, parts: parts)] = (request, answer)
    }

    /// Waits for the answer to any request on its way, and compares it.
    @discardableResult
    func receive() throws -> Message {
        let largest = expected.values.map(\.answer.head.tensorBytes).max() ?? 0
        let found = try client.receive(atMost: largest)
        guard let (request, answer) = expected.removeValue(forKey: found.head.number) else {
            throw ConformanceFailure("an answer to request \(found.head.number), which waits for none")
        }
        do { try compare(found, answer, to: request) } catch let failure as ConformanceFailure {
            throw ConformanceFailure("'\(request.kind)' of \(request.rows) x \(request.channels): \(failure)")
        }
        return found
    }

    private func compare(_ found: Message, _ answer: Message, to request: WireRequest) throws {
        if found.head.kind == .failure {
            let failure = try WireClient.failure(found)
            throw ConformanceFailure("failure \(failure.code), \(failure.reason)")
        }
        try demand(found.head.kind == answer.head.kind, "it is answered by '\(found.head.kind)'")
        try demand(
            found.fields.count == answer.fields.count,
            "\(found.fields.count) bytes of fields, not \(answer.fields.count)")
        try demand(
            (found.head.elements, found.head.rows, found.head.channels)
                == (answer.head.elements, answer.head.rows, answer.head.channels),
            "\(found.head.rows) x \(found.head.channels) \(found.head.elements), not "
                + "\(answer.head.rows) x \(answer.head.channels) \(answer.head.elements)")
        switch (found.tensor, answer.tensor) {
        case (.words(let found), .words(let answer)):
            guard request.kind != .headTopK else { return try compareLargest(found, answer, request) }
            guard let place = zip(found, answer).enumerated().first(where: { $1.0 != $1.1 })?.offset else {
                return
            }
            let differing = zip(found, answer).count { $0 != $1 }
            throw ConformanceFailure(
                "\(differing) of \(found.count) words differ, the first at \(place): \(found[place]), not \(answer[place])"
            )
        case (.floats(let found), .floats(let answer)): try compare(found, answer)
        default: break
        }
    }

    /// Compares numbers by the largest of those that are right.
    private func compare(_ found: [Float], _ answer: [Float]) throws {
        let largest = Double(answer.reduce(0) { max($0, abs($1)) })
        var worst = 0.0
        for (i, (a, b)) in zip(found, answer).enumerated() {
            let difference = abs(Double(a) - Double(b))
            guard difference.isFinite else {
                throw ConformanceFailure("number \(i) is \(a), not \(b)")
            }
            worst = max(worst, difference)
        }
        let share = largest > 0 ? worst / largest : worst
        deviation = max(deviation, share)
        try demand(
            share <= tolerance,
            "numbers differ by \(share.short) of the largest, at most \(tolerance.short) is allowed")
    }

    /// Compares the largest logits of each row, of which nearly equal ones may have changed places.
    private func compareLargest(_ found: [UInt32], _ answer: [UInt32], _ request: WireRequest) throws {
        let (rows, half) = (request.rows, found.count / 2)
        let count = half / rows
        guard case .floats(let states) = request.tensor else { return }
        let vocabulary = reference.vocabulary
        let all = try reference.answer(
            .headTopK(vocabulary, states, rows: rows), connection: number)
        guard case .floats(let logits) = all.tensor else { return }
        for row in 0..<rows {
            let own = logits[row * vocabulary..<(row + 1) * vocabulary]
            let allowed = tolerance * Double(own.reduce(0) { max($0, abs($1)) })
            var seen: Set<UInt32> = []
            for i in row * count..<(row + 1) * count {
                let (logit, token) = (Float(bitPattern: found[i]), found[half + i])
                try demand(token < vocabulary && seen.insert(token).inserted, "token \(token) in row \(row)")
                for right in [Float(bitPattern: answer[i]), own[own.startIndex + Int(token)]] {
                    let difference = abs(Double(logit) - Double(right))
                    try demand(
                        difference <= allowed, "logit \(logit) of token \(token) in row \(row), not \(right)")
                }
                guard i > row * count else { continue }
                let (before, other) = (Float(bitPattern: found[i - 1]), found[half + i - 1])
                try demand(
                    before > logit || before == logit && other < token,
                    "logits of row \(row) are not in order")
            }
        }
    }
}

extension ConformanceReference {
    fileprivate var vocabulary: Int { worker.model.configuration.vocabularySize }
}

extension Double {
    /// With two digits that count.
    var short: String { self == 0 ? "0" : String(format: "%.1e", self) }
}
