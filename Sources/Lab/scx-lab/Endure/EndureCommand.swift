import ArgumentParser
import Foundation
import SCXInference
import SCXOptions
import SCXProfiles

struct EndureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "endure",
        abstract: "Answer many requests in profile sealed while its processes are killed.",
        discussion: """
            Starts main workers, a peer and 'scx serve', asks conversations of two turns from many streams at once, and \
            kills processes at random moments of a seed with SIGKILL; each is started again. Processes have a thread each unless '--threads' says more. Every answer, with its \
            log-probabilities, must be that of profile fixed-point, which is asked first. With '--kill-trusted' the \
            server is killed, too: it then has a bank of pads on disk, which is filled again now and then. With '--record' \
            main workers write down all that they receive, of all their lives, and rows that are equal or near each other \
            are looked for in it, as attack pad-reuse does. Memory is the server's. The exit status says whether every \
            answer was right and no row came twice.
            """)

    @OptionGroup var loaded: ModelFlags

    @Option(help: "Requests, two for each conversation.")
    var requests = 1000

    @Option(help: "Requests at once.")
    var streams = 64

    @Option(help: "Kills in all.")
    var kills = 40

    @Flag(help: "Kill the server, too.")
    var killTrusted = false

    @Flag(help: "Record what main workers receive, and look for pads that were used twice.")
    var record = false

    @Option(help: "Main workers.")
    var workers = 2

    @Flag(help: "Let the server multiply pads itself when the peer is away.")
    var direct = false

    @Option(help: "Tokens that the bank on disk is filled for, with '--kill-trusted'.")
    var bankTokens = 600

    @Option(help: "Tokens of a question, about.")
    var promptTokens = 32

    @Option(help: "Tokens of an answer.")
    var maxTokens = 24

    @Option(help: "Chooses questions, victims and moments.")
    var seed: UInt64 = 1

    @Option(help: "A new folder for sockets, logs and recordings, which stays. (default: a temporary one)")
    var folder: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        func check(_ holds: Bool, _ text: String) throws {
            guard holds else { throw ValidationError(text) }
        }
        try check(
            (2...1_000_000).contains(requests), "'--requests \(requests)' is out of range: 2 to 1000000.")
        try check((1...1024).contains(streams), "'--streams \(streams)' is out of range: 1 to 1024.")
        try check((0...100_000).contains(kills), "'--kills \(kills)' is out of range: 0 to 100000.")
        try check((1...16).contains(workers), "'--workers \(workers)' is out of range: 1 to 16.")
        try check(
            (1...100_000).contains(bankTokens), "'--bank-tokens \(bankTokens)' is out of range: 1 to 100000.")
        try check(
            (1...10_000).contains(promptTokens) && (1...10_000).contains(maxTokens),
            "'--prompt-tokens' or '--max-tokens' is out of range: 1 to 10000.")
    }

    func run() throws {
        var settings = EndureRun.Settings()
        let files = FileManager.default
        let place =
            folder ?? files.temporaryDirectory.appending(path: "scx-endure-\(getpid())").path
        do {
            try files.createDirectory(
                atPath: place, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        } catch {
            throw ValidationError("'\(place)' cannot be made, or is there already.")
        }
        defer { if folder == nil { try? files.removeItem(atPath: place) } }
        (settings.model, settings.folder) = (try loaded.directory(), place)
        (settings.requests, settings.streams, settings.kills) = (requests, streams, kills)
        (settings.killsTrusted, settings.records, settings.usesDirect) = (killTrusted, record, direct)
        (settings.workers, settings.threads, settings.bankTokens) = (
            workers, loaded.threads ?? 1, bankTokens
        )
        (settings.promptTokens, settings.maxTokens, settings.seed) = (promptTokens, maxTokens, seed)
        let report = try EndureRun(settings).run { standardError($0) }
        for line in (report.answers.wrong + report.answers.lost).prefix(10) { standardError(line) }
        print(json ? report.json.text : report.text)
        if !report.isClean { throw ExitCode.failure }
    }
}
