import Foundation
import SCXAttestation
import Testing

struct PolicyDraftTests {
    @Test("A policy from evidence accepts that evidence, and none that is older or measured otherwise")
    func fromEvidence() throws {
        let made = try MadeReport()
        let evidence = try #require(try made.appraise().accepted).evidence
        var draft = PolicyDraft(kinds: [])
        draft.takeOver(evidence)
        let policy = try Policy(Array(draft.json().utf8))
        #expect(try made.appraise(policy).checks == [])
        var older = made
        older.changes[0x1e0] = [8]
        #expect(try older.appraise(policy).checks == [.tcbTooOld])
        var other = made
        other.changes[0x90] = [0x3f]
        #expect(try other.appraise(policy).checks == [.measurement])
        let quote = MadeQuote()
        #expect(try quote.appraise(policy).checks == [.evidenceKind])
    }

    @Test("The oldest of a report's versions is the minimum, so that the report itself is accepted")
    func committed() throws {
        var made = try MadeReport()
        made.changes[0x1e0] = [7]
        var draft = PolicyDraft(kinds: [.snp])
        draft.takeOver(try #require(try made.appraise().accepted).evidence)
        #expect(try made.appraise(Policy(Array(draft.json().utf8))).checks == [])
    }

    @Test("A policy from a quote names its registers and the evaluation of its collateral")
    func fromQuote() throws {
        let made = MadeQuote()
        var draft = PolicyDraft(kinds: [])
        draft.takeOver(try #require(try made.appraise().accepted).evidence)
        let policy = try Policy(Array(draft.json().utf8))
        #expect(try made.appraise(policy).checks == [])
        var other = made
        other.changes[0x148] = [1]
        #expect(try other.appraise(policy).checks == [.runtimeMeasurement])
        var older = made
        older.info.evaluation = 1
        #expect(try older.appraise(policy).checks == [.evaluationNumber])
    }

    @Test("What is given stands in the policy; without a kind of evidence there is none")
    func given() throws {
        var draft = PolicyDraft(kinds: [.snp, .tdx])
        let measurement = [UInt8](repeating: 5, count: 48)
        draft.allow(measurements: [measurement, measurement])
        draft.require(profiles: ["sealed"], workers: [], models: ["ab"], revisions: ["r"])
        let policy = try Policy(Array(draft.json().utf8))
        #expect(policy.snp?.measurements == [measurement] && policy.tdx?.measurements == [measurement])
        #expect(policy.runs?.profiles == ["sealed"] && policy.runs?.workers == [])
        #expect(policy.runs?.models == ["ab"] && policy.runs?.revisions == ["r"])
        #expect(throws: PolicyError.self) { try PolicyDraft(kinds: []).json() }
    }

    @Test("A summary says what is demanded and what is left open")
    func summary() throws {
        let none = PolicySummary(try policy(#"{"snp": {}}"#))
        #expect(none.open.contains { $0.contains("any launch measurement") })
        #expect(none.open.contains { $0.contains("any TCB version") })
        #expect(none.open.contains { $0.contains("any profile, worker, model and revision") })
        #expect(none.demands.contains("SEV-SNP: the host cannot debug the guest"))
        let strict = PolicySummary(
            try policy(
                """
                {"snp": {"measurements": ["\(String(repeating: "3e", count: 48))"], "minimumTCB": {"Milan": {"bootLoader": 9, \
                "tee": 0, "snp": 23, "microcode": 72}}, "allowDebug": true}, "runs": {"profiles": ["sealed"], "workers": [], \
                "models": ["ab"], "revisions": ["r"]}}
                """))
        #expect(strict.demands.contains("SEV-SNP: launch measurement \(String(repeating: "3e", count: 48))"))
        #expect(
            strict.demands.contains(
                "SEV-SNP: TCB of Milan at least bootLoader 9, tee 0, snp 23, microcode 72"))
        #expect(strict.demands.contains("the server uses no worker"))
        #expect(strict.demands.contains("the server uses no peer"))
        #expect(!strict.allowsAnySoftware && none.allowsAnySoftware)
        #expect(strict.open.contains("SEV-SNP: the host may debug the guest: it can read all of its memory"))
        #expect(
            !strict.open.contains {
                $0.contains("measurement") || $0.contains("TCB") || $0.contains("policy names no")
            })
    }
}
