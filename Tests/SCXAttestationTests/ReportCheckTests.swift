import Crypto
import CryptoExtras
import SCXAttestation
import Testing

/// Reports under a chain that a test made: the whole path, without hardware.
struct ReportCheckTests {
    @Test("A report of each product is accepted under a chain that a test made", arguments: Product.allCases)
    func accepted(product: Product) throws {
        var made = try MadeReport(product: product)
        #expect(try made.appraise().failures == [])
        made.list = MadeList(issuer: "ARK-Test", revoked: [5, 6])
        #expect(try made.appraise(policy(#"{"snp": {"revocation": "required"}}"#)).failures == [])
        for version: UInt8 in 2...5 {
            made.version = version
            #expect(try made.appraise().failures == [], "version \(version)")
        }
        made.isVLEK = true
        #expect(try made.appraise().failures == [])
        #expect(try made.appraise(policy(#"{"snp": {"signingKeys": ["VCEK"]}}"#)).checks == [.keyKind])
    }

    @Test("A chain does not count under the vendors' roots")
    func otherRoots() throws {
        let made = try MadeReport()
        let appraisal = appraise(
            try made.report(), with: try made.collateral(), at: try time("2026-02-03T12:00:00Z"))
        #expect(appraisal.checks == [.rootUnknown])
    }

    /// What is changed, and which check must say so.
    struct Change: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let check: Check
        var policy = "{}"
        var at = "2026-02-03T12:00:00Z"
        var change: @Sendable (inout MadeReport) throws -> Void = { _ in }

