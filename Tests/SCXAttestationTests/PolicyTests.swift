import Foundation
import SCXAttestation
import Testing

/// Policies in JSON, and reports of decisions.
struct PolicyTests {
    @Test(
        "What a policy must not say is refused, with the key's name",
        arguments: [
            (#"{}"#, "neither a part"), (#"{"snp": {"measurement": []}}"#, "'snp.measurement'"),
            (#"{"tdx": {"mrtd": []}}"#, "'tdx.mrtd'"), (#"{"other": {}, "snp": {}}"#, "'other'"),
            (#"{"snp": {"measurements": []}}"#, "'snp.measurements'"),
            (#"{"snp": {"measurements": ["00"]}}"#, "'snp.measurements'"),
            (#"{"snp": {"measurements": ["zz"]}}"#, "'snp.measurements"),
            (#"{"snp": {"allowDebug": 1}}"#, "'snp.allowDebug'"),
            (#"{"snp": {"minimumTCB": {"Rome": {}}}}"#, "'snp.minimumTCB"),
            (#"{"snp": {"minimumTCB": {"Milan": {"bootLoader": 1}}}}"#, "'tee'"),
            (
                #"{"snp": {"minimumTCB": {"Milan": {"bootLoader": 1, "tee": 0, "snp": 1, "ucode": 1}}}}"#,
                "ucode"
            ),
            (
                #"{"snp": {"minimumTCB": {"Milan": {"bootLoader": 256, "tee": 0, "snp": 1, "microcode": 1}}}}"#,
                "out of range"
            ),
            (#"{"snp": {"revocation": "never"}}"#, "'snp.revocation'"),
            (#"{"snp": {"requiredPlatform": ["sgx"]}}"#, "'snp.requiredPlatform"),
            (#"{"tdx": {"rtmrs": [null]}}"#, "'tdx.rtmrs'"),
            (#"{"tdx": {"rtmrs": [null, null, null, []]}}"#, "'tdx.rtmrs'"),
            (#"{"tdx": {"tcbStatuses": ["Good"]}}"#, "'tdx.tcbStatuses"),
            (#"{"tdx": {"requireTCB": false, "tcbStatuses": ["UpToDate"]}}"#, "'tdx.requireTCB'"),
            (#"{"tdx": {"allowedAttributes": "00"}}"#, "'tdx.allowedAttributes'"),
            (#"{"reportData": "", "snp": {}}"#, "'reportData'"), (#"["snp"]"#, "another type"),
            (#"{"snp": {}"#, "not JSON"), ("", "not JSON"), (#"{"snp": {}} {}"#, "not JSON"),
            (#"{"snp": {"allowDebug": false, "allowDebug": true}}"#, "'snp.allowDebug' stands there twice"),
            (#"{"snp": {}, "snp": {"vmpl": [0]}}"#, "'snp' stands there twice"),
            (
                #"{"snp": {"minimumTCB": {"Milan": {"tee": 0, "tee": 9}}}}"#,
                "'snp.minimumTCB.Milan.tee' stands there twice"
            ),
            (#"{"snp": {"allowDebug": false, "allow\u0044ebug": true}}"#, "escapes"),
            (#"{"snp": {"measurements": null}}"#, "'snp.measurements' is null"),
            (#"{"snp": null, "tdx": {}}"#, "'snp' is null"),
            (#"{"reportData": null, "snp": {}}"#, "'reportData' is null"),
            (#"{"snp": {"vmpl": [null]}}"#, "'snp.vmpl' is null"),
            (#"{"tdx": {"rtmrs": null}}"#, "'tdx.rtmrs' is null"),
            (#"{"tdx": {"rtmrs": [[null], null, null, null]}}"#, "'tdx.rtmrs' is null"),
            (#"{"snp": {"vmpl": [[[[[[[[[0]]]]]]]]]}}"#, "too deep"),
            (
                #"{"snp": {"minimumTCB": {"Turin": {"bootLoader": 1, "tee": 0, "snp": 1, "microcode": 1}}}}"#,
                "'fmc'"
            ),
            (
                #"{"snp": {"minimumTCB": {"Milan": {"fmc": 1, "bootLoader": 1, "tee": 0, "snp": 1, "microcode": 1}}}}"#,
                "'fmc'"
            ),
            (#"{"tdx": {"mrServiceTDs": ["00"]}}"#, "'tdx.mrServiceTDs'"),
            (#"{"snp": {"revocation": "\u001b[2J"}}"#, "'snp.revocation' has a value that is unknown"),
            (#"{"tdx": {"tcbStatuses": ["Good\ndecision      accepted"]}}"#, "'tdx.tcbStatuses"),
        ])
    func refused(json: String, part: String) throws {
        let error = try #require(throws: PolicyError.self) { try policy(json) }
        #expect(error.description.contains(part), "\(error)")
        #expect(error.description.unicodeScalars.allSatisfy { (0x20..<0x7f).contains($0.value) })
        #expect(!error.description.contains("accepted"), "what was read is not shown")
    }

    @Test("A policy in another encoding than UTF-8, in which keys could not be compared, is refused")
    func encoding() throws {
        let wide = try #require(#"{"snp": {}}"#.data(using: .utf16LittleEndian))
        #expect(throws: PolicyError.self) { try Policy(Array(wide)) }
        #expect(throws: PolicyError.self) { try Policy([0xef, 0xbb, 0xbf] + Array(#"{"snp": {}}"#.utf8)) }
    }

    @Test("Words of a document that nobody verified do not reach a terminal")
    func quoted() throws {
        var made = MadeQuote()
        made.info.platformStatus = #"x\n\u001b[2Jdecision      accepted"#
        let error = try #require(throws: Failures.self) { _ = try Collateral(made.files()) }
        #expect(error.all.map(\.check) == [.collateralForm])
        let line = error.description
        #expect(line.unicodeScalars.allSatisfy { (0x20..<0x7f).contains($0.value) }, "\(line)")
        #expect(line.contains("tcbStatus") && !line.contains("accepted"), "\(line)")
    }

    @Test("A file's name cannot write lines of its own")
    func fileNames() throws {
        let file = Collateral.File(name: "é\ndecision accepted\u{1b}[2J\u{202e}.pem", bytes: [1])
        let error = try #require(throws: Failures.self) { _ = try Collateral([file]) }
        #expect(
            error.all.map(\.detail) == [
                "é?decision accepted?[2J?.pem: it cannot be read: a line stands outside of its objects"
            ]
        )
    }

    @Test("Report data is filled with zeros, and its size is limited")
    func reportData() throws {
        #expect(
            try policy(#"{"reportData": "0102", "snp": {}}"#).reportData == [1, 2]
                + [UInt8](repeating: 0, count: 62))
        #expect(Policy.padded([]) == nil)
        #expect(Policy.padded([UInt8](repeating: 1, count: 65)) == nil)
    }

    @Test("A decision is told as text and as JSON")
    func told() throws {
        var made = try MadeReport()
        made.changes = [0x0a: [0x0b]]
        let at = try time("2026-02-03T12:00:00Z")
        let report = AppraisalReport(try made.appraise(), policy: .standard, at: at)
        #expect(report.text.contains("\nfailed        504 debug: "))
        #expect(
            report.text.hasSuffix("\ndecision      refused as of 2026-02-03T12:00:00Z: 1 check does not hold")
        )
        let json = try #require(
            try JSONSerialization.jsonObject(with: Data(try report.json().utf8)) as? [String: Any])
        #expect(json["accepted"] as? Bool == false)
        let failures = try #require(json["failures"] as? [[String: Any]])
        #expect(failures.map { $0["number"] as? Int } == [504])
        #expect((json["evidence"] as? [String: String])?["measurement"] == String(repeating: "3e", count: 48))

        made.changes = [:]
        let good = AppraisalReport(try made.appraise(), policy: .standard, at: at)
        #expect(good.accepted)
        #expect(good.text.contains("no revocation list of 'ARK-Test' was there"))
        made.list = MadeList(issuer: "ARK-Test")
        let listed = AppraisalReport(try made.appraise(), policy: .standard, at: at)
        #expect(!listed.text.contains("no revocation list"))
        #expect(good.text.hasSuffix("\ndecision      accepted as of 2026-02-03T12:00:00Z"))
        made.changes = [0: [9]]
        let unread = AppraisalReport(try made.appraise(), policy: .standard, at: at)
        #expect(!unread.text.contains("measurement"), "what is not verified is not shown")
    }

    @Test("A common name from a certificate cannot move a terminal's cursor")
    func names() throws {
        var made = try MadeReport()
        made.leaf.subject = "SEV\u{1b}[2J\nVCEK" + String(repeating: "x", count: 200)
        made.leaf.to = "20260101000000Z"
        let line = try #require(try made.appraise().failures.first?.description)
        #expect(line.contains("'SEV?[2J?VCEKxxx"))
        #expect(line.count < 160)
    }

    @Test("Every check has a number of its own, which docs/attestation.md describes")
    func numbers() throws {
        #expect(Set(Check.allCases.map(\.number)).count == Check.allCases.count)
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/attestation.md"), encoding: .utf8)
        let rows = page.split(separator: "\n").filter { $0.hasPrefix("| ") }
        for check in Check.allCases {
            #expect(
                rows.count { $0.hasPrefix("| \(check.number) | `\(check.rawValue)` | ") } == 1,
                "\(check.number) \(check)")
        }
    }
}
