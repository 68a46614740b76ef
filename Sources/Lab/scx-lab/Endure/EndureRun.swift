import ArgumentParser
import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import Synchronization

/// One endurance run: its processes, its requests, and the kills.
final class EndureRun: Sendable {
    /// What is to be run.
    struct Settings: Sendable {
        var model = ""
        var folder = ""
        var requests = 1000
        var streams = 64
        var promptTokens = 32
        var maxTokens = 24
        var workers = 2
        var threads = 1
        var kills = 40
        var killsTrusted = false
        var records = false
        /// Whether the trusted side may multiply pads, too.
        var usesDirect = false
        /// For how many tokens a bank on disk has pads each time that it is filled.
        var bankTokens = 600
        var seed: UInt64 = 1
    }

    private let settings: Settings
    private let workers: [LabProcess]
    private let peer: LabProcess
    private let trusted: LabProcess
    private let fill: LabProcess
    private let target: LoadTarget
    private let health: EndureHealth
    private let isOver = Atomic(false)

    /// After one in this many kills of the trusted side its bank is filled again.
    private static let killsOfFill = 3
    /// How many seconds a program may take until it serves.
    private static let startTime = 120.0

    /// Prepares a run in an existing folder.
    ///
    /// - Throws: When no port is free.
    init(_ settings: Settings) throws {
        self.settings = settings
        let (folder, model, threads) = (settings.folder, settings.model, "\(settings.threads)")
        func worker(_ name: String, _ more: [String] = []) -> LabProcess {
            LabProcess(
                name, program: "scx-worker",
                arguments: [
                    "--model", model, "--weights", "int8", "--threads", threads, "--listen",
                    "unix:\(folder)/\(name)", "--end-with-input",
                ] + more, logs: folder)
        }
        workers = (0..<settings.workers).map { index in
            worker(
                "worker\(index)",
                settings.records ? ["--record", Self.record(folder, index)] : [])
        }
        peer = worker("peer")
        // No files of this user's own are read or written.
        let own = ["XDG_STATE_HOME": "\(folder)/state", "XDG_CACHE_HOME": "\(folder)/cache"]
        let port = try Self.freePort()
        var arguments = [
            "serve", "--model", model, "--port", "\(port)", "--threads", threads, "--no-page", "--log-level",
            "notice",
            "--pads", "peer:unix:\(folder)/peer",
        ]
        if settings.usesDirect { arguments += ["--pads", "direct"] }
        for index in 0..<settings.workers { arguments += ["--worker", "unix:\(folder)/worker\(index)"] }
        if settings.killsTrusted { arguments += ["--bank", "\(folder)/bank"] }
        trusted = LabProcess(
            "trusted", program: "scx", arguments: arguments, environment: own, logs: folder)
        fill = LabProcess(
            "fill", program: "scx",
            arguments: [
                "pads", "fill", "--model", model, "--count", "\(settings.bankTokens)", "--bank",
                "\(folder)/bank",
                "--threads", threads, "--pad-memory", "4",
            ], environment: own, logs: folder)
        guard let target = LoadTarget(url: "http://127.0.0.1:\(port)", model: nil, key: nil) else {
            throw ValidationError("port \(port) is none.")
        }
        self.target = target
        health = EndureHealth(target)
    }

    private static func record(_ folder: String, _ worker: Int) -> String { "\(folder)/record\(worker)" }

    /// A port on which nobody listened a moment ago.
    private static func freePort() throws -> Int {
        for _ in 0..<100 {
            let port = Int.random(in: 20_000..<32_000)
            if (try? HTTPConnection(host: "127.0.0.1", port: port)) == nil { return port }
        }
        throw ValidationError("no port of 127.0.0.1 is free.")
    }

    /// Runs everything.
    ///
    /// - Parameter say: Called with what is being done.
    /// - Returns: The results.
    /// - Throws: When a program cannot be started, or ends before it serves.
    func run(say: (String) -> Void) throws -> EndureReport {
        defer {
            isOver.store(true, ordering: .releasing)
            for process in workers + [peer, trusted, fill] { process.kill() }
        }
        say("asking profile fixed-point")
        let conversations = try expectedAnswers()
        if settings.killsTrusted { try fillBank() }
        for process in workers + [peer] { try process.start() }
        for process in workers + [peer] { try waitForSocket(process) }
        try startTrusted()

        let plan = EndurePlan(
            count: settings.kills, workers: settings.workers, killsTrusted: settings.killsTrusted,
            seed: settings.seed)
        let load = EndureLoad(conversations, streams: settings.streams, target: target)
        var report = EndureReport()
        report.requests = load.total
        let marks = Mutex<[Int?]>([nil, nil])
        let sampler = Thread { [self] in
            while !isOver.load(ordering: .acquiring) {
                health.sample()
                let finished = load.current.finished
                for (index, part) in [4, 2].enumerated()
                where finished * part >= load.total && marks.withLock({ $0[index] }) == nil {
                    let bytes = memory
                    marks.withLock { $0[index] = bytes }
                }
                Thread.sleep(forTimeInterval: 0.05)
            }
        }
        say("asking profile sealed")
        let start = ContinuousClock.now
        load.allow(0)
        load.start()
        sampler.start()
        for (index, kill) in plan.kills.enumerated() {
            load.allow(Int(kill.after * Double(load.total)) + 2 * settings.streams)
            load.wait(until: Int(kill.after * Double(load.total)))
            Thread.sleep(forTimeInterval: kill.delay)
            try self.kill(kill)
            report.kills.append(kill.victim)
            if (index + 1) % 20 == 0 { say("killed \(index + 1) times, \(load.current.finished) answers") }
        }
        load.allow(.max)
        load.wait(until: load.total)
        report.seconds = (ContinuousClock.now - start) / .seconds(1)
        health.sample()
        report.memory = marks.withLock { $0 } + [memory]
        report.answers = load.current
        report.health = health.counts
        report.tokens = conversations.reduce(0) { $0 + $1.reduce(0) { $0 + $1.answer.tokens } }
        isOver.store(true, ordering: .releasing)
        trusted.terminate()
        for process in workers + [peer] { process.terminate() }
        if settings.records {
            say("looking for equal and near rows")
            report.recorded = try search()
        }
        return report
    }

