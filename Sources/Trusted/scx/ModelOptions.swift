public import ArgumentParser
public import SCXInference
import SCXTrusted
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

    @Option(help: "How the worker's view is protected: 'plain' hides nothing.")
    var profile: Profile = .plain

    @Option(help: "The worker: 'inprocess' or unix:PATH. (default: a process of its own)")
    var worker: WorkerPlace?

    enum Profile: String, ExpressibleByArgument, CaseIterable {
        case plain
    }

    enum WorkerPlace: ExpressibleByArgument {
        case inprocess
        case unix(path: String)

        init?(argument: String) {
            if argument == "inprocess" {
                self = .inprocess
            } else if argument.hasPrefix("unix:"), argument.count > 5 {
                self = .unix(path: String(argument.dropFirst(5)))
            } else {
                return nil
            }
        }
    }

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("'--threads \(threads)' is not a number of threads (1 to 1024).")
        }
    }
}
