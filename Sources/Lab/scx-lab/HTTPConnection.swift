#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Why a request got no complete response.
enum HTTPError: Error, Equatable, CustomStringConvertible {
    case unreachable(String)
    case closed
    case timedOut
    case malformed(String)

    var description: String {
        switch self {
        case .unreachable(let host): "cannot connect to \(host)"
        case .closed: "the server closed the connection"
        case .timedOut: "the server is silent"
        case .malformed(let what): "the response is malformed: \(what)"
        }
    }
}

/// The status and headers of a response, names in lower case.
struct HTTPHead: Equatable {
    var status = 0
    var headers: [String: String] = [:]
}

/// One HTTP/1.1 connection on a blocking socket, for one thread that sends one request after the other.
///
/// It is for measuring a server on this machine: it has no TLS and no redirects, and limits the length of lines.
final class HTTPConnection {
    /// How the body that is being read is delimited.
    private enum Body {
        case none
        case length(Int)
        /// How many bytes of the current chunk are left.
        case chunked(Int)
        case untilClose
    }

    /// How long the server may be silent, in seconds.
    private let patience: Int
    private static let longestLine = 1 << 20
    private static let mostHeaders = 200

    private let descriptor: Int32
    private var isClosed = false
    private var buffer: [UInt8] = []
    private var position = 0
    private var body = Body.none
    /// The part of a line of the body that has been read so far.
    private var line: [UInt8] = []
    private var lineBytes: ArraySlice<UInt8> = []

    /// Whether another request may be sent on this connection.
    private(set) var isReusable = true

