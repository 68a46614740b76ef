import Foundation
import SCXAttacks
import SCXInference

extension ReportResult {
    /// The report as one page that loads no other files.
    package var html: String {
        let summary = """
            <p>Model <b>\(escaped(model))</b>: \(configuration.blockCount) blocks, \
            \(configuration.hiddenSize) channels, a vocabulary of \(configuration.vocabularySize); weights \
            \(weights). Prompts are cut from \(escaped(text)) (seed \(seed)). Attacks had a worker's transcript, the \
            public model and what everybody knows of a prompt, which is not counted. Intervals are Wilson's, \
            95 %. “guessing” is what the model alone would write: the level of chance. \
            All took \(Int(seconds)) seconds.</p>
            """
        let curves =
            [
                ReportChart(
                    title: "scx: prompt length", x: "tokens of the prompt", lines: lengthCurve("scx"))
            ]
            + ["noise scale", "protected blocks at each end", "redundant rows", "generated tokens"].map {
                ReportChart(title: "scx: \($0)", x: $0, lines: curve($0))
            }
        let games = games.map { game in
            [
                ReportTable.Cell(game.name),
                ReportTable.Cell(ReportTable.interval(game.share), share: max(0, 2 * game.share.value - 1)),
            ]
        }
        let parts = [
            summary, "<h2>Profiles and attacks</h2>",
            ReportTable.overview(cases(.profiles) + cases(.pad)).html,
            "<h2>Recovery</h2><div class='charts'>\(curves.map(\.svg).joined())</div>",
            "<h2>Hardened settings of scx</h2>", ReportTable.best(cases(.hardened)).html,
            "<h2>scx, block by block</h2>", ReportTable.overview(cases(.layers)).html,
            "<h2>Two texts told apart</h2><p>By chance 50 %.</p>",
            ReportTable(head: ["profile", "told right (95 %)"], rows: games).html,
            "<h2>Lengths, which sealed does not hide</h2>",
            ReportTable.lengths(cases(.lengths), context: configuration.maximumLength).html,
            "<h2>Positive controls</h2>", ReportTable.controls(cases(.controls)).html,
            "<h2>Case by case</h2>", cases.map(details).joined(),
        ]
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>What a worker can read: \(escaped(model))</title><style>\(style)</style></head>
            <body><h1>What a worker can read</h1>
            \(parts.joined(separator: "\n"))
            </body></html>

            """
    }

    private func details(_ one: ReportCaseResult) -> String {
        let traffic = one.traffic.map {
            [
                ReportTable.Cell("\($0.kind)"), ReportTable.Cell("\($0.messages)"),
                ReportTable.Cell("\($0.bytes)"),
            ]
        }
        let correlation = one.distanceCorrelation.map {
            String(format: "Distance correlation of the first block's values with the embeddings: %.3f. ", $0)
        }
        return """
            <details><summary>\(escaped(one.name))</summary>
            <div class="pair"><div><h3>What the worker saw</h3>\(ReportChart.picture(one.picture))
            \(ReportTable(head: ["kind", "messages", "bytes"], rows: traffic).html)</div>
            <div><h3>What was recovered</h3><p class="text">\(escaped(one.recovered))</p>
            <h3>What it was</h3><p class="text">\(escaped(one.truth))</p></div></div>
            <p>\(correlation ?? "")Recorded in \(String(format: "%.1f", one.recordSeconds)) s.</p>
            \(ReportTable.attacks(one).html)
            \(ReportTable.measures(one).html)</details>
            """
    }

    private var style: String {
        """
        :root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--line:#d0d7de;--a:#0969da;--b:#cf222e;--c:#1a7f37;
        --d:#8250df;--e:#9a6700;--f:#57606a}
        @media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#30363d;--a:#58a6ff;--b:#ff7b72;
        --c:#3fb950;--d:#bc8cff;--e:#d29922;--f:#8b949e}}
        body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1100px;margin:0 auto;
        padding:16px}
        .scroll{overflow-x:auto;margin:8px 0}table{border-collapse:collapse;font-size:13px}
        th,td{border:1px solid var(--line);padding:3px 7px;text-align:left;white-space:nowrap}
        .charts,.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:16px}
        .pair>div{min-width:0}
        figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto}svg text{fill:var(--fg);font-size:11px}
        .grid{stroke:var(--line)}.line{fill:none;stroke-width:2}
        path.s0{stroke:var(--f)}path.s1{stroke:var(--a)}path.s2{stroke:var(--b)}path.s3{stroke:var(--c)}
        path.s4{stroke:var(--d)}path.s5{stroke:var(--e)}
        circle.s0{fill:var(--f)}circle.s1{fill:var(--a)}circle.s2{fill:var(--b)}circle.s3{fill:var(--c)}
        circle.s4{fill:var(--d)}circle.s5{fill:var(--e)}
        .legend span{font-size:13px;margin-right:8px}.legend span:before{content:"● "}
        span.s0{color:var(--f)}span.s1{color:var(--a)}span.s2{color:var(--b)}span.s3{color:var(--c)}
        span.s4{color:var(--d)}span.s5{color:var(--e)}
        .picture{max-width:480px}.n{fill:var(--a)}.p{fill:var(--b)}
        .text{overflow-wrap:anywhere;border-left:3px solid var(--line);padding-left:8px}
        summary{cursor:pointer;font-weight:600;padding:4px 0}h3{font-size:14px;margin:8px 0 4px}
        """
    }
}

extension ReportTable {
    fileprivate var html: String {
        let head = self.head.map { "<th>\(escaped($0))</th>" }.joined()
        let body = rows.map { row in
            "<tr>"
                + row.map { cell in
                    let shade = cell.share.map {
                        String(
                            format: " style='background:color-mix(in srgb,var(--b) %d%%,transparent)'",
                            Int(40 * $0))
                    }
                    return "<td\(shade ?? "")>\(escaped(cell.text))</td>"
                }.joined() + "</tr>"
        }
        return "<div class='scroll'><table><tr>\(head)</tr>\(body.joined())</table></div>"
    }
}
