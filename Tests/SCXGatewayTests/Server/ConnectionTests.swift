import Foundation
import SCXCertificates
import SCXGateway
import Synchronization
import Testing

/// Connections that say nothing, or too little, and those that are kept out by them.
@Suite("connections")
struct ConnectionTests {
    /// Notes which connections were asked to close.
    private final class Closed: Sendable {
        private let names = Mutex<[String]>([])

        var all: [String] { names.withLock { $0 } }

        func add(_ name: String) { names.withLock { $0.append(name) } }
    }

    private let closed = Closed()

    private func open(_ register: ConnectionRegister, _ address: String, _ name: String) -> Int? {
        register.open(address) { [closed] in closed.add(name) }
    }

    @Test("where there are too many, the one that has waited longest without a request makes room")
    func order() throws {
        let register = ConnectionRegister(most: 4, mostOfAddress: 4)
        let a = try #require(open(register, "1", "a"))
        let b = try #require(open(register, "2", "b"))
        let c = try #require(open(register, "3", "c"))
        let d = try #require(open(register, "4", "d"))
        for number in [a, b, c] { register.change(number, to: .busy) }
        for number in [b, a] { register.change(number, to: .idle) }
        // New ones go before those that had a request, and the oldest of each kind first.
        _ = try #require(open(register, "5", "e"))
        #expect(closed.all == ["d"])
        register.end(d)
        let f = try #require(open(register, "6", "f"))
        #expect(closed.all == ["d", "e"])
        register.change(f, to: .busy)
        _ = try #require(open(register, "7", "g"))
        #expect(closed.all == ["d", "e", "b"])
        #expect(register.count == 4)
    }

    @Test("a connection with a request is never closed for another, which is refused")
    func busy() throws {
        let register = ConnectionRegister(most: 2, mostOfAddress: 2)
        let numbers = try ["a", "b"].map { try #require(open(register, $0, $0)) }
        for number in numbers { register.change(number, to: .busy) }
        #expect(open(register, "c", "c") == nil)
        #expect(closed.all.isEmpty)
        register.end(numbers[0])
        #expect(open(register, "c", "c") != nil)
        #expect(register.count == 2)
    }

    @Test("one address has a share, and those of others stay")
    func addresses() throws {
        let register = ConnectionRegister(most: 8, mostOfAddress: 2)
        _ = try #require(open(register, "other", "other"))
        for name in ["a", "b", "c", "d"] { _ = try #require(open(register, "one", name)) }
        #expect(closed.all == ["a", "b"])
        #expect(register.count == 3)
    }

    @Test("a request that comes while its connection is asked to close keeps it")
    func lateRequest() throws {
        let register = ConnectionRegister(most: 1, mostOfAddress: 1)
        let a = try #require(open(register, "1", "a"))
        let b = try #require(open(register, "2", "b"))
        #expect(closed.all == ["a"] && register.count == 1)
        register.change(a, to: .busy)
        #expect(register.count == 2)
        register.end(a)
        register.end(b)
        #expect(register.count == 0)
    }

    @Test(
        "all addresses of one customer count together",
        arguments: [
            ("10.1.2.3", "10.1.2.3"), ("::ffff:10.1.2.3", "10.1.2.3"), ("::1", "0:0:0:0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"), ("2001:db8::6", "2001:db8:0:0"),
            ("fe80::1%eth0", "fe80:0:0:0"),
            ("::", "0:0:0:0"), ("", ""), (":", "0:0:0:0"),
        ])
    func owners(address: String, owner: String) {
        #expect(ConnectionRegister.owner(ofAddress: address) == owner)
    }

    @Test("silent connections keep nobody out", .timeLimit(.minutes(60)))
    func silent() async throws {
        let server = try await TestServer { options in
            options.limits.connections = 16
            options.limits.connectionsOfAddress = 8
        }
        let port = server.port
        try await off {
            var silent: [HTTPConnection] = []
            for number in 0..<40 {
                let connection = try HTTPConnection(port: port)
                if number % 2 == 1 { connection.send("GET /health HTTP/1.1\r\nHost: loc") }
                silent.append(connection)
            }
            // All but as many as one address may have make room, those that came first before the others.
            while silent.count(where: { $0.hasEnded }) < 32 { usleep(10_000) }
            let connection = try HTTPConnection(port: port)
            connection.request("GET", "/health")
            #expect(try connection.reply().status == 200)
        }
    }

    @Test("a header that does not come in time ends the connection", .timeLimit(.minutes(60)))
    func header() async throws {
        let server = try await TestServer { options in
            options.limits.headerTime = .milliseconds(50)
        }
        let port = server.port
        try await off {
            for beginning in ["", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
                let connection = try HTTPConnection(port: port)
                connection.send(beginning)
                #expect(connection.isAtEnd())
            }
            // After a request there is no such hurry, until the next one begins. The first may come too late itself.
            while true {
                let connection = try HTTPConnection(port: port)
                connection.request("GET", "/health")
                guard let reply = try? connection.reply() else { continue }
                #expect(reply.status == 200)
                usleep(200_000)
                connection.request("GET", "/health")
                #expect(try connection.reply().status == 200)
                connection.send("GET /health HTTP/1.1\r\nHost: ")
                #expect(connection.isAtEnd())
                return
            }
        }
    }

    @Test("TLS that is not agreed on in time ends the connection", .timeLimit(.minutes(60)))
    func handshake() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let keys = KeyDirectory(directory.path)
        try keys.save(KeyPair(name: "localhost", hosts: ["localhost"], from: .now, to: .now + 86_400))
        let server = try await TestServer { options in
            options.tls = .files(certificate: keys.certificate, key: keys.key)
            options.limits.headerTime = .milliseconds(50)
        }
        let port = server.port
        try await off {
            for beginning in ["", "\u{16}\u{3}\u{1}"] {
                let connection = try HTTPConnection(port: port)
                connection.send(beginning)
                #expect(connection.isAtEnd())
            }
        }
    }
}
