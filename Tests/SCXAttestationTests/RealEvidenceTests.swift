import SCXAttestation
import Testing

/// Evidence from real hardware, decided as a script with OpenSSL decided it; see `Fixtures/README.md`.
struct RealEvidenceTests {
    @Test("A real SEV-SNP report is verified with its certificates", arguments: 0..<4)
    func reports(number: Int) throws {
        let (file, certificates, product) = Fixture.reports[number]
        let policy = try policy(#"{"snp": {"allowDebug": true}}"#)
        let appraisal = appraise(
            try Fixture.bytes(file), with: try Fixture.collateral(certificates), policy: policy,
            at: try time("2026-02-03"))
        #expect(appraisal.failures == [])
        guard case .snp(let report) = appraisal.accepted?.evidence else { throw Missing(what: file) }
        #expect(report.key.product == product)
        #expect(report.key.kind == .vcek)
        #expect(report.contents.version == [2, 3, 3, 5][number])
        #expect(report.contents.policy.bits == [0xb0000, 0x30000, 0x30000, 0x30000][number])
        #expect(
            report.contents.committedFirmware
                == [[1, 49, 3], [1, 55, 29], [1, 55, 39], [1, 55, 61]][number])
        #expect(report.measurement == Array(try Fixture.bytes(file)[0x90..<0xc0]))
        #expect(report.reportedTCB == report.launchTCB)
    }

    @Test("A policy that forbids debug mode refuses the one report that allows it")
    func debug() throws {
        let (file, certificates, _) = Fixture.reports[0]
        let appraisal = appraise(
            try Fixture.bytes(file), with: try Fixture.collateral(certificates), at: try time("2026-02-03"))
        #expect(appraisal.checks == [.debug])
        #expect(appraisal.accepted == nil)
    }

    @Test("No certificate of another chip or product verifies a report")
    func otherCertificates() throws {
        for (number, (file, _, _)) in Fixture.reports.enumerated() {
            for (other, (_, certificates, _)) in Fixture.reports.enumerated() where other != number {
                let appraisal = appraise(
                    try Fixture.bytes(file), with: try Fixture.collateral(certificates),
                    at: try time("2026-02-03"))
                #expect(appraisal.checks == [.reportSignature], "\(file) with \(certificates)")
            }
        }
    }

    @Test("Certificates that hold are found among those of all products")
    func manyCertificates() throws {
        let files = try Fixture.collateral(
            Fixture.reports.flatMap(\.certificates) + [
                "sev/ask-ark-genoa.pem", "sev/ask-ark-genoa_vlek.pem", "sev/ask-ark-milan_vlek.pem",
                "sev/ask-ark-turin_vcek.pem", "sev/ask-ark-turin_vlek.pem",
            ])
        for (file, _, _) in Fixture.reports.dropFirst() {
            #expect(appraise(try Fixture.bytes(file), with: files, at: try time("2026-02-03")).failures == [])
        }
    }

    @Test(
        "The intermediates of all products, for both kinds of keys, are signed by the roots that are pinned")
    func roots() throws {
        for name in ["genoa", "genoa_vlek", "milan", "milan_vlek", "turin_vcek", "turin_vlek"] {
            let files = try Fixture.collateral(["sev/ask-ark-\(name).pem"])
            let root = files.certificates[1]
            #expect(TrustRoots.vendors.amd.values.contains(root.publicKeyDigest), "\(name)")
            // The intermediate is no key for reports, but the chain above it holds up to that.
            let failed = failedChecks {
                _ = try EndorsementKey(files.certificates[0], with: files, at: try time("2026-02-03"))
            }
            #expect(failed == [.certificateUse], "\(name)")
        }
    }

