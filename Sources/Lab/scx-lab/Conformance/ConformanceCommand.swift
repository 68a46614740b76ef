import ArgumentParser
import Foundation
import SCXInference
import SCXLink
import SCXOptions

#if Network
    import SCXLinkTLS
#endif

/// Checks that a worker keeps the protocol.
struct ConformanceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conformance",
        abstract: "Check that a worker does all that docs/protocol.md demands.",
        discussion: """
            Asks a running worker, or one that it starts, for everything in docs/protocol.md: each kind of request, with its \
            answer compared to one that is computed here from the same model; each limit; each kind of malformed frame; \
            several sessions at once; death and restart. Answers in integers must be identical, answers in float32 within \
            '--tolerance'. It is meant for whoever writes a worker (docs/workers.md). The exit status is 1 when a check failed.

            COMMAND of '--start' is one program with its arguments; a shell reads it. '{}' in it stands for the path of a Unix \
            socket, where it must listen: 'my-worker --model DIR --listen unix:{}'. Without '--start' the checks of death and \
            restart are skipped.

            \(ConformanceGroup.allCases.map { "\($0.rawValue): \($0.summary)" }.joined(separator: "\n"))
            """)

    @OptionGroup var loaded: ModelFlags

    @Option(help: "Where the worker listens: unix:PATH, or tcp://HOST:PORT with TLS.")
    var worker: String?

    @Option(help: "Start the worker, and kill it for the checks of group restart.")
    var start: String?

    @OptionGroup var tls: TLSFlags

    @Option(
        help: ArgumentHelp(
            "Make only these checks: numbers and groups, separated by commas. (default: all)",
            valueName: "checks"))
    var only: String?

    @Option(help: "Seconds that the worker may take for anything.")
    var patience = 60

    @Option(
        help: """
            The largest difference of float32 numbers, as a share of the largest in an answer. (default: by the worker's \
            weights: f32 0.0001, bf16 and int8 0.05, others 0.1)
            """)
    var tolerance: Double?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard worker != nil || start != nil else {
            throw ValidationError(
                "'--worker' is missing, which says where the worker listens; or start one with '--start'.")
        }
        guard worker != nil || start?.contains("{}") == true else {
            throw ValidationError("'--start' without '{}' for the path of a socket needs '--worker', too.")
        }
        if let worker {
            guard let address = LinkAddress(worker) else {
                throw ValidationError("'--worker \(worker)' is neither unix:PATH nor tcp://HOST:PORT.")
            }
            if case .tcp = address { _ = try tls.paths() }
        }
        guard (1...86_400).contains(patience) else {
            throw ValidationError("'--patience \(patience)' is not a number of seconds from 1 to 86400.")
        }
        if let tolerance, !(tolerance > 0 && tolerance < 1) {
            throw ValidationError("'--tolerance \(tolerance)' is not a share between 0 and 1.")
        }
        _ = try checks()
    }

    /// The checks that `--only` names, by their numbers.
    private func checks() throws -> [ConformanceCheck] {
        guard let only else { return ConformanceCheck.all }
        let names = only.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        for name in names
        where !ConformanceCheck.all.contains(where: { "\($0.number)" == name || $0.group.rawValue == name }) {
            let groups = ConformanceGroup.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("'--only \(name)' is neither the number of a check nor a group: \(groups).")
        }
        guard !names.isEmpty else { throw ValidationError("'--only' names no check.") }
        return ConformanceCheck.all.filter {
            names.contains("\($0.number)") || names.contains($0.group.rawValue)
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        // The socket's path must be short, and go into a shell's command.
        let folder = "/tmp/scx-conformance-\(getpid())"
        if start != nil {
            do {
                try FileManager.default.createDirectory(
                    atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700]
                )
            } catch { throw ValidationError("'\(folder)' cannot be made, or is there already.") }
        }
        defer { if start != nil { try? FileManager.default.removeItem(atPath: folder) } }
        let place = try place(socket: "\(folder)/worker")
        var settings = ConformanceSubject.Settings(place: place)
        settings.patience = .seconds(patience)
        settings.tolerance = tolerance
        let process = start.map { command in
            LabProcess(
                "worker", program: "/bin/sh",
                arguments: ["-c", "exec " + command.replacing("{}", with: "\(folder)/worker")], logs: folder)
        }
        defer { process?.kill() }
        if let process {
            try process.start()
            try place.waitForWorker(process, patience: settings.patience)
            settings.process = process
        }
        let subject = try ConformanceSubject(settings, checkpoint, pool: loaded.pool)
        let checks = try checks()
        var progress = ProgressLine("checking")
        let report = ConformanceReport(checks, of: subject) { check, done in
            progress.show(Double(done) / Double(checks.count), note: "\(check.number) \(check.name)")
        }
        progress.finish()
        print(json ? report.json.text : report.table)
        guard report.isClean else { throw ExitCode.failure }
    }

    private func place(socket: String) throws -> TestedPlace {
        let address = worker.flatMap { LinkAddress($0) } ?? .unix(path: socket)
        #if Network
            var identity: TLSIdentity?
            if case .tcp = address {
                let paths = try tls.paths()
                identity = try TLSIdentity(
                    certificate: paths.certificate, key: paths.key, trusted: paths.trusted)
            }
            return TestedPlace(address: address, identity: identity)
        #else
            return TestedPlace(address: address)
        #endif
    }
}
