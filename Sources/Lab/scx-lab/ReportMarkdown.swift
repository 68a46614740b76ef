import Foundation
import SCXInference

extension ReportResult {
    /// The report's tables as a section of `docs/security-results.md`.
    package var markdown: String {
        let lengths = cases(.profiles).first?.lengths ?? []
        var parts = [
            """
            ## \(model): \(configuration.blockCount) blocks, \(configuration.hiddenSize) channels, \
            vocabulary of \(configuration.vocabularySize)

            Text `\(text)`, seed \(seed), weights \(weights), \(lengths.count) prompts of \
            \(lengths.min() ?? 0) to \(lengths.max() ?? 0) tokens with \(cases(.profiles).first?.answer ?? 0) \
            generated after each, noise scale \(noiseScale); \(Int(seconds)) s in all.
            """,
            "### Profiles and attacks", ReportTable.overview(cases(.profiles) + cases(.pad)).markdown,
            """
            The pad's prompts have \(cases(.pad).first?.lengths.map { "\($0)" }.joined(separator: ", ") ?? "no") \
            tokens. Attacks on fewer prompts than all, the shortest: \(fewer).
            """,
        ]
        if !cases(.hardened).isEmpty {
            parts += ["### Hardened settings of `scx`", ReportTable.best(cases(.hardened)).markdown]
        }
        if !cases(.layers).isEmpty {
            parts += [
                "### `scx`, block by block", "The name ends with the block; two prompts of 32 and 33 tokens.",
                ReportTable.overview(cases(.layers)).markdown,
            ]
        }
        let told = games.map {
            [ReportTable.Cell($0.name), ReportTable.Cell(ReportTable.interval($0.share))]
        }
        if !told.isEmpty {
            parts += [
                "### Two texts told apart",
                "24 sessions of 16 tokens with each text, half to learn from; 50 % is chance.",
                ReportTable(head: ["profile", "told right (95 %)"], rows: told).markdown,
            ]
        }
        if !cases(.controls).isEmpty {
            parts += ["### Positive controls", ReportTable.controls(cases(.controls)).markdown]
        }
        for one in cases(.pad) {
            parts += ["### Integers of the one-time pad", ReportTable.measures(one).integers.markdown]
        }
        for one in cases(.profiles) where one.name == "sealed" {
            parts += ["### Integers of `sealed`", ReportTable.measures(one).integers.markdown]
        }
        if !cases(.lengths).isEmpty {
            parts += [
                "### Lengths, which `sealed` does not hide",
                """
                Bits learnt are those of a number from 1 to the context's \(configuration.maximumLength) tokens. By time: a \
                line through the trusted side's times in sessions of the attacker's own.
                """,
                ReportTable.lengths(cases(.lengths), context: configuration.maximumLength).markdown,
            ]
        }
        return parts.joined(separator: "\n\n") + "\n"
    }

    /// The text above the sections.
    package static let markdownHead = """
        # What a worker can read

        `scx-lab report` made all tables of this page; none of the figures is written by hand. \
        [threat-model.md](threat-model.md#the-attacks-by-name) says in one line what each attack does.

        - **What the attacks had**: the transcripts that a worker's recorder wrote, the public model, and what \
        everybody knows of a prompt (the beginning of the text, the chat template). Known tokens are not counted. \
        The attacks are those of `Sources/Untrusted/SCXAttacks`.
        - **What is counted**: the share of tokens that were found at their right positions, or, after “set:”, of \
        tokens found at all; in brackets is the 95 % confidence interval (Wilson).
        - **The level of chance**: “guessing” is what the model alone would write, without the transcript.
        - Attacks that see only the prompt, such as `scores` and `kv-inversion`, or only the answer, such as \
        `logit-lens`, cannot reach 100 %, since both are counted.
        - A dash means that the transcript has nothing of the kind that the attack uses.

        The commands:

            scx-lab report --model Models/ward-3m --text F --out DIR --markdown FILE
            scx-lab synth --shape tiny-32k --seed 1 --out M
            scx-lab report --model M --text F --profiles plain,scx --prompts 2 --longest 40 --brief --out DIR --markdown FILE


        """

    private var fewer: String {
        guard let one = cases(.profiles).max(by: { $0.lengths.count < $1.lengths.count }) else {
            return "none"
        }
        let rows = cases(.profiles).flatMap(\.rows)
        let limited = rows.filter { $0.refusal == nil && $0.sessions < one.lengths.count }
        var names: [String] = []
        for row in limited where !names.contains("\(row.attack) (\(row.sessions))") {
            names.append("\(row.attack) (\(row.sessions))")
        }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }
}

extension ReportTable {
    fileprivate var integers: ReportTable {
        ReportTable(
            head: head,
            rows: rows.filter { ["uniformity", "pad-reuse", "pad-span"].contains($0.first?.text) })
    }

    fileprivate var markdown: String {
        func line(_ cells: [String]) -> String {
            "| " + cells.map { $0.replacingOccurrences(of: "|", with: "\\|") }.joined(separator: " | ") + " |"
        }
        return ([line(head), line(head.map { _ in "---" })] + rows.map { line($0.map(\.text)) })
            .joined(separator: "\n")
    }
}
