import SCXProfiles

/// Where a worker is: the program that holds the model's weights, which are public, and multiplies what it is sent.
///
/// The worker must serve the same model; the two compare a digest of the model's files when they connect.
public enum WorkerPlace: Hashable, Sendable {
    /// A process of this machine that is started when the model is opened, and that ends when the model is closed or this
    /// program ends.
    ///
    /// - `program`: The path of `scx-worker`; nil for the one in the folder of this program's executable. Systems that
    ///   let no program start another, such as iOS, answer with an error of kind ``ModelError/Kind/worker``.
    case process(program: String? = nil)
    /// This program itself: nothing is hidden from anybody, but nothing else is needed. For demonstrations and tests.
    case inProcess
    /// A worker of this machine that listens on a Unix socket (`scx-worker --listen unix:PATH`).
    case unix(path: String)
    /// A worker of another machine, over TCP with mutual TLS 1.3 (`scx-worker --listen tcp://HOST:PORT`).
    ///
    /// Needs the trait `Network` of this package, which is on unless a program turns it off.
    ///
    /// - `host`: A name or a numeric address.
    /// - `port`: From 1 to 65535.
    /// - `files`: Who this side is, and whom it trusts.
    case tcp(host: String, port: Int, files: TLSFiles)

    /// What people call it: as on the command line of `scx`.
    public var name: String {
        switch self {
        case .process: WorkerProcess.name
        case .inProcess: "in this process"
        case .unix(let path): "unix:\(path)"
        case .tcp(let host, let port, _): "tcp://\(host):\(port)"
        }
    }

    /// Whether somebody else may have started it.
    var isForeign: Bool {
        switch self {
        case .process, .inProcess: false
        case .unix, .tcp: true
        }
    }
}

/// The files of mutual TLS, which `scx keys new` and `scx keys trust` make; all are PEM.
public struct TLSFiles: Hashable, Sendable {
    /// The path of this side's certificate.
    public var certificate: String
    /// The path of the certificate's private key, which only its owner and group may read.
    public var key: String
    /// The path of the certificates of workers that are trusted, and of no other.
    public var trusted: String

    /// Names the files; they are read when the worker is connected to.
    ///
    /// - Parameters:
    ///   - certificate: The path of this side's certificate.
    ///   - key: The path of its private key.
    ///   - trusted: The path of the workers' certificates.
    public init(certificate: String, key: String, trusted: String) {
        (self.certificate, self.key, self.trusted) = (certificate, key, trusted)
    }

    /// Names the files of a directory that `scx keys` made: `cert.pem`, `key.pem` and `trusted.pem`.
    ///
    /// - Parameter directory: The directory's path.
    public init(directory: String) {
        self.init(
            certificate: "\(directory)/cert.pem", key: "\(directory)/key.pem",
            trusted: "\(directory)/trusted.pem")
    }
}
