import CSCXSystem
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Makes connections to a Unix socket, which has a path in the file system.
public enum UnixSocket {
    /// Connects to a listener; waits while the listener's queue is full, but not for a listener to appear.
    public static func connect(path: String, before deadline: Deadline) throws(LinkError) -> SocketStream {
        try check(path)
        while true {
            let descriptor = unsafe cscx_unix_connect(path)
            guard descriptor == -EAGAIN else {
                guard descriptor >= 0 else { throw .system(path, "connect to it", descriptor) }
                return try SocketStream(descriptor: descriptor, name: path, path: path)
            }
            guard deadline.milliseconds(atMost: 1) > 0 else {
                throw .timedOut("\(path): it accepts no connection")
            }
            usleep(5000)
        }
    }

    /// Refuses a path that is too long for the system.
    fileprivate static func check(_ path: String) throws(LinkError) {
        let limit = cscx_unix_path_limit()
        guard (1...limit).contains(path.utf8.count), !path.utf8.contains(0) else {
            throw .disconnected("'\(path)': a socket's path has 1 to \(limit) bytes; choose a shorter one")
        }
    }
}

/// A listening Unix socket to which only this user may connect.
///
/// It replaces a socket that a dead process left behind, but never one on which somebody answers, nor any other file.
/// `close` removes the socket's file.
public final class UnixListener: Sendable {
    public let path: String
    private let descriptor: Int32
    private let file: (device: UInt64, inode: UInt64)
    private let isClosed = Atomic(false)

    /// Begins to listen.
    ///
    /// - Throws: ``LinkError/disconnected(_:)`` when the path is too long, another process listens there, the path is
    ///   another kind of file, or the system refuses.
    public init(path: String) throws(LinkError) {
        try UnixSocket.check(path)
        // Two processes that start at the same time could each take the other's new socket for a left one, so they
        // lock the directory.
        let directory = try Self.lockDirectory(of: path)
        defer { cscx_close(directory) }
        var descriptor = unsafe cscx_unix_listen(path)
        if descriptor == -EADDRINUSE {
            try Self.removeStale(path)
            descriptor = unsafe cscx_unix_listen(path)
        }
        guard descriptor >= 0 else { throw .system(path, "listen on it", descriptor) }
        var found = cscx_file_identity()
        let code = unsafe cscx_identify(path, &found)
        guard code == 0 else {
            cscx_close(descriptor)
            throw .system(path, "find it again", code)
        }
        file = (found.device, found.inode)
        self.path = path
        self.descriptor = descriptor
    }

    deinit {
        close()
        cscx_close(descriptor)
    }

    /// Waits for the next connection.
    ///
    /// - Throws: ``LinkError/timedOut(_:)`` after the deadline, ``LinkError/disconnected(_:)`` after `close`.
    public func accept(before deadline: Deadline) throws(LinkError) -> SocketStream {
        while true {
            if isClosed.load(ordering: .acquiring) { throw .disconnected("\(path): no longer listening") }
            let connection = cscx_accept(descriptor)
            if connection >= 0 { return try SocketStream(descriptor: connection, name: path) }
            // Wait for short times only, since not every system wakes a listener that was shut down.
            let slice = deadline.milliseconds(atMost: 100)
            guard slice > 0 else { throw .timedOut("\(path): nobody connected") }
            switch connection {
            case -EAGAIN, -EWOULDBLOCK: _ = cscx_wait(descriptor, 0, slice)
            // There are too many open files. Wait until other connections end.
            case -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM: usleep(UInt32(slice) * 1000)
            default:
                if isClosed.load(ordering: .acquiring) { continue }
                throw .system(path, "accept a connection", connection)
            }
        }
    }

    /// Stops listening, removes the socket's file, and makes an `accept` that waits throw.
    ///
    /// It may be called from any thread, and twice.
    public func close() {
        guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        cscx_shutdown(descriptor)
        // Somebody may have put another file at this path; only this socket may be removed.
        var found = cscx_file_identity()
        if unsafe cscx_identify(path, &found) == 0, file == (found.device, found.inode) {
            _ = unsafe cscx_unlink(path)
        }
    }

    private static func lockDirectory(of path: String) throws(LinkError) -> Int32 {
        var directory = "."
        if let slash = path.lastIndex(of: "/") {
            directory = slash == path.startIndex ? "/" : String(path[..<slash])
        }
        let deadline = Deadline(after: .seconds(5))
        while true {
            let lock = unsafe cscx_lock_directory(directory)
            if lock >= 0 { return lock }
            guard lock == -EWOULDBLOCK, deadline.milliseconds(atMost: 1) > 0 else {
                throw .system(directory, "lock this directory", lock)
            }
            usleep(5000)
        }
    }

    private static func removeStale(_ path: String) throws(LinkError) {
        var found = cscx_file_identity()
        guard unsafe cscx_identify(path, &found) == 0 else { return }  // It has just gone.
        guard found.is_socket != 0 else { throw .disconnected("\(path): there is a file that is no socket") }
        let connection = unsafe cscx_unix_connect(path)
        if connection >= 0 { cscx_close(connection) }
        guard connection == -ECONNREFUSED else {
            throw .disconnected("\(path): another process listens on it")
        }
        let code = unsafe cscx_unlink(path)
        guard code == 0 || code == -ENOENT else { throw .system(path, "remove the stale socket", code) }
    }
}
