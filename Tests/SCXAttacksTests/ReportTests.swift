import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import Testing
import scx_lab

@Suite("The laboratory's report")
struct ReportTests {
    /// A file with text to cut prompts from, in a folder of its own.
    private func withText(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "report-\(UUID().uuidString)")
            .path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let words = (0..<60).map {
            "Patient \($0) has <asthma> & takes salbutamol \($0 * 7 % 13) times a day. "
        }
        try words.joined().write(toFile: "\(folder)/text.txt", atomically: true, encoding: .utf8)
        try body("\(folder)/text.txt")
    }

    /// A report on the bundled model, and the folder that it writes to.
    private func withReport(_ body: (inout ReportRun, String) throws -> Void) throws {
        try withText { text in
            let folder = URL(filePath: text).deletingLastPathComponent().path
            var report = try ReportRun(
                model: "\(AttackFixture.root)/Models/ward-3m", text: text, prompts: 2, format: .f32, seed: 1,
                pool: AttackFixture.pool, folder: "\(folder)/transcripts", keeps: true, log: { _ in })
            try body(&report, folder)
        }
    }

    /// The cases of these names with short prompts and these attacks.
    private func cases(
        _ report: ReportRun, _ names: [String], _ attacks: [any Attack]
    ) throws -> [ReportCase] {
        let all = try #require(report.plan.cases(profiles: ["plain", "scx", "scx:session"]))
        return all.filter { names.contains($0.name) }.map { one in
            var small = ReportCase(one.name, one.group, one.encoding, lengths: [14, 16], attacks: attacks)
            (small.answer, small.points) = (2, one.points)
            return small
        }
    }

    @Test("A small one has rows that say what was recovered, in JSON, HTML and Markdown")
    func reports() throws {
        try withReport { report, folder in
            let attacks: [any Attack] = [
                Guessing(), NearestInput(), SortedValues(), VocabularyMatching(.middle), TrafficAnalysis(),
            ]
            try report.run(cases(report, ["plain", "scx", "scx:session"], attacks), games: false)
            let result = report.result
            #expect(result.cases.map(\.name) == ["plain", "scx", "scx:session"])
            #expect(result.cases.allSatisfy { $0.best?.exact.value == 1 && $0.rows.count == 5 })
            #expect(result.cases[0].rows[2].refusal != nil)
            // The answer is real: a generated token for each that was asked.
            #expect(result.cases[1].rows[2].exact.trials == 14 + 16 + 4 - 2 * 7)
            #expect(result.cases[1].recovered == result.cases[1].truth && !result.cases[1].truth.isEmpty)

            let json = try JSON(parsing: result.json.text)
            #expect(json["model"] == "ward-3m" && json["cases"]?.array?.count == 3)
            let row = json["cases"]?.array?[1]["rows"]?.array?[2]
            #expect(row?["attack"] == "sorted-values" && row?["exact"]?["share"]?.double == 1)
            #expect(result.markdown.contains("| sorted-values | – | 100.0 % ("))

            let page = result.html
            for reference in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
                #expect(!page.contains(reference), "\(reference)")
            }
            #expect(page.contains("&lt;|begin|&gt;") && !page.contains("<|begin"))
            #expect(page.contains("<svg") && page.contains("prefers-color-scheme"))
            #expect(FileManager.default.fileExists(atPath: "\(folder)/transcripts/scx/truth.txt"))
        }
    }

    @Test(
        "Profile sealed has its lengths in a table of their own, and weaker pads fall",
        .enabled(if: isOptimized))
    func reportsSealed() throws {
        try withReport { report, _ in
            let all = try #require(report.plan.cases(profiles: ["sealed"]))
            let names: Set = [
                "sealed", "sealed, exact rows", "sealed, rows in powers of two",
                "integers, one pad for all rows of a request",
            ]
            let small = all.filter { names.contains($0.name) }.map { one in
                var small = ReportCase(
                    one.name, one.group, one.encoding, lengths: [20, 22],
                    attacks: one.group == .profiles ? [Guessing(), NearestInput(), PadReuse()] : one.attacks)
                (small.answer, small.ownLengths) = (one.group == .controls ? 0 : 2, one.ownLengths)
                return small
            }
            #expect(small.count == 4)
            try report.run(small, games: false)
            let result = report.result
            let sealed = try #require(result.cases.first { $0.name == "sealed" })
            #expect(sealed.rows.allSatisfy { $0.refusal == nil && $0.exact.value < 0.5 })
            let weak = try #require(result.cases(.controls).first?.rows.first { $0.attack == "pad-reuse" })
            #expect(weak.exact.value == 1)
            let page = result.markdown
            #expect(page.contains("| sealed, exact rows | prompt tokens | 100.0 % ("))
            #expect(page.contains("| sealed, rows in powers of two | prompt tokens | 0.0 % ("))
            #expect(page.contains("| sealed, rows in powers of two | prompt tokens, by time |"))
            #expect(result.html.contains("Lengths, which sealed does not hide"))
        }
    }

    @Test("The same seed cuts the same prompts, with the template around them")
    func repeatsPrompts() throws {
        try withText { text in
            let checkpoint = try Checkpoint(directory: "\(AttackFixture.root)/Models/ward-3m")
            func prompts(_ seed: UInt64) throws -> [[Int32]] {
                let prompts = try ReportPrompts(
                    model: checkpoint.directory, checkpoint.configuration, text: text, seed: seed)
                return try (0..<2).map { try prompts.prompt(length: 32 + $0, number: $0) }
            }
            let first = try prompts(1)
            #expect(try first == prompts(1) && first != prompts(2))
            #expect(first[0].prefix(3) == [0, 3, 203] && first[0].count == 32)
        }
    }

    @Test("Every attack has a control, and profiles that do not exist have no cases")
    func plans() throws {
        let plan = ReportPlan(blocks: 5, prompts: 20, noiseScale: 1, knownTokens: 7)
        let all = try #require(plan.cases(profiles: ["plain", "scx", "scx:session", "sealed"]))
        let controlled = Set(all.filter { $0.group == .controls }.flatMap(\.attacks).map(\.name))
        // What gives no tokens is tried on the pad and on profile sealed.
        let others: Set = ["traffic", "uniformity", "length", "acceptance", "commonest"]
        #expect(Set(Attacks.all(blocks: 5).map(\.name)).subtracting(controlled) == others)
        let lengths = try #require(all.first?.lengths)
        #expect(lengths.count == 20 && Set(lengths).count == 20)
        #expect(lengths.first == 32 && lengths.last == 128)
        #expect(plan.cases(profiles: ["plain", "unsealed"]) == nil)
    }

    @Test("A transcript that was cut off is one clear line")
    func cutOff() throws {
        try withReport { report, folder in
            try report.run(cases(report, ["scx"], [NearestInput()]), games: false)
            let directory = "\(folder)/transcripts/scx"
            let one = try #require(try cases(report, ["scx"], [NearestInput()]).first)
            for file in ["transcript.jsonl", "transcript.bin"] {
                let path = URL(filePath: "\(directory)/\(file)")
                let whole = try Data(contentsOf: path)
                // Not between two lines: what is left would be a whole transcript.
                let end = whole.count * 2 / 3
                try whole.prefix(whole[end - 1] == 0x0A ? end - 1 : end).write(to: path)
                let error = #expect(throws: (any Error).self) {
                    _ = try report.attackAgain(one, directory)
                }
                let text = error.map { "\($0)" } ?? ""
                #expect(text.contains("transcript") && !text.contains("\n"))
                try whole.write(to: path)
            }
        }
    }
}
