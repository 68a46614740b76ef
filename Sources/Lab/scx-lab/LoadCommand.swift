import ArgumentParser
import Foundation
import SCXInference

struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Ask an OpenAI endpoint from many streams at once, and measure.",
        discussion: """
            Each level of '--streams' asks requests of its own, for each profile in turn: greedy, streamed, with \
            prompts of different texts and of half to one and a half times '--prompt-tokens'. 'first token' counts \
            from the request's first attempt, 'between tokens' between pieces of text. 'wrong' counts answers that \
            differ from those to the same requests alone. The exit status says whether all that were not cut off were \
            answered, and none wrong.
            """)

    @Option(help: "The server, over plain HTTP.")
    var url = "http://127.0.0.1:8080"

    @Option(help: "Requests at once, one level each, separated by commas.")
    var streams = "1,4,16,64"

    @Option(help: "Requests of each level. (default: 4 for each stream, at least 8)")
    var requests: Int?

    @Option(help: "Tokens of a prompt, about.")
    var promptTokens = 64

    @Option(help: "Tokens of an answer.")
    var maxTokens = 64

    @Option(help: "Profiles to ask for, separated by commas. (default: the server's)")
    var profile: String?

    @Flag(help: "Ask for the profiles in turn within each level, not in levels of their own.")
    var mixed = false

    @Option(help: "The model's name. (default: the server's)")
    var model: String?

    @Option(help: "Send tokens below this number, not text: for models without tokenizer.")
    var vocabulary: Int?

    @Option(help: "Share of the requests that are cut off midway.")
    var cancel = 0.0

    @Option(
        parsing: .upToNextOption,
        help: "Kill the server's workers ('own') or a process, and how many times in each level.")
    var killWorker: [String] = []

    @Option(help: "The server's process. (default: who listens on its port)")
    var serverPid: Int32?

    @Flag(help: "Ask everything alone before, and compare.")
    var check = false

    @Option(help: "API key.")
    var apiKey: String?

    @Flag(help: "Print JSON.")
    var json = false

    private var levels: [Int] { streams.split(separator: ",").map { Int($0) ?? 0 } }
    private var profiles: [String?] { profile?.split(separator: ",").map { String($0) } ?? [nil] }
    private var target: LoadTarget? { LoadTarget(url: url, model: model, key: apiKey) }

    func validate() throws {
        func check(_ holds: Bool, _ text: String) throws {
            guard holds else { throw ValidationError(text) }
        }
        try check(target != nil, "'--url \(url)' is not http://HOST:PORT.")
        try check(
            !levels.isEmpty && levels.allSatisfy { (1...4096).contains($0) },
            "'--streams \(streams)' is no list of numbers from 1 to 4096.")
        try check(!profiles.isEmpty, "'--profile' names none.")
        try check((1...1_000_000).contains(requests ?? 1), "'--requests' is out of range: 1 to 1000000.")
        try check(
            (1...100_000).contains(promptTokens) && (1...100_000).contains(maxTokens),
            "'--prompt-tokens' or '--max-tokens' is out of range: 1 to 100000.")
        try check((0...1).contains(cancel), "'--cancel \(cancel)' is out of range: 0 to 1.")
        try check(vocabulary ?? 1 > 0, "'--vocabulary' is not positive.")
        try check(serverPid ?? 1 > 0, "'--server-pid' is no process.")
        let kills = killWorker.count == 2 ? Int(killWorker[1]) ?? 0 : 1
        try check(
            killWorker.count <= 2 && kills > 0, "'--kill-worker' is not 'own' or a process, and a number.")
        if let who = killWorker.first, who != "own" {
            try check(Int32(who) ?? 0 > 1, "'--kill-worker \(who)' is neither 'own' nor a process.")
            try check(kills == 1, "'--kill-worker \(who)': one process can be killed once.")
        }
    }

    func run() throws {
        guard let target else { return }
        var surroundings = LoadLevel.Surroundings()
        surroundings.server =
            serverPid.map { LoadServer(process: $0) } ?? LoadServer(listeningOn: target.port)
        if let who = killWorker.first {
            surroundings.victim = Int32(who)
            surroundings.kills = killWorker.count == 2 ? Int(killWorker[1]) ?? 0 : 1
            guard who != "own" || surroundings.server.map({ !$0.workers.isEmpty }) == true else {
                throw ValidationError("'--kill-worker own': the server has no worker of its own here.")
            }
        }
        try warmUp(target)
        var reports: [LoadReport] = []
        if !json { show(LoadReport.heading) }
        for (index, streams) in levels.enumerated() {
            let rounds = mixed ? [profiles] : profiles.map { [$0] }
            for (round, profiles) in rounds.enumerated() {
                let level = index * rounds.count + round
                let requests = makeRequests(level, requests ?? max(8, 4 * streams), profiles)
                let expected = check ? try askAlone(requests, target) : [:]
                let name = profiles.map { $0 ?? "default" }.joined(separator: "+")
                var report = LoadLevel(streams: streams, profile: name, target: target, requests: requests)
                    .run(surroundings)
                if check { report.compare(with: expected) }
                reports.append(report)
                if !json { show(report.line) }
                for (reason, count) in report.failures.sorted(by: { $0.key < $1.key }) {
                    standardError("\(count) failed: \(reason)")
                }
                for text in report.wrong { standardError("wrong: \(text)") }
            }
        }
        if json { print(JSON.object([.init("levels", .array(reports.map(\.json)))]).text) }
        if !reports.allSatisfy(\.isClean) { throw ExitCode.failure }
    }

    /// Prints without buffering, also into a file, so that completed levels are there after an interruption.
    private func show(_ text: String) { FileHandle.standardOutput.write(Data("\(text)\n".utf8)) }

    private func makeRequests(_ level: Int, _ count: Int, _ profiles: [String?]) -> [LoadRequest] {
        var random = LoadRandom(seed: UInt64(level))
        return (0..<count).map { number in
            let isCut = Double.random(in: 0..<1, using: &random) < cancel
            let cutAfter = Int.random(in: 0..<maxTokens, using: &random)
            return LoadRequest(
                number: number, profile: profiles[number % profiles.count],
                prompt: LoadPrompt(
                    seed: UInt64(level * 1_000_003 + number + 1), length: promptTokens, vocabulary: vocabulary
                ),
                maximumTokens: maxTokens, cutAfter: isCut ? cutAfter : nil)
        }
    }

    /// Sends a request to each profile, so that the first level finds the server in the same state as the others.
    private func warmUp(_ target: LoadTarget) throws {
        for profile in profiles {
            let request = LoadRequest(
                number: 0, profile: profile,
                prompt: LoadPrompt(seed: 0, length: promptTokens, vocabulary: vocabulary),
                maximumTokens: maxTokens, cutAfter: nil)
            if case .failed(let reason) = LoadClient(target).ask(request).outcome {
                throw ValidationError("\(url) does not answer: \(reason).")
            }
        }
    }

    /// The answers to requests while no other request is computed, by the requests' numbers; those that will be cut
    /// off are left out.
    private func askAlone(_ requests: [LoadRequest], _ target: LoadTarget) throws -> [Int: LoadAnswer] {
        let client = LoadClient(target)
        var answers: [Int: LoadAnswer] = [:]
        for request in requests where request.cutAfter == nil {
            // Each request gets a salt of its own, so that it is not continued from what was computed before.
            let result = client.ask(request, salt: "alone \(UUID().uuidString)")
            if case .failed(let reason) = result.outcome {
                throw ValidationError("a request alone has failed: \(reason).")
            }
            answers[request.number] = result.answer
            if answers.count % 100 == 0 { standardError("asked \(answers.count) alone") }
        }
        return answers
    }
}
