import CSCXSystem
import SCXLink
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

@Suite("socket transport")
struct SocketTransportTests {
    @Test("pieces of any size arrive as they were sent", arguments: [1, 100, 1 << 20])
    func pieces(largest: Int) throws {
        let (a, b) = try SocketStream.pair()
        let results = exchangePieces(a, b, largest: largest, total: min(1 << 19, largest * 500), seed: 7)
        #expect(results == [nil, nil, nil, nil])
    }

    @Test("a silent peer, and one that takes nothing, end in a time-out")
    func deadlines() throws {
        let (a, b) = try SocketStream.pair()
        let start = ContinuousClock.now
        #expect(
            failure { () throws(LinkError) in _ = try a.receive(1, before: Deadline(after: .milliseconds(50)))
            }.isTimeOut)
        #expect(ContinuousClock.now - start >= .milliseconds(50))
        let much = [UInt8](repeating: 1, count: 8 << 20)
        #expect(
            failure { () throws(LinkError) in try a.send(much, before: Deadline(after: .milliseconds(50))) }
                .isTimeOut)
        try b.send([5])
        // Bytes that are there are read though the time has passed.
        #expect(try a.receive(1, before: Deadline(after: .zero)) == [5])
    }

    @Test("closing wakes the own reader and the peer's, after the bytes before")
    func closing() throws {
        let (a, b) = try SocketStream.pair()
        let own = Background { failure { () throws(LinkError) in _ = try a.receive(1, before: .never) } }
        let peer = Background { failure { () throws(LinkError) in _ = try b.receive(3, before: .never) } }
        try a.send([1, 2])
        usleep(20_000)
        a.close()
        a.close()
        #expect(own.value()?.isDisconnected == true)
        #expect(peer.value()?.isDisconnected == true)
        #expect(failure { () throws(LinkError) in try b.send([1]) }.isDisconnected)
        #expect(failure { () throws(LinkError) in try a.send([1]) }.isDisconnected)
    }

    @Test("a listener takes connections, and lets only its user in")
    func listener() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/worker"
        let listener = try UnixListener(path: path)
        var status = stat()
        #expect(unsafe lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        let client = try UnixSocket.connect(path: path, before: Deadline(after: .seconds(3_600)))
        let server = try listener.accept(before: Deadline(after: .seconds(3_600)))
        try client.send([1, 2, 3])
        #expect(try server.receive(3) == [1, 2, 3])
        #expect(
            failure { () throws(LinkError) in
                _ = try listener.accept(before: Deadline(after: .milliseconds(20)))
            }.isTimeOut)

        let waiting = Background {
            failure { () throws(LinkError) in _ = try listener.accept(before: .never) }
        }
        usleep(20_000)
        listener.close()
        #expect(waiting.value()?.isDisconnected == true)
        #expect(unsafe access(path, F_OK) != 0)
        let gone = failure { () throws(LinkError) in
            _ = try UnixSocket.connect(path: path, before: Deadline(after: .seconds(3_600)))
        }
        #expect(gone?.description.contains("\(path): cannot connect to it: No such file") == true)
    }

    @Test("a full queue is waited for, until the deadline")
    func fullQueue() throws {
        let directory = try TemporaryDirectory()
        let listener = try UnixListener(path: "\(directory.path)/worker")
        var connections: [SocketStream] = []
        let error = failure { () throws(LinkError) in
            while connections.count < 1000 {
                connections.append(
                    try UnixSocket.connect(path: listener.path, before: Deadline(after: .milliseconds(30))))
            }
        }
        #expect(error.isTimeOut)
        for _ in connections { _ = try listener.accept(before: Deadline(after: .seconds(3_600))) }
    }

    @Test("a stale socket is replaced; a live one and another file are not")
    func stale() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/worker"
        // As a killed process leaves it: the descriptor is closed, the file stays.
        cscx_close(unsafe cscx_unix_listen(path))
        #expect(unsafe access(path, F_OK) == 0)
        let listener = try UnixListener(path: path)
        let second = failure { () throws(LinkError) in _ = try UnixListener(path: path) }
        #expect(second == .disconnected("\(path): another process listens on it"))
        #expect(throws: Never.self) {
            try UnixSocket.connect(path: path, before: Deadline(after: .seconds(3_600)))
        }

        // The socket that another listener put there meanwhile stays.
        #expect(unsafe unlink(path) == 0)
        let third = try UnixListener(path: path)
        listener.close()
        #expect(unsafe access(path, F_OK) == 0)
        third.close()

        let other = "\(directory.path)/other"
        cscx_close(unsafe open(other, O_CREAT | O_WRONLY, 0o600))
        let refused = failure { () throws(LinkError) in _ = try UnixListener(path: other) }
        #expect(refused == .disconnected("\(other): there is a file that is no socket"))
        #expect(unsafe access(other, F_OK) == 0)
    }

    @Test(
        "a path that cannot be a socket's is one clear error",
        arguments: ["", String(repeating: "x", count: 200), "/tmp/a\0b", "/nowhere/worker"])
    func badPath(path: String) {
        #expect(failure { () throws(LinkError) in _ = try UnixListener(path: path) }.isDisconnected)
        #expect(
            failure { () throws(LinkError) in
                _ = try UnixSocket.connect(path: path, before: Deadline(after: .seconds(3_600)))
            }.isDisconnected)
    }
}