    private var memory: Int? {
        trusted.number.flatMap { LoadServer(process: $0).memory?.server }
    }

    // MARK: Kills

    private func kill(_ kill: EndurePlan.Kill) throws {
        switch kill.victim {
        case .worker(let index): try killWorker(workers[index], kill.downtime)
        case .peer: try killWorker(peer, kill.downtime)
        case .trusted:
            health.sample()
            trusted.kill()
            health.beginLife()
            Thread.sleep(forTimeInterval: kill.downtime)
            if Int(kill.downtime * 1e6) % Self.killsOfFill == 0 { try fillBank() }
            try startTrusted()
        }
    }

    private func killWorker(_ worker: LabProcess, _ downtime: Double) throws {
        // A process that was killed a moment ago will soon be running again.
        while !worker.kill() { Thread.sleep(forTimeInterval: 0.01) }
        let thread = Thread { [self] in
            Thread.sleep(forTimeInterval: downtime)
            guard !isOver.load(ordering: .acquiring) else { return }
            // It could be started before, so it can be started now.
            try? worker.start()
        }
        thread.start()
    }

    private func waitForSocket(_ worker: LabProcess) throws {
        let deadline = Deadline(after: .seconds(Self.startTime))
        while true {
            do throws(LinkError) {
                try UnixSocket.connect(path: "\(settings.folder)/\(worker.name)", before: deadline).close()
                return
            } catch {
                guard worker.number != nil, deadline.remaining ?? .zero > .zero else {
                    throw ValidationError("\(worker.name) does not serve: \(worker.lastLines)")
                }
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    /// Starts the trusted side and waits until it serves.
    ///
    /// If it ends because it finds no worker at its start, it is started again.
    private func startTrusted() throws {
        let end = Date(timeIntervalSinceNow: Self.startTime)
        while !health.sample() {
            try trusted.start()
            guard Date() < end else {
                throw ValidationError("the trusted side does not serve: \(trusted.lastLines)")
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    private func fillBank() throws {
        try fill.start()
        guard fill.wait() == 0 else { throw ValidationError("no bank of pads: \(fill.lastLines)") }
    }

    // MARK: Requests

    /// Asks profile `fixed-point` for the answers to all requests of the run.
    private func expectedAnswers() throws -> [[EndureLoad.Expected]] {
        let server = LabProcess(
            "fixed-point", program: "scx",
            arguments: [
                "serve", "--model", settings.model, "--port", "\(target.port)", "--profile", "fixed-point",
                "--no-page", "--log-level", "notice",
            ], logs: settings.folder)
        defer { server.terminate() }
        try server.start()
        let end = Date(timeIntervalSinceNow: Self.startTime)
        while !health.sample() {
            guard server.number != nil, Date() < end else {
                throw ValidationError("profile fixed-point does not serve: \(server.lastLines)")
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
        var conversations: [[EndureLoad.Expected]] = Array(repeating: [], count: (settings.requests + 1) / 2)
        for turn in 0..<2 {
            let requests = conversations.indices.filter { 2 * $0 + turn < settings.requests }.map { index in
                var turns = conversations[index].flatMap { [$0.request.question, $0.answer.text] }
                turns.append(Self.question(2 * index + turn, settings))
                return LoadRequest(
                    number: 2 * index + turn, profile: nil, prompt: .turns(turns),
                    maximumTokens: settings.maxTokens, cutAfter: nil, wantsLogprobs: true)
            }
            let report = LoadLevel(
                streams: settings.streams, profile: "fixed-point", target: target, requests: requests
            ).run(LoadLevel.Surroundings())
            if let failure = report.failures.first {
                throw ValidationError("profile fixed-point did not answer: \(failure.key).")
            }
            for result in report.results {
                conversations[result.request.number / 2].append(
                    EndureLoad.Expected(request: result.request, answer: result.answer))
            }
        }
        return conversations
    }

    private static func question(_ number: Int, _ settings: Settings) -> String {
        let prompt = LoadPrompt(
            seed: settings.seed &* 1_000_003 &+ UInt64(number), length: settings.promptTokens, vocabulary: nil
        )
        if case .text(let text) = prompt { return text }
        return ""
    }

    // MARK: Recordings

    /// Looks for rows with the same pad among all rows that main workers received in all their processes.
    private func search() throws -> (rows: Int, repeated: Int) {
        var rows = NearRows()
        for index in workers.indices {
            try rows.add(Transcript(directory: Self.record(settings.folder, index)))
        }
        return (rows.count, rows.repeated)
    }
}

extension LoadRequest {
    /// The last question of the request.
    fileprivate var question: String {
        if case .turns(let turns) = prompt { turns.last ?? "" } else { "" }
    }
}