    /// Connects.
    ///
    /// - Parameters:
    ///   - host: A name or address.
    ///   - port: The server's.
    ///   - patience: How long it may be silent, in seconds.
    /// - Throws: ``HTTPError/unreachable(_:)``.
    init(host: String, port: Int, patience: Int = 600) throws(HTTPError) {
        self.patience = patience
        #if canImport(Glibc)
            let kind = Int32(SOCK_STREAM.rawValue)
        #else
            let kind = SOCK_STREAM
        #endif
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = kind
        var found: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, String(port), &hints, &found) == 0 else { throw .unreachable(host) }
        defer { unsafe freeaddrinfo(found) }
        var next = unsafe found
        while let address = unsafe next?.pointee {
            let descriptor = unsafe socket(address.ai_family, kind, 0)
            if descriptor >= 0 {
                if unsafe connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 {
                    self.descriptor = descriptor
                    prepare()
                    return
                }
                close(descriptor)
            }
            unsafe next = address.ai_next
        }
        throw .unreachable("\(host):\(port)")
    }

    deinit { end() }

    /// Closes the connection, whatever the server is still sending.
    func end() {
        guard !isClosed else { return }
        (isClosed, isReusable) = (true, false)
        close(descriptor)
    }

    private func prepare() {
        // Programs that are started meanwhile must not keep the connection open.
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var time = timeval(tv_sec: patience, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)
        var on: Int32 = 1
        unsafe setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    // MARK: Requests

    /// Sends a request.
    func send(
        _ method: String, _ path: String, headers: [(name: String, value: String)], body: String = ""
    ) throws(HTTPError) {
        var text = "\(method) \(path) HTTP/1.1\r\n"
        for header in headers { text += "\(header.name): \(header.value)\r\n" }
        if method != "GET" { text += "content-length: \(body.utf8.count)\r\n" }
        try write(Array((text + "\r\n" + body).utf8))
    }

    /// Sends bytes, whatever they are.
    func write(_ bytes: [UInt8]) throws(HTTPError) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { all in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: all[sent...])
                return unsafe Self.send(descriptor, rest)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                isReusable = false
                throw errno == EAGAIN ? .timedOut : .closed
            }
            sent += count
        }
    }

    private static func send(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Darwin)
            unsafe Darwin.send(descriptor, bytes.baseAddress, bytes.count, 0)
        #elseif canImport(Musl)
            unsafe Musl.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        #else
            unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        #endif
    }

    // MARK: Responses

    /// Reads the head of the response.
    func readHead() throws(HTTPError) -> HTTPHead {
        var head = HTTPHead()
        let words = try readLine().split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw .malformed("no status line")
        }
        head.status = status
        while true {
            let line = try readLine()
            if line.isEmpty { break }
            guard let colon = line.firstIndex(of: ":"), head.headers.count < Self.mostHeaders else {
                throw .malformed("no header")
            }
            head.headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmed
        }
        if head.headers["connection"]?.lowercased() == "close" { isReusable = false }
        if head.headers["transfer-encoding"]?.lowercased() == "chunked" {
            body = .chunked(0)
        } else if let length = head.headers["content-length"] {
            guard let count = Int(length), count >= 0 else { throw .malformed("content-length") }
            body = .length(count)
        } else {
            (body, isReusable) = (.untilClose, false)
        }
        (line, lineBytes) = ([], [])
        return head
    }

    /// The next line of the body, without its end; nil after the last.
    func nextLine() throws(HTTPError) -> String? {
        while true {
            if let end = lineBytes.firstIndex(of: UInt8(ascii: "\n")) {
                line += lineBytes[..<end]
                lineBytes = lineBytes[(end + 1)...]
                if line.last == UInt8(ascii: "\r") { line.removeLast() }
                defer { line = [] }
                return String(decoding: line, as: UTF8.self)
            }
            line += lineBytes
            lineBytes = []
            guard line.count <= Self.longestLine else { throw .malformed("a long line") }
            guard let more = try readPart() else {
                guard !line.isEmpty else { return nil }
                defer { line = [] }
                return String(decoding: line, as: UTF8.self)
            }
            lineBytes = more
        }
    }

    /// Reads the rest of the body.
    func readRest() throws(HTTPError) -> [UInt8] {
        var bytes = line + lineBytes
        (line, lineBytes) = ([], [])
        while let part = try readPart() {
            bytes += part
            guard bytes.count <= 64 * Self.longestLine else { throw .malformed("a long body") }
        }
        return bytes
    }

    /// The part of the body that has arrived; nil after its end.
    private func readPart() throws(HTTPError) -> ArraySlice<UInt8>? {
        switch body {
        case .none, .length(0):
            body = .none
            return nil
        case .length(let left):
            let part = try take(left)
            body = .length(left - part.count)
            return part
        case .chunked(0):
            let digits = try readLine().prefix { $0 != ";" }.trimmed
            guard let count = Int(digits, radix: 16), count >= 0 else { throw .malformed("a chunk's size") }
            guard count > 0 else {
                while try !readLine().isEmpty {}
                body = .none
                return nil
            }
            body = .chunked(count)
            return try readPart()
        case .chunked(let left):
            let part = try take(left)
            body = .chunked(left - part.count)
            if part.count == left, try !readLine().isEmpty { throw .malformed("a chunk's end") }
            return part
        case .untilClose:
            do { return try take(.max) } catch {
                guard error == .closed else { throw error }
                body = .none
                return nil
            }
        }
    }

    /// Takes up to this many bytes that have arrived; waits for at least one.
    private func take(_ most: Int) throws(HTTPError) -> ArraySlice<UInt8> {
        if position == buffer.count { try receive() }
        let end = position + min(most, buffer.count - position)
        defer { position = end }
        return buffer[position..<end]
    }

    /// Reads a line of the head, or between chunks.
    private func readLine() throws(HTTPError) -> String {
        var bytes: [UInt8] = []
        while true {
            if position == buffer.count { try receive() }
            let byte = buffer[position]
            position += 1
            if byte == UInt8(ascii: "\n") { break }
            bytes.append(byte)
            guard bytes.count <= Self.longestLine else { throw .malformed("a long line") }
        }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func receive() throws(HTTPError) {
        guard !isClosed else { throw .closed }
        var count = -1
        buffer = unsafe [UInt8](unsafeUninitializedCapacity: 16_384) { all, initialized in
            while true {
                count = unsafe recv(descriptor, all.baseAddress, all.count, 0)
                if count >= 0 || errno != EINTR { break }
            }
            initialized = max(0, count)
        }
        position = 0
        guard count > 0 else {
            isReusable = false
            throw count < 0 && errno == EAGAIN ? .timedOut : .closed
        }
    }
}

extension StringProtocol {
    /// The text without white space at its ends.
    fileprivate var trimmed: String {
        String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }
}
