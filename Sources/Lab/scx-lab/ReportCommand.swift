import ArgumentParser
import Foundation
import SCXInference
import SCXOptions

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Records profiles, attacks what was recorded, and says what was recovered.",
        discussion: """
            Prompts are cut from a text and answered through a real worker's recorder; every attack has the transcript, \
            the model directory and the marks of the chat template. Writes report.json and report.html, a page that \
            needs nothing else. Slow attacks run on fewer prompts, and the report says on how many.
            """)

    @OptionGroup var loaded: WeightsFlags

    @Option(help: "A text file that prompts are cut from.")
    var text: String

    @Option(help: "Profiles, separated by commas: plain, scx, scx:session, sealed.")
    var profiles = "plain,scx,scx:session,sealed"

    @Option(help: "Prompts of each profile, of different lengths from 32 tokens on.")
    var prompts = 20

    @Option(help: "Tokens of the longest prompt, 32 to 128.")
    var longest = 128

    @Flag(help: "Leave hardened settings of scx out.")
    var brief = false

    @Option(help: "Chooses the prompts.")
    var seed: UInt64 = 1

    @Option(help: "Where to write.")
    var out: String

    @Option(help: "Also write the tables as Markdown; a file that is there is gone on with.")
    var markdown: String?

    @Flag(help: "Keep the transcripts in OUT/transcripts, with what is true in truth.txt.")
    var keep = false

    func validate() throws {
        guard (1...96).contains(prompts) else {
            throw ValidationError("'--prompts' takes 1 to 96.")
        }
        guard (32...128).contains(longest) else {
            throw ValidationError("'--longest' takes 32 to 128.")
        }
    }

    func run() throws {
        let pool = loaded.pool
        try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        var report = try ReportRun(
            model: loaded.directory(), text: text, prompts: prompts, longest: longest, isBrief: brief,
            format: loaded.weights,
            seed: seed, pool: pool, folder: "\(out)/transcripts", keeps: keep
        ) { standardError($0) }
        let names = profiles.split(separator: ",").map(String.init)
        guard !names.isEmpty, let cases = report.plan.cases(profiles: names) else {
            throw ValidationError(
                "'--profiles \(profiles)' is not a list of plain, scx, scx:session and sealed.")
        }
        try report.run(cases)
        try write(report.result.json.text + "\n", "\(out)/report.json")
        try write(report.result.html, "\(out)/report.html")
        if let markdown {
            let before = (try? String(contentsOfFile: markdown, encoding: .utf8)) ?? ReportResult.markdownHead
            try write(before + report.result.markdown + "\n", markdown)
        }
    }

    private func write(_ text: String, _ path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
}
