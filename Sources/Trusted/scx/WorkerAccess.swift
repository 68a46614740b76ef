import ArgumentParser
import SCXEncoding
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker

#if Network
    import SCXLinkTLS
#endif

/// Makes links to the workers that the options name, any number of times.
struct WorkerAccess {
    /// A worker: its name in messages, and a function that makes a link to it.
    private struct Place {
        let name: String
        let make: () throws -> any WorkerLink
    }

    private let places: [Place]
    /// Checks that no main worker is also a peer for pads.
    let owners = OwnerSeparation()

    /// Loads the model for a worker in this process, or prepares to start or connect to the workers that the options
    /// name.
    init(_ options: ModelOptions, _ checkpoint: Checkpoint, _ name: String) throws {
        let owners = owners
        guard !options.workers.isEmpty else {
            var arguments = ["--weights", options.weights.rawValue]
            if let threads = options.threads { arguments += ["--threads", "\(threads)"] }
            let worker = try WorkerProcess(servingFrom: checkpoint, arguments: arguments)
            places = [
                Place(name: WorkerProcess.name) {
                    let link = RemoteLink(to: worker, checkpoint, owners: owners)
                    try link.open()
                    return link
                }
            ]
            return
        }
        places = try options.workers.map { try Self.place($0, options, checkpoint, name, owners) }
    }

    private static func place(
        _ worker: ModelOptions.WorkerPlace, _ options: ModelOptions, _ checkpoint: Checkpoint,
        _ name: String, _ owners: OwnerSeparation
    ) throws -> Place {
        guard worker != .inprocess else {
            let pool = ThreadPool(threads: options.threads ?? ThreadPool.systemCores)
            var progress = ProgressLine("loading \(name)")
            let decoder = try Decoder(checkpoint, format: options.weights, pool: pool) { progress.show($0) }
            progress.finish()
            return Place(name: worker.name) { InProcessLink(Worker(model: decoder)) }
        }
        return Place(name: worker.name) { try connect(worker, .worker, options.tls, checkpoint, owners) }
    }

    /// Connects to a worker that this program did not start.
    ///
    /// - Parameters:
    ///   - worker: The worker's address.
    ///   - role: Whether it is a main worker or a peer for pads.
    ///   - tls: The TLS flags, used for a worker over TCP.
    ///   - checkpoint: The model that it serves.
    ///   - owners: Refuses a worker that has the other role already, at this connection and at later ones.
    /// - Returns: A link with a connection.
    /// - Throws: ``LinkError`` that names the worker.
    static func connect(
        _ worker: ModelOptions.WorkerPlace, _ role: OwnerSeparation.Role, _ tls: TLSFlags,
        _ checkpoint: Checkpoint, _ owners: OwnerSeparation
    ) throws -> RemoteLink {
        let link = try makeLink(to: worker, role, tls, checkpoint, owners)
        try open(link)
        return link
    }

    /// Connects to a worker that should be running already.
    ///
    /// - Throws: ``LinkError`` that says why it cannot be reached.
    static func open(_ link: RemoteLink) throws(LinkError) {
        // When nothing answers at the start, the address is more likely to be wrong than the worker to be late.
        try link.open(within: .seconds(3))
    }

    /// Makes a link to a worker that this program did not start, without connecting yet.
    ///
    /// - Parameters:
    ///   - worker: The worker's address.
    ///   - role: Whether it is a main worker or a peer for pads; a peer must be able to multiply whole pads.
    ///   - tls: The TLS flags, used for a worker over TCP.
    ///   - checkpoint: The model that it serves.
    ///   - owners: Refuses a worker that has the other role already, at each connection.
    /// - Returns: A link that connects at its first use.
    /// - Throws: `ValidationError` when the worker is in this process, or an error that names a file of the TLS
    ///   identity.
    static func makeLink(
        to worker: ModelOptions.WorkerPlace, _ role: OwnerSeparation.Role, _ tls: TLSFlags,
        _ checkpoint: Checkpoint, _ owners: OwnerSeparation
    ) throws -> RemoteLink {
        let connect: RemoteLink.Connect
        switch worker {
        case .inprocess: throw ValidationError("'inprocess' is no other process.")
        case .unix(let path):
            connect = { deadline throws(LinkError) in
                try SharedMemoryStream.connect(path: path, before: deadline)
            }
        case .tcp(let address):
            #if Network
                let identity = try tls.identity()
                connect = { deadline throws(LinkError) in
                    try TLSClient.connect(
                        host: address.host, port: address.port, identity: identity, before: deadline)
                }
            #else
                throw WithoutNetwork.error("a worker at '\(worker.name)'")
            #endif
        }
        let name = worker.name
        return RemoteLink(
            digest: checkpoint.digest(), model: checkpoint.configuration,
            patience: role == .peer ? .peer : .init(),
            connect: owners.guarding(role, name: name, connect),
            accept: { hello throws(LinkError) in
                if role == .peer { try PeerPads.check(hello, at: name) }
            })
    }

    /// Makes another link to the first worker; requests on it do not wait for those on other links.
    func makeLink() throws -> any WorkerLink { try places[0].make() }

    /// Makes a link to each worker.
    ///
    /// - Returns: For each worker its name, the link, and the worker's hello; nil for one in this process.
    func makeLinks() throws -> [(name: String, link: any WorkerLink, hello: Hello?)] {
        try places.map { place in
            let link = try place.make()
            return (place.name, link, try (link as? RemoteLink)?.hello())
        }
    }
}
