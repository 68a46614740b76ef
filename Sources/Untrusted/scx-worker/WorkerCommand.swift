public import ArgumentParser
import Foundation
import SCXArguments
import SCXInference
public import SCXLink
import SCXWorker

#if Network
    import SCXLinkTLS
#endif

@main
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scx-worker",
        abstract: "Compute for a trusted side on the rows that it sends.",
        discussion: """
            The worker holds a model's public weights. It never sees text, token ids or keys. What the rows tell it \
            depends on the client's profile: with 'plain' they are activations in clear. It always sees how many rows \
            come, and when.
            """,
        version: "0.1.0")

    static func main() { UnknownOption.main(Self.self) }

    @Option(help: "Model directory as Hugging Face has it, or a GGUF file.")
    var model: String

    @Option(help: "Where to listen: unix:PATH, or tcp://HOST:PORT with TLS.")
    var listen: LinkAddress

    @Option(help: "This worker's certificate, PEM (scx keys new).")
    var tlsCert: String?

    @Option(help: "The private key to it, PEM, readable by its owner only.")
    var tlsKey: String?

    @Option(help: "The certificates of those who may connect, PEM (scx keys trust).")
    var tlsCa: String?

    @Option(help: "Precision of the weights in memory: f32, bf16, int8 or int4; profile sealed needs int8.")
    var weights = "int8"

    @Option(
        help:
            "Hold part I of N of every site's outputs, as I/N from 1/N on: for profile sealed over several workers."
    )
    var shard: ShardName?

    @Option(help: "Threads that compute. (default: one for each core)")
    var threads: Int?

    @Option(help: "Write everything that comes and goes to this directory (docs/transcript.md).")
    var record: String?

    @Option(help: "Sessions at once, over all connections.")
    var maxSessions = 256

    @Option(help: "GB of memory for the keys and values of all sessions. (default: half of the machine's)")
    var maxMemory: Double?

    @Option(help: "MiB of the largest tensor of a request: what one client can make this worker allocate.")
    var maxTensor = Hello.usualLargestTensor >> 20

    @Option(help: "Seconds after which a connection that asks nothing is closed.")
    var idleTimeout = 600

    @Flag(help: ArgumentHelp("End when standard input ends.", visibility: .hidden))
    var endWithInput = false

    func validate() throws {
        guard WeightFormat(rawValue: weights) != nil else {
            throw ValidationError("'--weights \(weights)' is none of f32, bf16, int8 and int4.")
        }
        if shard != nil, weights != "int8" {
            throw ValidationError("'--shard' needs '--weights int8': shards serve profile sealed alone.")
        }
        #if !Network
            if case .tcp(let host, let port) = listen {
                throw ValidationError("'--listen' of \(WithoutNetwork.reason(host, port))")
            }
        #endif
        if case .tcp = listen, tlsCert == nil || tlsKey == nil || tlsCa == nil {
            throw ValidationError("'--listen \(listen)' needs '--tls-cert', '--tls-key' and '--tls-ca'.")
        }
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("'--threads \(threads)' is not a number of threads (1 to 1024).")
        }
        guard (1...2_048).contains(maxTensor) else {
            throw ValidationError("'--max-tensor \(maxTensor)' is not a number of MiB from 1 to 2048.")
        }
        guard maxSessions > 0, maxMemory ?? 1 > 0, idleTimeout > 0 else {
            throw ValidationError(
                "'--max-sessions', '--max-memory' and '--idle-timeout' take positive numbers.")
        }
    }

    func run() throws {
        if endWithInput { Self.endWithInput(listen) }
        guard let format = WeightFormat(rawValue: weights) else { return }
        let checkpoint = try Checkpoint(directory: model)
        let identity: TLSIdentity? = try tlsIdentity()
        let recorder = try record.map { try Recorder(directory: $0) }
        let pool = ThreadPool(threads: threads ?? ThreadPool.systemCores)
        var progress = ProgressLine("loading \(checkpoint.directory)")
        let decoder = try Decoder(
            checkpoint, format: format, pool: pool, shard: shard?.shard ?? .whole
        ) { progress.show($0) }
        progress.finish()

        var slots = Worker.Limits()
        slots.slots = maxSessions
        let physical = Double(ProcessInfo.processInfo.physicalMemory)
        slots.slotBytes = Int(min(maxMemory.map { $0 * 1e9 } ?? physical / 2, physical))
        var limits = WorkerServer.Limits()
        limits.idle = .seconds(idleTimeout)
        limits.tensorBytes = maxTensor << 20
        let server = WorkerServer(
            worker: Worker(model: decoder, limits: slots), digest: checkpoint.digest(), weights: format,
            limits: limits, recorder: recorder)
        // Listen only now, so that a client that can connect can be served at once.
        let listener = try Listener(listen, identity)
        if !endWithInput { log("serving \(checkpoint.directory) in \(weights) at \(listen)") }
        try listener.run(server)
    }

    private func tlsIdentity() throws -> TLSIdentity? {
        #if Network
            guard let tlsCert, let tlsKey, let tlsCa else { return nil }
            return try TLSIdentity(certificate: tlsCert, key: tlsKey, trusted: tlsCa)
        #else
            return nil
        #endif
    }

    /// Ends this process when standard input ends, which happens when the process that holds its other end has ended.
    ///
    /// That process may have had no time to remove the socket, so it is removed here, and its directory if that is empty.
    private static func endWithInput(_ address: LinkAddress) {
        Thread.detachNewThread {
            while !FileHandle.standardInput.availableData.isEmpty {}
            if case .unix(let path) = address {
                let files = FileManager.default
                try? files.removeItem(atPath: path)
                let directory = URL(filePath: path).deletingLastPathComponent().path
                if (try? files.contentsOfDirectory(atPath: directory))?.isEmpty == true {
                    try? files.removeItem(atPath: directory)
                }
            }
            Foundation.exit(0)
        }
    }
}

/// Writes a line to standard error.
func log(_ text: String) {
    FileHandle.standardError.write(Data("scx-worker: \(text.printable(keepsLines: true))\n".utf8))
}

/// A shard as people write it: `2/3` is the second of three.
struct ShardName: ExpressibleByArgument {
    let shard: Shard

    init?(argument: String) {
        let parts = argument.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard parts.count == 2, let shard = Shard(index: parts[0] - 1, of: parts[1]) else { return nil }
        self.shard = shard
    }
}

extension LinkAddress: @retroactive ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}
