import Foundation
import SCXInference
import SCXLink

/// One connection to a worker, over which anything may be sent, right or wrong.
///
/// Every call ends: one that waits longer than the patience throws.
final class WireClient {
    /// A failure that a worker sent.
    struct Failure {
        let number: UInt64
        let code: UInt16
        let reason: String
    }

    let stream: any ByteStream
    private let messages: MessageStream
    private let patience: Duration
    /// The number of the latest request.
    private(set) var number: UInt64 = 0

    init(_ stream: any ByteStream, patience: Duration) {
        self.stream = stream
        self.patience = patience
        messages = MessageStream(stream, patience: patience)
    }

    deinit { stream.close() }

    func close() { stream.close() }

    /// Sends bytes as they are.
    func write(_ bytes: [UInt8]) throws(LinkError) {
        let deadline = Deadline(after: patience)
        try unsafe bytes.span.bytes.withUnsafeBytes { b throws(LinkError) in
            try unsafe stream.write(b, before: deadline)
        }
    }

    /// Sends bytes to a worker that may close the connection while they come.
    func tryToWrite(_ bytes: [UInt8]) {
        do throws(LinkError) { try write(bytes) } catch {
            // What the worker said before it closed can still be read.
        }
    }

    /// The number that the next request must have.
    func nextNumber() -> UInt64 {
        number += 1
        return number
    }

    /// Sends a request, and returns its number.
    @discardableResult
    func send(_ request: WireRequest, parts: [Int] = []) throws(LinkError) -> UInt64 {
        let number = nextNumber()
        for frame in request.frames(number: number, parts: parts) { try write(frame) }
        return number
    }

    /// Waits for the next message.
    ///
    /// - Parameter bytes: The most bytes that its tensor may have; nothing is allocated for a larger one.
    /// - Returns: The whole message.
    /// - Throws: ``ConformanceFailure`` when it is no answer, or larger; `LinkError` when none comes.
    func receive(atMost bytes: Int = 0) throws -> Message {
        let message = try messages.receive(before: Deadline(after: patience)) { found throws(LinkError) in
            guard found.isAnswer, found.kind != .more else {
                throw .malformedFrame("a frame that is no answer")
            }
            guard found.tensorBytes <= bytes else {
                throw .unexpectedAnswer(
                    "a tensor of \(found.tensorBytes) bytes, at most \(bytes) were asked for")
            }
        }
        try demand(message.head.kind != .failure || message.head.tensorBytes == 0, "a failure with a tensor")
        return message
    }

    /// Sends a request and waits for the answer to it.
    func ask(_ request: WireRequest, atMost bytes: Int = 0) throws -> Message {
        let number = try send(request)
        let answer = try receive(atMost: bytes)
        try demand(
            answer.head.number == number, "an answer to request \(answer.head.number), \(number) was asked")
        return answer
    }

    /// Sends a request that must be refused while the connection stays open.
    ///
    /// - Returns: The worker's reason.
    @discardableResult
    func askInVain(_ request: WireRequest, code: UInt16 = 1, _ name: String) throws -> String {
        let answer = try ask(request, atMost: 1 << 26)
        guard answer.head.kind == .failure else {
            throw ConformanceFailure("\(name): it is answered, failure \(code) is demanded")
        }
        let failure = try Self.failure(answer)
        try demand(
            failure.code == code, "\(name): failure \(failure.code) (\(failure.reason)) instead of \(code)")
        return failure.reason
    }

    /// Reads the fields of a failure.
    static func failure(_ message: Message) throws -> Failure {
        let fields = message.fields
        try demand(message.head.kind == .failure, "'\(message.head.kind)' where a failure is demanded")
        try demand(fields.count >= 4, "a failure with \(fields.count) bytes of fields")
        let length = Int(fields[2]) | Int(fields[3]) << 8
        guard fields.count == 4 + length, let text = String(validating: fields.dropFirst(4), as: UTF8.self)
        else { throw ConformanceFailure("a failure whose reason is not a text of the length that it names") }
        return Failure(
            number: message.head.number, code: UInt16(fields[0]) | UInt16(fields[1]) << 8,
            reason: text.printable(longest: 80))
    }

    /// Waits for the end of the connection, before which the worker must say why.
    ///
    /// - Parameters:
    ///   - code: The failure that is demanded.
    ///   - number: The number that it must have.
    ///   - bytes: The most bytes of the tensors of answers to earlier requests, which may come before it.
    ///   - mayBeSilent: Whether the worker may close without a word, or its word be lost.
    /// - Returns: How many answers came before the failure.
    /// - Throws: ``ConformanceFailure`` when the worker does something else.
    @discardableResult
    func expectEnd(code: UInt16, number: UInt64, atMost bytes: Int = 0, mayBeSilent: Bool = false) throws
        -> Int
    {
        var (answers, said) = (0, false)
        while true {
            let message: Message
            do {
                message = try receive(atMost: bytes)
            } catch let error as LinkError {
                guard case .disconnected = error else {
                    let wanted = said ? "closes nothing" : "neither closes nor says failure \(code)"
                    throw ConformanceFailure("the worker \(wanted): \(error)")
                }
                try demand(said || mayBeSilent, "the worker closes without saying failure \(code)")
                return answers
            }
            try demand(!said, "'\(message.head.kind)' after the failure")
            guard message.head.kind == .failure else {
                answers += 1
                guard answers < 1 << 16, message.head.number < number else {
                    throw ConformanceFailure("it is answered, failure \(code) is demanded")
                }
                continue
            }
            let failure = try Self.failure(message)
            try demand(failure.code == code, "failure \(failure.code) (\(failure.reason)) instead of \(code)")
            try demand(
                failure.number == number, "the failure has number \(failure.number), \(number) is demanded")
            said = true
        }
    }
}
