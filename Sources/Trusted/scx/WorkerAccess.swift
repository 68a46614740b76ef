import ArgumentParser
import SCXEncoding
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker

#if Network
    import SCXLinkTLS
#endif

/// How this program reaches its workers, as often as it wants to.
struct WorkerAccess {
    /// A worker: what people call it, and how a way to it is made.
    private struct Place {
        let name: String
        let make: () throws -> any WorkerLink
    }

    private let places: [Place]
    /// Keeps these workers and the peers that pads come from apart.
    let owners = OwnerSeparation()

    /// Finds or starts the workers that the options name.
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

    /// A way to a worker that others started.
    ///
    /// - Parameters:
    ///   - worker: Where it listens.
    ///   - role: What it is to do.
    ///   - tls: For one over TCP.
    ///   - checkpoint: The model that it serves.
    ///   - owners: Refuses one that has the other role already, now and when it is connected to again.
    /// - Returns: A link that is connected.
    /// - Throws: ``LinkError`` that names it.
    static func connect(
        _ worker: ModelOptions.WorkerPlace, _ role: OwnerSeparation.Role, _ tls: TLSFlags,
        _ checkpoint: Checkpoint, _ owners: OwnerSeparation
    ) throws -> RemoteLink {
        let link = try makeLink(to: worker, role, tls, checkpoint, owners)
        try open(link)
        return link
    }

    /// Connects to a worker that is expected to be there.
    ///
    /// - Throws: ``LinkError`` that says why it is not.
    static func open(_ link: RemoteLink) throws(LinkError) {
        // A worker that is not there when the program starts is a wrong address more often than a late worker.
        try link.open(within: .seconds(3))
    }

    /// A way to a worker that others started, not connected yet.
    ///
    /// - Parameters:
    ///   - worker: Where it listens.
    ///   - role: What it is to do; a peer must be able to multiply whole pads.
    ///   - tls: For one over TCP.
    ///   - checkpoint: The model that it serves.
    ///   - owners: Refuses one that has the other role already, whenever it is connected to.
    /// - Returns: A link that connects when it is asked to.
    /// - Throws: `ValidationError` when it is in this process, or an error that names a file of the TLS identity.
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

    /// A way to the first worker: what crosses one waits for no other.
    func makeLink() throws -> any WorkerLink { try places[0].make() }

    /// Ways to all workers.
    ///
    /// - Returns: For each its name, the way to it, and what it said of itself; nil when it is in this process.
    func makeLinks() throws -> [(name: String, link: any WorkerLink, hello: Hello?)] {
        try places.map { place in
            let link = try place.make()
            return (place.name, link, try (link as? RemoteLink)?.hello())
        }
    }
}
