public import ArgumentParser
import SCX
import SCXInference
import SCXLink
import SCXOptions

/// The options for the model, the precision of its weights, the profile and the workers.
struct ModelOptions: ParsableArguments {
    @OptionGroup var loaded: ModelFlags

    @Option(
        name: .customLong("weights"),
        help: "Precision of the weights in memory: f32, bf16, int8 or int4. (default: bf16; sealed has int8)")
    var givenWeights: WeightFormat?

    var threads: Int? { loaded.threads }

    /// The format of the weights in memory: as `--weights` says, otherwise int8 in profiles that multiply integers and
    /// bf16 in the others.
    var weights: WeightFormat { givenWeights ?? (profile.isRing ? .int8 : .bf16) }

    @Option(
        help:
            """
            How the worker's view is protected: 'sealed' shows it shapes and timing alone; 'scx' hides what \
            docs/profile-scx.md says; 'plain' nothing; 'fixed-point' computes all of it here.
            """)
    var profile: Profile = .sealed

    @Option(
        help: ArgumentHelp(
            "Draft tokens and compute them together: off, ngram:K (what followed the same tokens before) or model:DIR[:K].",
            discussion: """
                At most K tokens a step (model: 4); the small model in DIR runs here and has the same tokenizer. Answers \
                stay what they are, but the worker sees how many tokens a step had and learns how predictable an answer \
                is (docs/speculation.md). Not in profile scx.
                """))
    var speculate = SpeculateFlag.off

    @OptionGroup(title: "Profile sealed") var sealed: SealedFlags

    @OptionGroup(title: "Profile scx") var scx: ScxFlags

    @Option(
        name: .customLong("worker"),
        help: ArgumentHelp(
            "The worker: inprocess, unix:PATH, or tcp://HOST:PORT with TLS. (default: a process of its own)",
            discussion: "May be repeated in profile sealed, whose rows are spread over all of them."))
    var workers: [WorkerPlace] = []

    @OptionGroup var tls: TLSFlags

    typealias Profile = SCX.Profile

    /// A worker as `--worker` names it; ``TLSFlags`` has what else is needed for one over TCP.
    enum WorkerPlace: Equatable, ExpressibleByArgument {
        case inprocess
        case listening(LinkAddress)

        init?(argument: String) {
            if argument == "inprocess" {
                self = .inprocess
            } else if let address = LinkAddress(argument) {
                self = .listening(address)
            } else {
                return nil
            }
        }
    }

    func validate() throws {
        if let givenWeights, profile.isRing, givenWeights != .int8 {
            throw ValidationError(
                "'--weights \(givenWeights.rawValue)': profile \(profile.rawValue) multiplies int8.")
        }
        if workers.count > 1, profile != .sealed {
            throw ValidationError(
                "several '--worker' need '--profile sealed': the others keep sessions on one.")
        }
        if !profile.isRing, !sealed.isDefault {
            throw ValidationError(
                "'--pads', '--bank', '--site-data', '--pad-…', '--pace', '--shard' and '--kv' need '--profile sealed'."
            )
        }
        if profile == .scx, speculate != .off {
            throw ValidationError(
                "'--speculate' does not go with '--profile scx', whose sessions generate a single row at a time."
            )
        }
        if profile != .scx, !scx.isDefault {
            throw ValidationError("the options '--scx-…' need '--profile scx'.")
        }
    }
}

extension ModelOptions.WorkerPlace {
    /// The worker's name in messages, which is also the value of `--worker` unless the worker is in this process.
    var name: String {
        switch self {
        case .inprocess: "in this process"
        case .listening(let address): "\(address)"
        }
    }

    /// Turns the flags into a worker place with everything needed to connect to it.
    ///
    /// - Parameter tls: The TLS flags, used for a worker over TCP.
    /// - Returns: The place.
    /// - Throws: `ValidationError` when TLS flags are missing, or this build has no TCP.
    func place(_ tls: TLSFlags) throws -> WorkerPlace {
        switch self {
        case .inprocess: return .inProcess
        case .listening(.unix(let path)): return .unix(path: path)
        case .listening(.tcp(let host, let port)):
            #if Network
                return .tcp(host: host, port: port, files: try tls.files())
            #else
                _ = (host, port)
                throw WithoutNetwork.error("a worker at '\(name)'")
            #endif
        }
    }
}

extension Profile: ExpressibleByArgument {}
