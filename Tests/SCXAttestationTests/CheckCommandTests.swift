import Foundation
import SCXAttestation
import Testing

/// Runs `scx attestation` as a person does.
struct CheckCommandTests {
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Fixtures")

    private func run(_ arguments: [String]) throws -> ScxProgram.Result {
        try ScxProgram.run(["attestation"] + arguments)
    }

    private func path(_ name: String) -> String { Self.fixtures.appending(path: name).path }

    /// Checks the real quote of version 5 with the collateral of all years.
    private func check(
        _ more: [String], evidence: String? = nil, at: String = "2026-02-03"
    ) throws -> ScxProgram.Result {
        try run(
            [
                "check", "--evidence", evidence ?? path("tdx/quote-v5.dat"), "--collateral", path("tdx"),
                "--at", at,
            ]
                + more)
    }

    /// A file that a test writes and takes away.
    private func withFile(_ bytes: [UInt8], _ body: (String) throws -> Void) throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "attestation-\(UUID().uuidString)")
        try Data(bytes).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try body(file.path)
    }

    @Test("A quote that holds ends it with status 0, one that does not with status 1 and numbers")
    func statuses() throws {
        let good = try check([])
        #expect(good.status == 0 && good.numbers == [])
        #expect(good.output.hasSuffix("\ndecision      accepted as of 2026-02-03T00:00:00Z\n"))
        let late = try check([], at: "2026-03-01")
        #expect(late.status == 1)
        #expect(Set(late.numbers) == [211, 407])
        let nonce = try check(["--report-data", "00"])
        #expect(nonce.status == 1 && nonce.numbers == [501])
        let files = ["sev/vcek-milan.der", "sev/ask-ark-milan.pem"].map(path)
        let report = try run(
            ["check", "--evidence", path("sev/report-v2-milan.bin"), "--at", "2026-02-03", "--certs"] + files)
        #expect(report.status == 1 && report.numbers == [504])
    }

    @Test("A decision as JSON has the same status")
    func json() throws {
        func object(_ result: ScxProgram.Result) throws -> [String: Any] {
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            return try #require(object as? [String: Any])
        }
        let good = try check(["--json"])
        #expect(good.status == 0)
        #expect(try object(good)["accepted"] as? Bool == true)
        let late = try check(["--json"], at: "2026-01-20")
        #expect(late.status == 1)
        let failures = try #require(try object(late)["failures"] as? [[String: Any]])
        #expect(failures.map { $0["number"] as? Int } == [204])
    }

    @Test("The same evidence is accepted once with one file of what was seen")
    func seen() throws {
        try withFile([]) { file in
            #expect(try check(["--seen", file], at: "2026-03-01").status == 1)
            #expect(try Data(contentsOf: URL(filePath: file)).isEmpty, "what is refused is not remembered")
            #expect(try check(["--seen", file]).status == 0)
            let again = try check(["--seen", file])
            #expect(again.status == 1 && again.numbers == [502])
            #expect(try String(contentsOfFile: file, encoding: .utf8).count == 65)
        }
    }

    @Test("Files that are too large or cannot be read as evidence are refused by their numbers")
    func forms() throws {
        let large = [UInt8](repeating: 0x7b, count: Collateral.fileLimit + 5)
        try withFile(large) { file in
            let evidence = try check([], evidence: file)
            #expect(evidence.status == 1 && evidence.numbers == [101])
            let certificates = try check(["--certs", file])
            #expect(certificates.status == 1 && certificates.numbers == [104])
            #expect(try check(["--policy", file]).status == 64)
        }
        try withFile([1, 2, 3, 4]) { file in
            let evidence = try check([], evidence: file)
            #expect(evidence.status == 1 && evidence.numbers == [101])
        }
    }

    @Test("A command line or a policy that cannot be used ends it with status 64, and without a decision")
    func unusable() throws {
        try withFile(Array(#"{"tdx": {"allowDebug": false, "allowDebug": true}}"#.utf8)) { policy in
            try withFile(Array("digest\n".utf8)) { seen in
                let unusable = [
                    ["--policy", policy], ["--policy", "/nowhere"], ["--seen", seen],
                    ["--seen", "/nowhere/file"],
                    ["--report-data", "xyz"], ["--report-data", ""], ["--certs", "/nowhere"], ["--other"],
                ]
                for more in unusable {
                    let result = try check(more)
                    #expect(result.status == 64 && result.output.isEmpty, "\(more)")
                    #expect(!result.error.isEmpty, "\(more)")
                }
            }
        }
        #expect(try check([], at: "yesterday").status == 64)
        #expect(try check([], evidence: "/nowhere").status == 64)
    }

    @Test("A measurement is printed as virtee/sev has it")
    func measure() throws {
        let digest =
            "086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74"
        let result = try run([
            "measure", "--firmware", path("sev/ovmf-amdsev-suffix.bin"), "--firmware-digest", digest,
            "--vcpu-type",
            "EPYC-v4",
        ])
        #expect(result.status == 0)
        #expect(
            result.output
                == "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d\n"
        )
    }
}

extension ScxProgram.Result {
    /// The numbers of the checks that failed.
    fileprivate var numbers: [Int] {
        output.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count > 1 && words[0] == "failed" ? Int(words[1]) : nil
        }
    }
}