        init(
            _ description: String, _ check: Check, policy: String = #"{"snp": {}}"#,
            at: String = "2026-02-03T12:00:00Z",
            change: @escaping @Sendable (inout MadeReport) throws -> Void = { _ in }
        ) {
            testDescription = description
            self.check = check
            self.policy = policy
            self.at = at
            self.change = change
        }
    }

    static let zeros48 = String(repeating: "00", count: 48)

    static let certificateChanges: [Change] = [
        Change("the root is expired", .certificateExpired) { $0.root.to = "20260101000000Z" },
        Change("the intermediate is expired", .certificateExpired) { $0.intermediate.to = "20260101000000Z" },
        Change("the leaf is expired", .certificateExpired) { $0.leaf.to = "20260101000000Z" },
        Change("the leaf has not begun", .certificateNotYetValid) { $0.leaf.from = "20260401000000Z" },
        Change("the root has not begun", .certificateNotYetValid) { $0.root.from = "20260401000000Z" },
        Change("one second after the leaf's end", .certificateExpired, at: "2026-02-03T12:00:01Z") {
            $0.leaf.to = "20260203120000Z"
        },
        Change("one second before the leaf's beginning", .certificateNotYetValid, at: "2026-02-03T11:59:59Z")
        {
            $0.leaf.from = "20260203120000Z"
        },
        Change("the intermediate is revoked", .certificateRevoked) {
            $0.list = MadeList(issuer: "ARK-Test", revoked: [5, 0x10001])
        },
        Change("the list is expired", .revocationListExpired) {
            $0.list = MadeList(issuer: "ARK-Test", to: "20260201000000Z")
        },
        Change("the list has not begun", .revocationListNotYetValid) {
            $0.list = MadeList(issuer: "ARK-Test", from: "20260204000000Z")
        },
        Change(
            "the list is missing", .revocationListMissing, policy: #"{"snp": {"revocation": "required"}}"#),
        Change("the intermediate is no authority", .certificateUse) {
            $0.intermediate.extensions = [MadeDER.issuerUse]
        },
        Change("the intermediate may not sign certificates", .certificateUse) {
            $0.intermediate.extensions = [
                MadeDER.certificateAuthority,
                MadeDER.fileExtension([2, 5, 29, 15], critical: true, [0x03, 0x02, 0x07, 0x80]),
            ]
        },
        Change("the root allows no intermediate", .certificateUse) {
            $0.root.extensions = [
                MadeDER.fileExtension(
                    [2, 5, 29, 19], critical: true,
                    MadeDER.sequence(MadeDER.node(0x01, [0xff]), MadeDER.integer(0))),
                MadeDER.issuerUse,
            ]
        },
        Change("the leaf has an unknown critical extension", .certificateUse) {
            $0.leaf.extensions = [MadeDER.fileExtension([1, 2, 3], critical: true, [5, 0])]
        },
        Change("the intermediate is missing", .certificateMissing) { $0.leaf.issuer = "SEV-Other" },
        Change("the leaf is signed by another key", .certificateSignature) {
            $0.intermediate.publicKey = Array($0.keys.root.publicKey.derRepresentation)
        },
        Change("the leaf's levels are not a report key's", .certificateUse) {
            $0.chip = [1, 2, 3]
            $0.changes = [0x1a0: [1, 2, 3]]
        },
    ]

    static let reportChanges: [Change] = [
        Change("the report says it is not signed", .reportUnsigned) { $0.changes = [0x48: [0b11110]] },
        Change("the report is masked", .reportUnsigned) { $0.changes = [0x48: [0b10]] },
        Change("the report names a VLEK", .reportKeyKind) { $0.changes = [0x48: [0b101]] },
        Change("the signature algorithm is unknown", .reportSignature) { $0.changes = [0x34: [2]] },
        Change("the reported TCB is not the certificate's", .reportTCBDiffers) {
            $0.changes = [0x180: [10, 0, 0, 0, 0, 0, 23, 72]]
        },
        Change("the chip is not the certificate's", .reportChipDiffers) { $0.changes = [0x1b0: [1]] },
        Change("the processor is of another product", .productDiffers) { $0.changes = [0x189: [0x11]] },
        Change("the processor is unknown", .productDiffers) { $0.changes = [0x188: [0x20]] },
        Change("the version is unknown", .evidenceForm) { $0.changes = [0: [6]] },
        Change("the policy has unknown bits", .evidenceForm) { $0.changes = [0x0b: [4]] },
        Change("the policy lacks its reserved bit", .evidenceForm) { $0.changes = [0x0a: [1]] },
        Change("a reserved field is not zero", .evidenceForm) { $0.changes = [0x210: [1]] },
        Change("a TCB version has unknown fields", .evidenceForm) { $0.changes = [0x38: [9, 0, 1]] },
    ]

    static let policyChanges: [Change] = [
        Change("the nonce is another", .reportData, policy: #"{"reportData": "0102", "snp": {}}"#),
        Change("debug mode is allowed", .debug) { $0.changes = [0x0a: [0x0b]] },
        Change("threads may be shared", .simultaneousThreads, policy: #"{"snp": {"allowSMT": false}}"#),
        Change("a migration agent is allowed", .migrationAgent) { $0.changes = [0x0a: [0x07]] },
        Change("the level is not the most privileged", .privilegeLevel) { $0.changes = [0x30: [2]] },
        Change(
            "the measurement is another", .measurement,
            policy: "{\"snp\": {\"measurements\": [\"\(zeros48)\"]}}"),
        Change(
            "the host data is another", .hostData,
            policy: "{\"snp\": {\"hostData\": [\"\(zeros48.prefix(64))\"]}}"),
        Change(
            "the chip is another", .chip,
            policy: "{\"snp\": {\"chipIDs\": [\"\(zeros48 + zeros48.prefix(32))\"]}}"),
        Change(
            "the key is bound to no chip, whatever the report says", .chip,
            policy: "{\"snp\": {\"chipIDs\": [\"\(String(repeating: "c5", count: 64))\"]}}"
        ) { $0.isVLEK = true },
        Change(
            "the family is another", .identity,
            policy: "{\"snp\": {\"familyIDs\": [\"\(zeros48.prefix(32))\"]}}"),
        Change(
            "the image is another", .identity,
            policy: "{\"snp\": {\"imageIDs\": [\"\(zeros48.prefix(32))\"]}}"),
        Change("the guest is older", .identity, policy: #"{"snp": {"minimumGuestSVN": 6}}"#),
        Change(
            "the ID key is another", .identityKey, policy: "{\"snp\": {\"idKeyDigests\": [\"\(zeros48)\"]}}"),
        Change(
            "the author key is another", .identityKey,
            policy: "{\"snp\": {\"authorKeyDigests\": [\"\(zeros48)\"]}}"),
        Change(
            "there is no author key", .identityKey,
            policy: "{\"snp\": {\"authorKeyDigests\": [\"\(String(repeating: "a0", count: 48))\"]}}"
        ) { $0.changes = [0x48: [0]] },
        Change(
            "the platform reports no hidden ciphertext", .platform,
            policy: #"{"snp": {"requiredPlatform": ["aliasCheck", "ciphertextHiding"]}}"#),
        Change("the policy is for TDX alone", .evidenceKind, policy: #"{"tdx": {}}"#),
        Change("the TCB is older than the policy's", .tcbTooOld, policy: minimum("Milan", microcode: 73)),
        Change("the policy names no TCB of the product", .tcbTooOld, policy: minimum("Genoa", microcode: 1)),
        Change("the host can go back to an older TCB", .tcbTooOld, policy: minimum("Milan", microcode: 72)) {
            $0.changes = [0x1e0: [9, 0, 0, 0, 0, 0, 23, 71]]
        },
        Change("the guest was made with an older TCB", .tcbTooOld, policy: minimum("Milan", microcode: 72)) {
            $0.changes = [0x1f0: [9, 0, 0, 0, 0, 0, 22, 72]]
        },
    ]

    static func minimum(_ product: String, microcode: Int) -> String {
        """
        {"snp": {"minimumTCB": {"\(product)": {"bootLoader": 9, "tee": 0, "snp": 23, "microcode": \(microcode)}}}}
        """
    }

    @Test(
        "What does not hold is refused by its own number",
        arguments: certificateChanges + reportChanges + policyChanges)
    func refused(change: Change) throws {
        var made = try MadeReport()
        try change.change(&made)
        let appraisal = try made.appraise(try policy(change.policy), at: change.at)
        #expect(Set(appraisal.checks) == [change.check])
        #expect(appraisal.accepted == nil)
    }

    @Test("Limits of dates belong to them")
    func dates() throws {
        var made = try MadeReport()
        made.leaf.from = "20260203120000Z"
        made.leaf.to = "20260203120000Z"
        #expect(try made.appraise(at: "2026-02-03T12:00:00Z").failures == [])
    }

    @Test("A policy that fits is accepted")
    func fits() throws {
        func hex(_ byte: UInt8, _ count: Int) -> String { Hex.text([UInt8](repeating: byte, count: count)) }
        let full = try policy(
            """
            {"reportData": "\(hex(0xda, 64))", "snp": {"measurements": ["\(Self.zeros48)", "\(hex(0x3e, 48))"],
            "minimumTCB": {"Milan": {"bootLoader": 9, "tee": 0, "snp": 23, "microcode": 72}}, "allowSMT": true,
            "vmpl": [0], "hostData": ["\(hex(0x40, 32))"], "familyIDs": ["\(hex(0xfa, 16))"],
            "imageIDs": ["\(hex(0x1a, 16))"], "minimumGuestSVN": 5, "idKeyDigests": ["\(hex(0x1d, 48))"],
            "authorKeyDigests": ["\(hex(0xa0, 48))"], "chipIDs": ["\(hex(0xc5, 64))"], "signingKeys": ["VCEK"],
            "requiredPlatform": ["aliasCheck", "ecc"], "revocation": "whenGiven"}}
            """)
        #expect(try MadeReport().appraise(full).failures == [])
    }

    @Test("A chip that the report hides is named by its certificate")
    func hiddenChip() throws {
        var made = try MadeReport()
        made.changes = [0x1a0: [UInt8](repeating: 0, count: 64)]
        func chips(_ digits: String) throws -> Policy {
            try policy("{\"snp\": {\"chipIDs\": [\"\(digits)\"]}}")
        }
        #expect(try made.appraise(chips(String(repeating: "c5", count: 64))).failures == [])
        #expect(try made.appraise(chips(String(repeating: "00", count: 64))).checks == [.chip])
    }

    @Test("Turin's levels are compared with its own")
    func turin() throws {
        let made = try MadeReport(product: .turin)
        func minimum(fmc: Int) throws -> Policy {
            try policy(
                """
                {"snp": {"minimumTCB": {"Turin": {"fmc": \(fmc), "bootLoader": 9, "tee": 0, "snp": 23, "microcode": 72}}}}
                """)
        }
        #expect(try made.appraise(minimum(fmc: 1)).failures == [])
        #expect(try Set(made.appraise(minimum(fmc: 2)).checks) == [.tcbTooOld])
    }

    @Test("Of two certificates of one key the one that holds is taken")
    func renewed() throws {
        var made = try MadeReport()
        let valid = try made.certificates()
        made.leaf.to = "20260101000000Z"
        let all = [try made.certificates()[0]] + valid
        let files = try Collateral(all.map { .init(name: "file", bytes: $0) })
        let at = try time("2026-02-03T12:00:00Z")
        #expect(appraise(try made.report(), with: files, roots: made.roots, at: at).failures == [])
    }

    @Test("All failures of one report are named at once")
    func several() throws {
        var made = try MadeReport()
        made.changes = [0x0a: [0x0b], 0x30: [1]]
        let appraisal = try made.appraise(policy(#"{"reportData": "00", "snp": {}}"#))
        #expect(appraisal.checks == [.reportData, .debug, .privilegeLevel])
        made.leaf.to = "20260101000000Z"
        made.root.to = "20260101000000Z"
        #expect(try made.appraise().failures.count == 2)
    }

    @Test("The same evidence is accepted once, also with a signature in its other form")
    func replayed() throws {
        let made = try MadeReport()
        let files = try made.collateral()
        let at = try time("2026-02-03T12:00:00Z")
        var seen = SeenEvidence()
        let report = try made.report()
        #expect(Appraisal(report, with: files, roots: made.roots, at: at, seen: &seen).failures == [])
        #expect(Appraisal(report, with: files, roots: made.roots, at: at, seen: &seen).checks == [.replayed])
        // ECDSA signs with a random number: other bytes for the same report.
        let again = try made.report()
        #expect(again != report)
        #expect(Appraisal(again, with: files, roots: made.roots, at: at, seen: &seen).checks == [.replayed])
        var reread = try #require(SeenEvidence(text: seen.text))
        #expect(
            Appraisal(report, with: files, roots: made.roots, at: at, seen: &reread).checks == [.replayed])
        var other = made
        other.changes = [0x50: [1]]
        #expect(
            Appraisal(try other.report(), with: files, roots: made.roots, at: at, seen: &seen).failures == [])
        #expect(seen.digests.count == 2)
    }

    @Test("A report that is refused is not remembered")
    func notRemembered() throws {
        var made = try MadeReport()
        made.changes = [0x30: [1]]
        var seen = SeenEvidence()
        let appraisal = Appraisal(
            try made.report(), with: try made.collateral(), roots: made.roots,
            at: try time("2026-02-03T12:00:00Z"), seen: &seen)
        #expect(appraisal.checks == [.privilegeLevel])
        #expect(seen.digests.isEmpty)
    }

    @Test("The host's table of certificates behind a report is read")
    func table() throws {
        let made = try MadeReport()
        // An entry of another kind, with a revocation list, say, is for others.
        let certificates = try made.certificates() + [[1, 2, 3]]
        let kinds = [
            "63da758de6644564adc5f4b93be8accd", "4ab7b379bbac4fe4a02f05aef327c782",
            "a406b4c003a8524997433fb6014cd0ae",
            "92f81bc358114d3d97ffd19f88dc67ea",
        ]
        var entries: [UInt8] = []
        var contents: [UInt8] = []
        let start = 24 * (certificates.count + 1)
        for (kind, certificate) in zip(kinds, certificates) {
            func little(_ value: Int) -> [UInt8] {
                (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
            }
            entries +=
                (Hex.bytes(kind) ?? []) + little(start + contents.count) + little(certificate.count)
            contents += certificate
        }
        let bytes = try made.report() + entries + [UInt8](repeating: 0, count: 24) + contents
        let at = try time("2026-02-03T12:00:00Z")
        var overlapping = bytes
        overlapping[1184 + 24 + 16..<1184 + 24 + 20] = bytes[1184 + 16..<1184 + 20]
        let none = try Collateral()
        #expect(appraise(overlapping, with: none, roots: made.roots, at: at).checks == [.evidenceForm])
        #expect(appraise(bytes, with: none, roots: made.roots, at: at).failures == [])
        #expect(
            appraise(Array(bytes.dropLast()), with: none, roots: made.roots, at: at).checks == [.evidenceForm]
        )
        #expect(
            appraise(try made.report(), with: none, roots: made.roots, at: at).checks == [.certificateMissing]
        )
    }

    @Test("Another salt than AMD's is refused, as are signatures that use it")
    func salt() throws {
        let made = try MadeReport()
        let wrong = try made.intermediate.encoded(
            by: .rsa(made.keys.root), algorithm: MadeSigner.pss(salt: 20))
        #expect(failedChecks { _ = try Certificate(wrong) } == [.certificateForm])
        // A root that says 48 and is signed with 48, and the same signed with 20 (`Fixtures/README.md`).
        func checks(_ name: String) throws -> [Check] {
            let root = try Certificate(try Fixture.bytes("made/\(name).der"))
            let at = try time("2027-01-01")
            return failedChecks {
                _ = try EndorsementKey(
                    root, with: Collateral(),
                    roots: TrustRoots(amd: [.milan: root.publicKeyDigest], intel: []), at: at)
            }
        }
        // Both are no chain, which is another matter.
        #expect(try checks("salt-48") == [.rootUnknown])
        #expect(try checks("salt-20") == [.certificateSignature, .rootUnknown])
    }

    @Test("A list for a part of the certificates, or by another, is refused")
    func lists() throws {
        var made = try MadeReport()
        let critical = MadeDER.node(
            0xa0, MadeDER.sequence(MadeDER.fileExtension([2, 5, 29, 28], critical: true, [0x30, 0])))
        let partial = try MadeList(issuer: "ARK-Test", extensions: critical).encoded(by: .rsa(made.keys.root))
        #expect(failedChecks { _ = try RevocationList(partial) } == [.revocationListForm])
        for (number, isRefused) in [(27 as UInt, true), (28, true), (20, false)] {
            let extensions = MadeDER.node(
                0xa0, MadeDER.sequence(MadeDER.fileExtension([2, 5, 29, number], [0x02, 1, 1])))
            let list = try MadeList(issuer: "ARK-Test", extensions: extensions).encoded(
                by: .rsa(made.keys.root))
            #expect(
                failedChecks { _ = try RevocationList(list) } == (isRefused ? [.revocationListForm] : []),
                "\(number)")
        }
        made.list = nil
        let foreign = try MadeList(issuer: "ARK-Test").encoded(by: .rsa(made.keys.intermediate))
        let files = try Collateral(
            (try made.certificates() + [foreign]).map { Collateral.File(name: "file", bytes: $0) })
        #expect(
            appraise(
                try made.report(), with: files, roots: made.roots, at: try time("2026-02-03T12:00:00Z")
            ).checks == [.revocationListSignature])
    }
}