    @Test("The real quote of version 4 is right, but Intel lists no level so low")
    func quote4() throws {
        let quote = try Fixture.bytes("tdx/quote-v4.dat")
        let files = try Fixture.collateral(Fixture.collateral2023)
        let appraisal = appraise(quote, with: files, at: try time("2023-07-01"))
        #expect(appraisal.checks == [.tcbLevelMissing])
        guard case .tdx(let verified) = appraisal.verified else { throw Missing(what: "the quote") }
        #expect(verified.evaluation?.launch.platform == nil)
        #expect(verified.evaluation?.launch.hasModule == false)
        #expect(verified.evaluation?.current == nil)
        #expect(verified.evaluation?.enclave == .upToDate)
        #expect(try UnverifiedQuote(quote).trailingCount == 39)

        let lenient = try policy(#"{"tdx": {"requireTCB": false}}"#)
        #expect(appraise(quote, with: files, policy: lenient, at: try time("2023-07-01")).failures == [])
    }

    @Test("The real quote of version 5 is right and up to date")
    func quote5() throws {
        let quote = try Fixture.bytes("tdx/quote-v5.dat")
        let appraisal = appraise(
            quote, with: try Fixture.collateral(Fixture.collateral2026), at: try time("2026-02-03"))
        #expect(appraisal.failures == [])
        guard case .tdx(let verified) = appraisal.accepted?.evidence else { throw Missing(what: "the quote") }
        #expect(verified.evaluation?.launch.platform == .upToDate)
        #expect(verified.evaluation?.launch.module == .upToDate)
        // The module was updated under its guests: version 11 at their start, now 13.
        #expect(verified.contents.teeTCB[0] == 11 && verified.contents.currentTEETCB?[0] == 13)
        #expect(verified.evaluation?.current?.platform == .upToDate)
        #expect(verified.evaluation?.current?.module == .upToDate)
        #expect(verified.evaluation?.enclave == .upToDate)
        #expect(verified.contents.mrServiceTD != nil)
        #expect(verified.measurement == Array(quote[0xbe..<0xee]))
    }

    @Test("A TD report, which only its own machine can verify, is no evidence")
    func machineReport() throws {
        let bytes = try Fixture.bytes("tdx/td-report.dat")
        #expect(appraise(bytes, with: try Collateral(), at: try time("2023-07-01")).checks == [.evidenceForm])
    }

    @Test("The real revocation lists name as many certificates as OpenSSL finds")
    func lists() throws {
        for (name, count) in [
            ("pck-crl-platform-2023", 44), ("pck-crl-platform-2026", 51), ("root-crl-2023", 0),
            ("root-crl-2026", 0),
        ] {
            #expect(try RevocationList(try Fixture.bytes("tdx/\(name).der")).revoked.count == count)
        }
    }

    @Test("Both quotes are decided with the collateral of both years in one place")
    func bothYears() throws {
        let files = try Fixture.collateral(Fixture.collateral2023 + Fixture.collateral2026)
        #expect(
            appraise(try Fixture.bytes("tdx/quote-v4.dat"), with: files, at: try time("2023-07-01")).checks
                == [.tcbLevelMissing])
        #expect(
            appraise(try Fixture.bytes("tdx/quote-v5.dat"), with: files, at: try time("2026-02-03")).failures
                == [])
    }

    @Test("What is out of date, of another platform, or missing is refused by its own name")
    func refusals() throws {
        let quote = try Fixture.bytes("tdx/quote-v5.dat")
        let all = Fixture.collateral2026
        func checks(_ names: [String], at: String, _ json: String? = nil) throws -> Set<Check> {
            Set(
                appraise(
                    quote, with: try Fixture.collateral(names),
                    policy: try json.map { try policy($0) } ?? .standard,
                    at: try time(at)
                ).checks)
        }
        // Before the platform's certificate begins.
        #expect(try checks(all, at: "2026-01-20") == [.certificateNotYetValid])
        // After the collateral ends, and the list of the platform's issuer.
        #expect(try checks(all, at: "2026-03-01") == [.revocationListExpired, .collateralExpired])
        let lenient = #"{"tdx": {"revocation": "whenGiven"}}"#
        #expect(try checks(Array(all[..<3]), at: "2026-03-01", lenient) == [.collateralExpired])
        #expect(try checks(Array(all[..<3]), at: "2026-02-03", lenient) == [])
        // Of another platform.
        let other = ["tdx/tcb-info-50806f000000-2023.json"] + Array(all[1...])
        #expect(try checks(other, at: "2026-02-03") == [.collateralOfOtherPlatform])
        // Missing.
        #expect(try checks(Array(all[1...]), at: "2026-02-03") == [.collateralMissing])
        #expect(try checks([all[0]] + Array(all[2...]), at: "2026-02-03") == [.collateralMissing])
        #expect(try checks(Array(all[2...]), at: "2026-02-03") == [.collateralMissing])
        #expect(try checks(Array(all[..<2] + all[3...]), at: "2026-02-03") == [.collateralSignature])
        #expect(try checks(Array(all[..<4]), at: "2026-02-03") == [.revocationListMissing])
        // The signer's certificate of 2023, which ended in 2025, of the same key.
        let old = Array(all[..<2]) + ["tdx/tcb-signing-chain-2023.pem"] + Array(all[3...])
        #expect(try checks(old, at: "2026-02-03") == [.certificateExpired])
        // The root's list alone.
        #expect(
            try checks(Array(all[..<3]) + [all[4]], at: "2026-02-03") == [.revocationListMissing])
    }
}
