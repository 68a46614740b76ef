import SCXEncoding
package import SCXInference
import SCXLink
package import SCXProfiles
import SCXWorker

#if Network
    import SCXLinkTLS
#endif

/// How this program reaches its main workers, as often as it wants to.
package struct WorkerAccess {
    /// A worker: what people call it, and how a way to it is made.
    private struct Place {
        let name: String
        let make: () throws -> any WorkerLink
    }

    private let places: [Place]
    /// Keeps these workers and the peers that pads come from apart.
    package let owners = OwnerSeparation()

    /// Finds or starts the workers that the settings name.
    ///
    /// - Parameters:
    ///   - settings: The workers, and how those of this program hold weights.
    ///   - checkpoint: The model that they serve.
    /// - Throws: An error that names the file or the worker at fault.
    package init(_ settings: ModelSettings, _ checkpoint: Checkpoint) throws {
        let owners = owners
        places = try settings.workers.map { try Self.place($0, settings, checkpoint, owners) }
    }

    private static func place(
        _ worker: WorkerPlace, _ settings: ModelSettings, _ checkpoint: Checkpoint, _ owners: OwnerSeparation
    ) throws -> Place {
        switch worker {
        case .process(let program):
            var arguments = ["--weights", settings.weights.rawValue]
            if let threads = settings.threads { arguments += ["--threads", "\(threads)"] }
            let process =
                if let program {
                    try WorkerProcess(
                        program: program, arguments: ["--model", checkpoint.directory] + arguments)
                } else {
                    try WorkerProcess(servingFrom: checkpoint, arguments: arguments)
                }
            return Place(name: worker.name) {
                let link = RemoteLink(to: process, checkpoint, owners: owners)
                try link.open()
                return link
            }
        case .inProcess:
            var progress = ProgressLine("loading \(settings.name)", report: settings.progress)
            let decoder = try Decoder(checkpoint, format: settings.weights, pool: settings.pool()) {
                progress.show($0)
            }
            progress.finish()
            return Place(name: worker.name) { InProcessLink(Worker(model: decoder)) }
        case .unix, .tcp:
            return Place(name: worker.name) {
                let link = try makeLink(to: worker, .worker, checkpoint, owners)
                try open(link)
                return link
            }
        }
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
    ///   - checkpoint: The model that it serves.
    ///   - owners: Refuses one that has the other role already, whenever it is connected to.
    /// - Returns: A link that connects when it is asked to.
    /// - Throws: ``ModelError`` when it is a part of this program, or an error that names a file of the TLS identity.
    static func makeLink(
        to worker: WorkerPlace, _ role: OwnerSeparation.Role, _ checkpoint: Checkpoint,
        _ owners: OwnerSeparation
    ) throws -> RemoteLink {
        let connect: RemoteLink.Connect
        switch worker {
        case .inProcess, .process:
            throw ModelError(.options, "a worker \(worker.name) is not another owner's")
        case .unix(let path):
            connect = { deadline throws(LinkError) in
                try SharedMemoryStream.connect(path: path, before: deadline)
            }
        case .tcp(let host, let port, let files):
            #if Network
                let identity = try TLSIdentity(
                    certificate: files.certificate, key: files.key, trusted: files.trusted)
                connect = { deadline throws(LinkError) in
                    try TLSClient.connect(host: host, port: port, identity: identity, before: deadline)
                }
            #else
                _ = (host, port, files)
                throw ModelError(
                    .options,
                    "a worker at '\(worker.name)' needs the trait 'Network', which this build left out")
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
