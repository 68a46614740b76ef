import Foundation
import SCXAttestation
import SCXInference

/// The state of a proxy, as `/health` and the page show it.
struct ProxyReport {
    let address: UpstreamAddress
    let trust: TrustState
    /// What the policy leaves open.
    let notes: [String]
    /// Seconds between verifications.
    let interval: Int

    var json: JSON {
        var members: [JSON.Member] = [
            .init("upstream", .string("\(address)")), .init("verify_every", .int(interval)),
        ]
        func lines(_ texts: [String]) -> JSON { .array(texts.map { .string($0) }) }
        switch trust {
        case .unverified: members.insert(.init("status", "unverified"), at: 0)
        case .refused(let refused):
            members.insert(.init("status", "refused"), at: 0)
            members += [
                .init("since", .string("\(refused.since)")), .init("checked", .string("\(refused.checked)")),
                .init("failures", Self.failures(refused)),
            ]
        case .accepted(let accepted):
            members.insert(.init("status", "accepted"), at: 0)
            let statement = accepted.server.statement
            members += [
                .init("since", .string("\(accepted.since)")),
                .init("checked", .string("\(accepted.checked)")),
                .init("measurement", .string(Hex.text(accepted.server.evidence.evidence.measurement))),
                .init("key", .string(Hex.text(accepted.keyDigest))),
                .init(
                    "statement",
                    [
                        "software": .string(statement.software), "revision": .string(statement.revision),
                        "model": .string(statement.model), "model_digest": .string(statement.modelDigest),
                        "profiles": lines(statement.profiles), "workers": lines(statement.workers),
                        "peers": lines(statement.peers),
                    ]),
            ]
        }
        members.append(.init("policy_leaves_open", lines(notes)))
        return .object(members)
    }

    /// The failures of a refusal; one without a number where there was no connection.
    static func failures(_ refused: TrustState.Refused) -> JSON {
        var all: [JSON] = refused.failures.map { failure in
            [
                "number": .int(failure.check.number), "check": .string(failure.check.rawValue),
                "line": .string(failure.detail),
            ]
        }
        if let fault = refused.fault { all.append(["line": .string("no connection: \(fault)")]) }
        return .array(all)
    }

    /// A page without scripts, which loads nothing and asks for itself again.
    var page: String {
        var rows: [(String, String)] = [("server", "\(address)")]
        let verdict: String
        var lines: [String] = []
        switch trust {
        case .unverified: verdict = "not verified yet"
        case .refused(let refused):
            verdict = "refused"
            rows += [("since", "\(refused.since)"), ("last check", "\(refused.checked)")]
            lines = refused.lines
        case .accepted(let accepted):
            verdict = "accepted"
            let statement = accepted.server.statement
            rows += [
                ("since", "\(accepted.since)"), ("last check", "\(accepted.checked)"),
                ("measurement", Hex.text(accepted.server.evidence.evidence.measurement)),
                ("key", Hex.text(accepted.keyDigest)), ("software", statement.software),
                ("revision", statement.revision), ("model", statement.model),
                ("model digest", statement.modelDigest),
                ("profiles", statement.profiles.joined(separator: ", ")),
                ("workers", statement.workers.isEmpty ? "none" : statement.workers.joined(separator: ", ")),
                ("peers", statement.peers.isEmpty ? "none" : statement.peers.joined(separator: ", ")),
            ]
        }
        rows.append(("next check", "\(interval) seconds after the last, and on every new connection"))
        let table = rows.map { "<tr><th>\(Self.escaped($0))</th><td>\(Self.escaped($1))</td></tr>" }.joined()
        func list(_ title: String, _ items: [String]) -> String {
            items.isEmpty
                ? "" : "<h2>\(title)</h2><ul>\(items.map { "<li>\(Self.escaped($0))</li>" }.joined())</ul>"
        }
        return """
            <!doctype html><html lang="en"><head><meta charset="utf-8"><title>scx proxy: \(verdict)</title>
            <meta http-equiv="refresh" content="10"><style>\(Self.style)</style></head>
            <body><h1>scx proxy: the server is \(verdict)</h1>
            <table>\(table)</table>\(list("Checks that do not hold", lines))\(list("What the policy leaves open", notes))
            <p>OpenAI clients use this address with <code>/v1</code> as their base URL. Nothing is sent to a server that is not \
            accepted. The state as JSON: <code>/health</code>.</p></body></html>

            """
    }

    private static let style = """
        body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
        th{text-align:left;padding-right:2em;vertical-align:top;font-weight:normal;color:#555}\
        td{font-family:monospace;overflow-wrap:anywhere}
        """

    /// Sent with the page: it may load nothing, and no other page may show it.
    static let pageHeaders: [(name: String, value: String)] = [
        ("content-type", "text/html; charset=utf-8"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"), ("cache-control", "no-store"),
    ]

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { escaped, character in
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.append(character)
            }
        }
    }
}
