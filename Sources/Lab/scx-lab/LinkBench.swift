import SCXLink

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Measures a byte stream whose other end answers as ``serve()`` does.
struct LinkBench {
    /// What the other end is to do with the message that follows.
    struct Order {
        static let byteCount = 16
        var size = 0
        /// Whether to send the message back, instead of one byte.
        var isEcho = false

        var bytes: [UInt8] {
            (0..<8).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) } + [isEcho ? 1 : 0]
                + [UInt8](repeating: 0, count: 7)
        }

        init(size: Int, isEcho: Bool) {
            self.size = size
            self.isEcho = isEcho
        }

        init(_ bytes: [UInt8]) {
            size = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            isEcho = bytes[8] != 0
        }
    }

    /// The best time, the median and the 99th percentile.
    struct Times {
        let best: Duration
        let p50: Duration
        let p99: Duration

        init(_ times: [Duration]) {
            let sorted = times.sorted()
            precondition(!sorted.isEmpty, "LinkBench: nothing measured")
            best = sorted[0]
            p50 = sorted[sorted.count / 2]
            p99 = sorted[sorted.count * 99 / 100]
        }
    }

    private static let limit = Duration.seconds(20)
    let stream: any ByteStream

    /// Follows orders until the other end closes the stream.
    func serve() {
        do throws(LinkError) {
            var buffer: [UInt8] = []
            while true {
                let order = Order(try receive(Order.byteCount, before: .never))
                if buffer.count < order.size { buffer = [UInt8](repeating: 0, count: order.size) }
                try receive(&buffer, order.size)
                try send(buffer, order.isEcho ? order.size : 1)
            }
        } catch {
            // The stream has ended, and there is nobody to tell.
        }
    }

    /// Measures the times of `count` messages of `size` bytes: there and back if `isEcho`, otherwise until one byte
    /// comes back.
    ///
    /// With a pause before each message, both ends sleep when it begins.
    func times(_ count: Int, size: Int, isEcho: Bool, pause: Duration = .zero) throws(LinkError) -> Times {
        let message = Order(size: size, isEcho: isEcho).bytes + [UInt8](repeating: 7, count: size)
        var answer = [UInt8](repeating: 0, count: isEcho ? size : 1)
        var times: [Duration] = []
        let clock = ContinuousClock()
        for i in 0..<count + count / 10 + 2 {
            if pause > .zero { usleep(UInt32(pause / .microseconds(1))) }
            let start = clock.now
            try send(message, message.count)
            try receive(&answer, answer.count)
            // The first messages are not counted, since memory is used for the first time in them.
            if i >= count / 10 + 2 { times.append(clock.now - start) }
        }
        return Times(times)
    }

    private func send(_ bytes: [UInt8], _ count: Int) throws(LinkError) {
        try unsafe bytes.span.bytes.withUnsafeBytes { b throws(LinkError) in
            try unsafe stream.write(
                UnsafeRawBufferPointer(rebasing: b[..<count]), before: Deadline(after: Self.limit))
        }
    }

    private func receive(_ count: Int, before deadline: Deadline) throws(LinkError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try receive(&bytes, count, before: deadline)
        return bytes
    }

    private func receive(
        _ bytes: inout [UInt8], _ count: Int, before deadline: Deadline = Deadline(after: limit)
    ) throws(LinkError) {
        var span = bytes.mutableSpan
        try unsafe span.withUnsafeMutableBytes { b throws(LinkError) in
            try unsafe stream.read(UnsafeMutableRawBufferPointer(rebasing: b[..<count]), before: deadline)
        }
    }

    /// Measures and prints one line for each figure.
    func report(_ name: String) throws(LinkError) {
        func micro(_ duration: Duration) -> String {
            let tenths = Int((duration / .nanoseconds(100)).rounded())
            return "\(tenths / 10).\(tenths % 10)"
        }
        func line(_ what: String, _ times: Times) {
            print("\(name), 4 KiB there and back, \(what): best \(micro(times.best)) µs,", terminator: " ")
            print("p50 \(micro(times.p50)) µs, p99 \(micro(times.p99)) µs")
        }
        line("in turn", try times(20_000, size: 4096, isEcho: true))
        line("after a pause", try times(500, size: 4096, isEcho: true, pause: .milliseconds(2)))
        for (mib, count) in [(1, 400), (16, 60)] {
            let times = try times(count, size: mib << 20, isEcho: false)
            func rate(_ time: Duration) -> String {
                let tenths = Int((Double(mib << 20) / (time / .nanoseconds(1)) * 10).rounded())
                return "\(tenths / 10).\(tenths % 10)"
            }
            print("\(name), \(mib) MiB one way: best \(rate(times.best)) GB/s, p50 \(rate(times.p50)) GB/s")
        }
    }
}
