import SCXInference
import SCXLink
import SCXLinkTLS
import SCXProfiles
import SCXWorker

/// How this program reaches the worker, as often as it wants to.
struct WorkerAccess {
    private let make: () throws -> any WorkerLink

    /// Finds or starts the worker that the options name.
    init(_ options: ModelOptions, _ checkpoint: Checkpoint, _ name: String) throws {
        let connect: RemoteLink.Connect
        switch options.worker {
        case .inprocess:
            let pool = ThreadPool(threads: options.threads ?? ThreadPool.systemCores)
            var progress = ProgressLine("loading \(name)")
            let decoder = try Decoder(checkpoint, format: options.weights, pool: pool) { progress.show($0) }
            progress.finish()
            make = { InProcessLink(Worker(model: decoder)) }
            return
        case nil:
            var arguments = ["--weights", options.weights.rawValue]
            if let threads = options.threads { arguments += ["--threads", "\(threads)"] }
            let worker = try WorkerProcess(servingFrom: checkpoint, arguments: arguments)
            make = {
                let link = RemoteLink(to: worker, checkpoint)
                try link.open()
                return link
            }
            return
        case .unix(let path):
            connect = { deadline throws(LinkError) in
                try SharedMemoryStream.connect(path: path, before: deadline)
            }
        case .tcp(let address):
            let identity = try options.tlsIdentity()
            connect = { deadline throws(LinkError) in
                try TLSClient.connect(
                    host: address.host, port: address.port, identity: identity, before: deadline)
            }
        }
        make = {
            let link = RemoteLink(
                digest: checkpoint.digest(), widestRow: checkpoint.configuration.widestRow, connect: connect)
            // A worker that is not there when the program starts is a wrong address more often than a late worker.
            try link.open(within: .seconds(3))
            return link
        }
    }

    /// A way to the worker of its own: what crosses one waits for no other.
    func makeLink() throws -> any WorkerLink { try make() }
}
