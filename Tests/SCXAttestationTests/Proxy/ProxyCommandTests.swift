import Foundation
import SCXAttestation
import SCXProxy
import Testing

/// Runs `scx verify`, `scx proxy` and `scx policy` as a person does: they trust the vendors' roots alone, so that a made chain
/// is refused by its number.
struct ProxyCommandTests {
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .appending(path: "Fixtures")

    private func run(_ arguments: [String]) async throws -> ScxProgram.Result {
        try await ScxProgram.runBeside(arguments)
    }

    /// A file that a test writes and takes away.
    private func withFile(_ text: String, _ body: (String) async throws -> Void) async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "policy-\(UUID().uuidString)")
        try Data(text.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try await body(file.path)
    }

    @Test("A server whose chain ends in no vendor's root is refused, whatever options are given")
    func refused() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(attestation.answers { _ in .text("SECRET") })
        let address = "\(try server.address)"
        let report = try await run(["verify", address, "--at", "2026-02-03"])
        #expect(report.status == 1)
        #expect(report.output.contains("failed        202 rootUnknown: "))
        #expect(
            report.output.hasSuffix(
                "decision      refused as of 2026-02-03T00:00:00Z: 1 check does not hold\n"))
        let json = try await run(["verify", address, "--at", "2026-02-03", "--json"])
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        #expect(json.status == 1 && object?["accepted"] as? Bool == false)
        try await withFile(#"{"snp": {}}"#) { policy in
            let proxy = try await run(["proxy", "--upstream", address, "--policy", policy, "--port", "0"])
            #expect(proxy.status == 1 && proxy.output.isEmpty)
            #expect(proxy.error.contains("  202 rootUnknown: "))
        }
        #expect(server.opened == 3)
    }

    @Test("A server that cannot be reached is one line and status 1; what cannot be meant is status 64")
    func unusable() async throws {
        let gone = try await MadeServer { _, _ in .silence }
        let address = "\(try gone.address)"
        await gone.stop()
        let unreachable = try await run(["verify", address])
        #expect(unreachable.status == 1 && unreachable.output.isEmpty)
        #expect(
            unreachable.error.hasPrefix("\(address): ") && unreachable.error.filter { $0 == "\n" }.count == 1)
        try await withFile(#"{"snp": {}}"#) { policy in
            let unusable = [
                ["verify", "http://localhost"], ["verify", "https://localhost/v1"],
                ["verify", "https://localhost", "--policy", "/nowhere"],
                ["proxy", "--upstream", "https://localhost"],
                ["proxy", "--upstream", "https://localhost", "--policy", policy, "--host", "0.0.0.0"],
                ["proxy", "--upstream", "https://localhost", "--policy", policy, "--verify-every", "0"],
                ["policy", "new"], ["policy", "new", "--kind", "snp", "--measurement", "ab"],
                ["policy", "new", "--kind", "snp", "--worker", "a", "--no-workers"],
                ["policy", "show", "/nowhere"],
            ]
            for arguments in unusable {
                let result = try await run(arguments)
                #expect(result.status == 64 && result.output.isEmpty, "\(arguments): \(result)")
            }
        }
    }

    @Test("A policy is made of real evidence, accepts it, and is explained in words")
    func policies() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "policy-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: file) }
        let evidence = [
            "--from-evidence", Self.fixtures.appending(path: "tdx/quote-v5.dat").path, "--collateral",
            Self.fixtures.appending(path: "tdx").path, "--at", "2026-02-03",
        ]
        let made = try await run(
            ["policy", "new", "--profile", "sealed", "--no-workers", "--out", file] + evidence)
        #expect(made.status == 0 && made.output.isEmpty)
        #expect(made.error.contains("note: the policy names no revision: any is accepted"))
        let check = try await run([
            "attestation", "check", "--evidence", Self.fixtures.appending(path: "tdx/quote-v5.dat").path,
            "--collateral", Self.fixtures.appending(path: "tdx").path, "--at", "2026-02-03", "--policy", file,
        ])
        #expect(check.status == 0, "\(check)")
        let shown = try await run(["policy", "show", file])
        #expect(shown.status == 0)
        #expect(shown.output.contains("demands  TDX: launch measurement "))
        #expect(shown.output.contains("demands  profile 'sealed' is allowed\n"))
        #expect(shown.output.contains("open     the policy names no model: any is accepted\n"))
        // It is not overwritten, and evidence that does not hold makes none.
        #expect(try await run(["policy", "new", "--kind", "snp", "--out", file]).status == 64)
        let late = try await run(["policy", "new"] + evidence.dropLast() + ["2026-03-01"])
        #expect(late.status == 1 && late.output.isEmpty)
        #expect(late.error.contains("  407 collateralExpired: "))
    }
}
