import NIOCore
import NIOPosix
import SCXInference
import Synchronization

/// A connection to a server on this machine, byte by byte.
final class LocalClient: Sendable {
    struct Ended: Error { let text: String }

    private let channel: any Channel
    private let received: Received

    fileprivate init(_ channel: any Channel, _ received: Received) {
        (self.channel, self.received) = (channel, received)
    }

    /// All that came.
    var text: String { String(decoding: received.bytes.withLock { $0 }, as: UTF8.self) }

    func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)) }

    /// Reads until something has come.
    func read(until mark: String) async throws {
        while !text.contains(mark) {
            guard channel.isActive else { throw Ended(text: text) }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Reads until the connection ends, in whatever way.
    func readToEnd() async { try? await channel.closeFuture.get() }
}

/// Collects what comes.
private final class Received: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    let bytes = Mutex<[UInt8]>([])

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        bytes.withLock { $0 += part.readableBytesView }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Connects to a port of this machine; the connection ends with the function.
func withClient<Result>(port: Int, _ body: (LocalClient) async throws -> Result) async throws -> Result {
    let received = Received()
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in channel.pipeline.addHandler(received) }
        .connect(host: "127.0.0.1", port: port).get()
    defer { channel.close(promise: nil) }
    return try await body(LocalClient(channel, received))
}

/// What a server answered.
struct LocalReply {
    let status: Int
    let head: String
    let body: String

    var json: JSON { (try? JSON(parsing: Array(body.utf8).span)) ?? .null }
    var errorCode: String? { json["error"]?["code"]?.string }
    /// The numbers of checks that failed, as an error of the proxy or its health lists them.
    var numbers: Set<Int> {
        let failures = json["error"]?["failures"]?.array ?? json["failures"]?.array ?? []
        return Set(failures.compactMap { $0["number"]?.int })
    }
}

/// Sends a request, and reads the answer until the connection ends.
///
/// Headers are lines with their ends, such as a Host header where it is not to be `localhost`.
func fetch(
    port: Int, _ path: String, method: String = "GET", headers: String = "Host: localhost\r\n",
    body: String? = nil
) async throws -> LocalReply {
    try await withClient(port: port) { client in
        let length = body.map { "Content-Length: \($0.utf8.count)\r\n" } ?? ""
        try await client.send(
            "\(method) \(path) HTTP/1.1\r\n\(headers)\(length)Connection: close\r\n\r\n\(body ?? "")")
        await client.readToEnd()
        let text = client.text
        guard let end = text.firstRange(of: "\r\n\r\n"),
            let status = text.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { throw LocalClient.Ended(text: text) }
        return LocalReply(
            status: status, head: String(text[..<end.lowerBound]).lowercased(),
            body: String(text[end.upperBound...]))
    }
}
