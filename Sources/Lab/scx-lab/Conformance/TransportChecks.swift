import CSCXSystem
import Foundation
import SCXLink

extension ConformanceCheck {
    /// Transports, and clients that go away or stop.
    static let transport: [ConformanceCheck] = [
        ConformanceCheck(1001, .transport, "a tensor may be cut anywhere, also in the middle of an element") {
            subject in
            let session = try subject.session()
            for parts in [[0, 1], [1, 2, 3, 5], [4, 1, 1, 1, 1], [7, 9]] {
                try session.compare(subject.good(rows: 3, seed: 1001), parts: parts)
            }
            return "4 ways"
        },
        ConformanceCheck(1002, .transport, "bytes that come one by one, and in time, are a request") {
            subject in
            let session = try subject.session()
            let request = subject.good(rows: 1, seed: 1002)
            let bytes = WireRequest.release(slot: 7).frames(number: session.client.nextNumber())[0]
            for byte in bytes {
                try session.client.write([byte])
                usleep(10_000)
            }
            let answer = try session.client.receive()
            try demand(answer.head.kind == .release, "'release' is answered by '\(answer.head.kind)'")
            try session.compare(request)
            return "\(bytes.count) bytes"
        },
        ConformanceCheck(1003, .transport, "a message that stops is given up with failure 6") { subject in
            // All at once, since each takes the ten seconds that a message has.
            let begun = subject.good(rows: 1, seed: 1003)
            var cuts: [(client: WireClient, bytes: Int)] = []
            let whole = begun.frames(number: 2)[0].count
            for bytes in [1, 4, 31, 32, 34, 32 + begun.fields.count, whole - 1] {
                let client = try subject.open()
                try client.write(Array(begun.frames(number: client.nextNumber())[0].prefix(bytes)))
                cuts.append((client, bytes))
            }
            // In the middle of the tensor, between two frames.
            let client = try subject.open()
            try client.write(begun.frames(number: client.nextNumber(), parts: [8])[0])
            cuts.append((client, 8))
            for (client, bytes) in cuts {
                do {
                    try client.expectEnd(
                        code: 6, number: 2, mayBeSilent: subject.settings.place.losesLastWords)
                } catch {
                    throw ConformanceFailure("after \(bytes) bytes: \(error)")
                }
            }
            try subject.proveServing()
            return "\(cuts.count) places"
        },
        ConformanceCheck(1004, .transport, "a client that goes away in the middle of a message harms nobody")
        { subject in
            let session = try subject.session()
            let request = subject.good(rows: 4, seed: 1004)
            let whole = request.frames(number: 2)[0]
            for count in [1, 20, 32, 33, whole.count - 1] {
                let client = try subject.open()
                try client.write(Array(whole.prefix(count)))
                client.close()
            }
            // Before it has said anything, and while its answers are computed.
            try subject.connect().close()
            for _ in 0..<3 {
                let client = try subject.open()
                for i in 0..<min(subject.hello.window, 8) {
                    try client.send(subject.good(rows: 200, seed: UInt64(i)))
                }
                client.close()
            }
            try session.compare(request)
            try demand(
                try subject.isAlone(session.client, within: subject.patience),
                "the worker still counts other connections or slots; if others use it, this check says nothing"
            )
            return "9 clients, whose connections and slots are gone"
        },
        ConformanceCheck(1005, .transport, "requests and answers through shared memory, also in small rings")
        { subject in
            let path = try subject.needsSharedMemory()
            for ringBytes in [4096, 1 << 16, SharedMemoryStream.defaultRingBytes] {
                let socket = try UnixSocket.connect(path: path, before: Deadline(after: subject.patience))
                let stream = try SharedMemoryStream.upgrade(
                    socket, ringBytes: ringBytes, before: Deadline(after: subject.patience))
                let client = WireClient(stream, patience: subject.patience)
                let session = try subject.session(subject.greet(client))
                for rows in [1, 17, 300] { try session.compare(subject.good(rows: rows, seed: UInt64(rows))) }
                try session.compare(.release(slot: 1))
                for i in 0..<min(subject.hello.window, 8) {
                    try session.send(subject.good(rows: 5, seed: UInt64(i)))
                }
                for _ in 0..<min(subject.hello.window, 8) { try session.receive() }
            }
            return "rings of 4 KiB, 64 KiB and 4 MiB"
        },
        ConformanceCheck(1006, .transport, "a fault in a frame through shared memory ends that connection") {
            subject in
            let path = try subject.needsSharedMemory()
            let socket = try UnixSocket.connect(path: path, before: Deadline(after: subject.patience))
            let stream = try SharedMemoryStream.upgrade(socket, before: Deadline(after: subject.patience))
            let client = try subject.greet(WireClient(stream, patience: subject.patience))
            var head = WireHead(.stats, number: client.nextNumber())
            head.kind = 99
            client.tryToWrite(head.bytes)
            try client.expectEnd(code: 4, number: 2)
            try subject.proveServing()
            return "failure 4"
        },
        ConformanceCheck(1007, .transport, "shared memory that is not as it must be is refused") { subject in
            let path = try subject.needsSharedMemory()
            let offers = SharedMemoryOffer.bad
            for offer in offers {
                let isTaken = try offer.isTaken(at: path, patience: subject.patience)
                try demand(!isTaken, "\(offer.name) is taken")
            }
            try demand(
                try SharedMemoryOffer.good.isTaken(at: path, patience: subject.patience),
                "an offer that is right is not taken")
            try subject.proveServing()
            return "\(offers.count) offers"
        },
        ConformanceCheck(1008, .transport, "a counter that no client can have written ends the connection") {
            subject in
            let path = try subject.needsSharedMemory()
            for written: UInt64 in [4097, 1 << 40, .max] {
                let isEnded = try SharedMemoryOffer.good.isEnded(
                    at: path, whenWritten: written, patience: subject.patience)
                try demand(isEnded, "the connection goes on after \(written) bytes in a ring of 4096")
            }
            try subject.proveServing()
            return "3 counters"
        },
    ]
}

extension ConformanceSubject {
    /// The path of the worker's socket; skips the check where there is no shared memory.
    fileprivate func needsSharedMemory() throws -> String {
        guard SharedMemoryStream.isAvailable else {
            throw ConformanceSkip("this system has no sealed shared memory")
        }
        guard let path = settings.place.path else { throw ConformanceSkip("the worker is reached over TCP") }
        return path
    }

    /// Waits until the worker counts this connection alone and no slots.
    ///
    /// - Returns: False when it counts more after that time, as when others use it.
    func isAlone(_ client: WireClient, within limit: Duration) throws -> Bool {
        let deadline = ContinuousClock.now + limit
        while true {
            let counts = try statistics(client)
            if counts.connections == 1, counts.slots == 0 { return true }
            guard ContinuousClock.now < deadline else { return false }
            usleep(20_000)
        }
    }
}
