public import ArgumentParser
public import SCXInference
import SCXLinkTLS
import SCXWorker

extension WeightFormat: ExpressibleByArgument {}

/// Which model, how it is held, and who computes.
struct ModelOptions: ParsableArguments {
    @Option(help: "Model directory as Hugging Face has it. (default: the bundled model)")
    var model: String?

    @Option(help: "Precision of the weights in memory.")
    var weights: WeightFormat = .bf16

    @Option(help: "Threads that compute. (default: one for each core)")
    var threads: Int?

    @Option(
        help:
            "How the worker's view is protected: 'plain' hides nothing; 'scx' what docs/profile-scx.md says.")
    var profile: Profile = .plain

    @OptionGroup(title: "Profile scx") var scx: ScxFlags

    @Option(
        help: "The worker: inprocess, unix:PATH, or tcp://HOST:PORT with TLS. (default: a process of its own)"
    )
    var worker: WorkerPlace?

    @Option(help: "This side's certificate for a worker over TCP, PEM (scx keys new).")
    var tlsCert: String?

    @Option(help: "The private key to it, PEM, readable by its owner only.")
    var tlsKey: String?

    @Option(help: "The certificate of the worker, PEM (scx keys trust).")
    var tlsCa: String?

    enum Profile: String, ExpressibleByArgument, CaseIterable {
        case plain, scx
    }

    enum WorkerPlace: Equatable, ExpressibleByArgument {
        case inprocess
        case unix(path: String)
        case tcp(HostAndPort)

        init?(argument: String) {
            if argument == "inprocess" {
                self = .inprocess
            } else if argument.hasPrefix("unix:"), argument.count > 5 {
                self = .unix(path: String(argument.dropFirst(5)))
            } else if let address = HostAndPort(argument) {
                self = .tcp(address)
            } else {
                return nil
            }
        }
    }

    /// Who this side is and whom it trusts, for a worker over TCP.
    func tlsIdentity() throws -> TLSIdentity {
        guard let tlsCert, let tlsKey, let tlsCa else {
            throw ValidationError("'--worker tcp://…' needs '--tls-cert', '--tls-key' and '--tls-ca'.")
        }
        return try TLSIdentity(certificate: tlsCert, key: tlsKey, trusted: tlsCa)
    }

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("'--threads \(threads)' is not a number of threads (1 to 1024).")
        }
        if profile != .scx, !scx.isDefault {
            throw ValidationError("the options '--scx-…' need '--profile scx'.")
        }
    }
}
