import ArgumentParser
import Foundation
import SCXEngine
import SCXInference
import Synchronization

struct AttackServerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attack-server",
        abstract: "Try to stop a server's other clients, and measure how they fare.",
        discussion: """
            Small requests are timed without an attack, then beside each; '/health' is asked meanwhile. 'memory' is \
            what the server's processes hold before an attack and when all is over. Attacks only servers of this \
            machine. The exit status says whether the server lives and all other clients were answered.
            """)

    @Option(help: "The server, over plain HTTP.")
    var url: String?

    @Flag(help: "Start a server, and end it afterwards.")
    var start = false

    @Option(help: "With '--start', the model's directory.")
    var model = "Models/ward-3m"

    @Option(help: "With '--start', more arguments for 'scx serve', in one text.")
    var serve = "--profile plain"

    @Option(help: "Attacks, separated by commas. (default: all)")
    var attacks: String?

    @Option(help: "Seconds of each attack.")
    var seconds = 10.0

    @Option(help: "Other clients.")
    var victims = 2

    @Option(help: "API key.")
    var apiKey: String?

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "Print the attacks' names.")
    var list = false

    private var chosen: [any ServerAttack] {
        guard let names = attacks?.split(separator: ",") else { return ServerAttacks.all }
        return ServerAttacks.all.filter { attack in names.contains { $0 == attack.name } }
    }

    func validate() throws {
        guard !list else { return }
        guard (url == nil) == start else { throw ValidationError("give '--url' or '--start'.") }
        if let url {
            guard let target = LoadTarget(url: url, model: nil, key: apiKey), Self.isLoopback(target.host)
            else {
                throw ValidationError("'--url \(url)' is not http://HOST:PORT of this machine.")
            }
        }
        guard attacks == nil || chosen.count == attacks?.split(separator: ",").count else {
            let names = ServerAttacks.all.map(\.name).joined(separator: ", ")
            throw ValidationError("'--attacks' has other names than \(names).")
        }
        guard (1...600).contains(seconds), (1...64).contains(victims) else {
            throw ValidationError("'--seconds' is 1 to 600, '--victims' 1 to 64.")
        }
    }

    private static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || host.hasPrefix("127.")
    }

    func run() throws {
        if list {
            for attack in ServerAttacks.all { print("\(attack.name): \(attack.purpose)") }
            return
        }
        let arguments = serve.split(separator: " ").map { String($0) }
        let own = start ? try StartedServer(model: model, arguments: arguments) : nil
        let url = url ?? "http://127.0.0.1:\(own?.port ?? 0)"
        guard let target = LoadTarget(url: url, model: nil, key: apiKey) else { return }
        let server = LoadServer(listeningOn: target.port)
        _ = Victims(target, clients: victims).ask(seconds: 2)
        var reports: [AttackReport] = []
        if !json { show(AttackReport.heading) }
        for attack in chosen {
            let report = try run(attack, target, server)
            reports.append(report)
            if !json { show(report.lines) }
        }
        if json { print(JSON.object([.init("attacks", .array(reports.map(\.json)))]).text) }
        if own?.isRunning == false || !reports.allSatisfy(\.isClean) { throw ExitCode.failure }
    }

    private func show(_ text: String) { FileHandle.standardOutput.write(Data("\(text)\n".utf8)) }

    private func run(
        _ attack: any ServerAttack, _ target: LoadTarget, _ server: LoadServer?
    ) throws -> AttackReport {
        var report = AttackReport(attack: attack.name)
        report.before = Victims(target, clients: victims).ask(seconds: min(seconds, 5))
        report.memoryBefore = server?.memory?.total
        let isOver = Mutex(false)
        let outcomes = Mutex<[String: Int]>([:])
        let group = DispatchGroup()
        for _ in 0..<attack.clients {
            group.enter()
            Thread {
                // The threads of a real attacker would run on another machine.
                lowerPriority(Self.attackersNiceness)
                let client = AttackClient(target)
                var round = 0
                while !isOver.withLock({ $0 }) {
                    attack.attack(client, round: round)
                    round += 1
                }
                outcomes.withLock { $0.merge(client.outcomes) { $0 + $1 } }
                group.leave()
            }.start()
        }
        Thread.sleep(forTimeInterval: 0.5)
        report.during = Victims(target, clients: victims).ask(seconds: seconds)
        report.memoryDuring = server?.memory?.total
        isOver.withLock { $0 = true }
        group.wait()
        report.outcomes = outcomes.withLock { $0 }
        report.wasIdle = Self.becomesIdle(target)
        report.memoryAfter = Self.restingMemory(server, before: report.memoryBefore)
        return report
    }

    /// The server's memory in bytes at rest.
    ///
    /// The server frees memory some moments after its work is over, so this takes the least of up to eight
    /// measurements, one a second.
    private static func restingMemory(_ server: LoadServer?, before: Int?) -> Int? {
        var least: Int?
        for _ in 0..<8 {
            Thread.sleep(forTimeInterval: 1)
            guard let now = server?.memory?.total else { return nil }
            least = min(least ?? now, now)
            if let before, now <= before + before / 10 { break }
        }
        return least
    }

    /// The niceness of the attack's threads, which lowers their priority below that of the server.
    private static let attackersNiceness: Int32 = 19

    /// Waits up to 30 seconds until the server computes nothing any more; returns whether it does.
    private static func becomesIdle(_ target: LoadTarget) -> Bool {
        for _ in 0..<60 {
            let health = health(target)
            let isIdle = health?["profiles"]?.object?.allSatisfy { profile in
                profile.value["running"]?.int == 0 && profile.value["waiting"]?.int == 0
            }
            if isIdle == true, health?["preparing"]?.int ?? 0 == 0 { return true }
            Thread.sleep(forTimeInterval: 0.5)
        }
        return false
    }

    private static func health(_ target: LoadTarget) -> JSON? {
        do throws(HTTPError) {
            let connection = try HTTPConnection(host: target.host, port: target.port, patience: 10)
            try connection.send("GET", "/health", headers: target.headers(profile: nil))
            _ = try connection.readHead()
            let bytes = try connection.readRest()
            return try? JSON(parsing: bytes.span)
        } catch { return nil }
    }
}
