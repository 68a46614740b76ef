import Crypto
import SCXAttestation
import Testing

/// Quotes under a chain and with collateral that a test made: the whole path, without hardware.
struct QuoteCheckTests {
    @Test("A quote of each version is accepted under a chain that a test made", arguments: [4, 5])
    func accepted(version: Int) throws {
        var made = MadeQuote()
        made.version = version
        #expect(try made.appraise().failures == [])
        #expect(
            appraise(
                try made.quote(), with: try Collateral(try made.files()), at: try time("2026-02-03T12:00:00Z")
            ).checks.first == .rootUnknown)
    }

    struct Change: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let checks: [Check]
        let policy: String
        let change: @Sendable (inout MadeQuote) -> Void

        init(
            _ description: String, _ checks: Check..., policy: String = #"{"tdx": {}}"#,
            change: @escaping @Sendable (inout MadeQuote) -> Void = { _ in }
        ) {
            testDescription = description
            self.checks = checks
            self.policy = policy
            self.change = change
        }
    }

    static let changes: [Change] = [
        Change("the platform's certificate is expired", .certificateExpired) {
            $0.leaf.to = "20260101000000Z"
        },
        Change("the platform's certificate has not begun", .certificateNotYetValid) {
            $0.leaf.from = "20260301000000Z"
        },
        Change("the platform's certificate is revoked", .certificateRevoked) { $0.leafList?.revoked = [200] },
        Change("the platform's issuer is revoked", .certificateRevoked) { $0.rootList?.revoked = [100] },
        Change("the documents' signer is revoked", .certificateRevoked) { $0.rootList?.revoked = [300] },
        Change("the documents' signer is expired", .certificateExpired) { $0.signer.to = "20260101000000Z" },
        Change("the list of the platform's issuer is missing", .revocationListMissing) { $0.leafList = nil },
        Change("the root's list is expired", .revocationListExpired) { $0.rootList?.to = "20260201000000Z" },
        Change("the root's list has not begun", .revocationListNotYetValid) {
            $0.rootList?.from = "20260204000000Z"
        },
        Change("the certificate has no platform's extension", .certificateUse) { $0.leaf.extensions = [] },
        Change("the enclave's report is signed by another key", .enclaveReportSignature) {
            $0.enclaveSigner = P256.Signing.PrivateKey()
        },
        Change("the enclave's report names another key", .attestationKey) {
            $0.enclaveChanges = [0x140: [0, 0]]
        },
        Change("the enclave's report has more data", .attestationKey) { $0.enclaveChanges = [0x17f: [1]] },
        Change("the documents are signed by another key", .collateralSignature) {
            $0.documentSigner = P256.Signing.PrivateKey()
        },
        Change("the TCB info is expired", .collateralExpired) { $0.info.to = "2026-02-01T00:00:00Z" },
        Change("the TCB info has not begun", .collateralNotYetValid) {
            $0.info.from = "2026-02-04T00:00:00Z"
        },
        Change("the identity is expired", .collateralExpired) { $0.identity.to = "2026-02-01T00:00:00Z" },
        Change("the identity has not begun", .collateralNotYetValid) {
            $0.identity.from = "2026-02-04T00:00:00Z"
        },
        Change("the TCB info is of another platform", .collateralOfOtherPlatform) {
            $0.info.fmspc = "0123456789ac"
        },
        Change("the TCB info is of another PCE", .collateralOfOtherPlatform) { $0.info.pceID = "0001" },
        Change("the TCB info is for SGX", .collateralMissing) { $0.info.id = "SGX" },
        Change("the identity is of another enclave", .collateralMissing) { $0.identity.id = "QE" },
        Change("the documents' signer has another name", .collateralSignature) {
            $0.signer.subject = "Intel SGX PCK Signing"
        },
        Change("the platform's issuer is a platform itself", .certificateUse) {
            $0.intermediate.extensions = [MadeQuote.platform(component: 3)]
        },
        Change("the enclave is another signer's", .enclaveIdentity) { $0.enclaveChanges = [0x80: [0]] },
        Change("the enclave is another product", .enclaveIdentity) { $0.enclaveChanges = [0x100: [1]] },
        Change("the enclave is in debug mode", .enclaveIdentity) { $0.enclaveChanges = [0x30: [0x17]] },
        Change("the enclave has other features", .enclaveIdentity) { $0.enclaveChanges = [0x10: [1]] },
        Change("Intel's identity names another signer", .enclaveIdentity) {
            $0.identity.signer = String(repeating: "5e", count: 32)
        },
        Change("Intel's identity names another product", .enclaveIdentity) { $0.identity.product = 1 },
        Change("the enclave is older than every level", .tcbLevelMissing) {
            $0.enclaveChanges = [0x102: [3]]
        },
        Change("the TDX module is another signer's", .moduleIdentity) { $0.changes = [0x40: [1]] },
        Change("the TDX module has attributes", .moduleIdentity) { $0.changes = [0x70: [1]] },
        Change("Intel's TCB info names another signer of the module", .moduleIdentity) {
            $0.info.moduleSigner = String(repeating: "1", count: 96)
        },
        Change("the current TDX module's version is not listed", .moduleIdentity) {
            $0.changes = [0x249: [2]]
        },
        Change("the current TDX module is out of date", .tcbStatus) { $0.changes = [0x248: [3]] },
        Change("the current TDX module is older than every level", .tcbLevelMissing) {
            $0.changes = [0x248: [1]]
        },
        Change("the platform's current version is out of date", .tcbStatus) { $0.changes = [0x24a: [2]] },
        Change("the platform's current version is older than every level", .tcbLevelMissing) {
            $0.changes = [0x24a: [1]]
        },
        Change("the TDX module's version is not listed", .moduleIdentity) { $0.changes = [1: [2]] },
        Change("the TDX module is out of date", .tcbStatus) { $0.changes = [0: [3]] },
        Change("the TDX module is older than every level", .tcbLevelMissing) { $0.changes = [0: [1]] },
        Change("the platform is out of date", .tcbStatus) {
            $0.leaf.extensions = [MadeQuote.platform(component: 2)]
        },
        Change("the quote's version of the platform is out of date", .tcbStatus) { $0.changes = [2: [2]] },
        Change("the platform is older than every level", .tcbLevelMissing) {
            $0.leaf.extensions = [MadeQuote.platform(component: 1)]
        },
        Change("Intel revoked the platform's level", .tcbStatus) { $0.info.platformStatus = "Revoked" },
        Change("Intel wants another configuration", .tcbStatus) {
            $0.info.platformStatus = "ConfigurationNeeded"
        },
        Change("Intel calls the module out of date", .tcbStatus) { $0.info.moduleStatus = "OutOfDate" },
        Change("Intel calls the enclave out of date", .tcbStatus) { $0.identity.status = "OutOfDate" },
        Change(
            "the collateral is of an older recovery", .evaluationNumber,
            policy: #"{"tdx": {"minimumEvaluationNumber": 20}}"#),
        Change("the nonce is another", .reportData, policy: #"{"reportData": "0102", "tdx": {}}"#),
        Change("the policy is for SEV-SNP alone", .evidenceKind, policy: #"{"snp": {}}"#),
        Change("the measurement is another", .measurement, policy: list("measurements")),
        Change(
            "a register is another", .runtimeMeasurement,
            policy: "{\"tdx\": {\"rtmrs\": [null, null, [\"\(zeros)\"], null]}}"),
        Change("the configuration is another", .configuration, policy: list("mrConfigIDs")) {
            $0.changes = [0xb8: [1]]
        },
        Change("the owner is another", .configuration, policy: list("mrOwners")) { $0.changes = [0xe8: [1]] },
        Change("the owner's configuration is another", .configuration, policy: list("mrOwnerConfigs")) {
            $0.changes = [0x118: [1]]
        },
        Change("the module is another", .configuration, policy: list("mrSeams")) { $0.changes = [0x10: [1]] },
        Change("debug mode is on", .debug) { $0.changes = [0x78: [1]] },
        Change("an attribute of the debug group is on", .attributes) { $0.changes = [0x78: [2]] },
        Change("the domain may be moved", .migrationAgent) { $0.changes = [0x7b: [0x30]] },
        Change(
            "the domain may be moved, which the mask of attributes alone does not allow", .migrationAgent,
            policy: #"{"tdx": {"allowedAttributes": "ffffffffffffffff"}}"#
        ) { $0.changes = [0x7b: [0x30]] },
        Change(
            "the domain may be moved by whom the policy does not name", .migrationAgent,
            policy: #"{"tdx": {"allowMigration": true}}"#
        ) { $0.changes = [0x7b: [0x30], 0x258: [UInt8](repeating: 0x5d, count: 48)] },
        Change(
            "the domain may be moved by nobody yet", .migrationAgent,
            policy: #"{"tdx": {"allowMigration": true}}"#
        ) { $0.changes = [0x7b: [0x30]] },
        Change(
            "the domain may be moved by another", .migrationAgent,
            policy: "{\"tdx\": {\"allowMigration\": true, \"mrServiceTDs\": [\"\(zeros)\"]}}"
        ) { $0.changes = [0x7b: [0x30], 0x258: [UInt8](repeating: 0x5d, count: 48)] },
        Change(
            "the domain may be moved, and its quote does not say by whom", .migrationAgent,
            policy: "{\"tdx\": {\"allowMigration\": true, \"mrServiceTDs\": [\"\(zeros)\"]}}"
        ) {
            $0.version = 4
            $0.changes = [0x7b: [0x30]]
        },
        Change("a service domain is bound", .migrationAgent) { $0.changes = [0x287: [1]] },
        Change(
            "an attribute is not allowed", .attributes,
            policy: #"{"tdx": {"allowedAttributes": "0000000000000000"}}"#),
        Change(
            "an attribute is missing", .attributes,
            policy: #"{"tdx": {"requiredAttributes": "0000001000000000"}}"#
        ) { $0.changes = [0x78: [0, 0, 0, 0]] },
    ]

    static let zeros = String(repeating: "00", count: 48)

    static func list(_ key: String) -> String { "{\"tdx\": {\"\(key)\": [\"\(zeros)\"]}}" }

    @Test("What does not hold is refused by its own number", arguments: changes)
    func refused(change: Change) throws {
        var made = MadeQuote()
        change.change(&made)
        let appraisal = try made.appraise(try policy(change.policy))
        #expect(Set(appraisal.checks) == Set(change.checks))
        #expect(appraisal.accepted == nil)
    }

    @Test("A policy that fits is accepted")
    func fits() throws {
        func hex(_ byte: UInt8) -> String { Hex.text([UInt8](repeating: byte, count: 48)) }
        let full = try policy(
            """
            {"reportData": "\(Hex.text([UInt8](repeating: 0xda, count: 64)))", "tdx": {"measurements": ["\(hex(0x3e))"],
            "rtmrs": [["\(hex(0xe0))"], ["\(hex(0xe1))"], ["\(hex(0xe2))", "\(hex(0))"], null],
            "allowedAttributes": "0000001000000000", "requiredAttributes": "0000001000000000",
            "mrConfigIDs": ["\(hex(0))"], "mrOwners": ["\(hex(0))"], "mrOwnerConfigs": ["\(hex(0))"],
            "mrSeams": ["\(hex(0))"], "tcbStatuses": ["UpToDate", "SWHardeningNeeded"], "allowDebug": false,
            "minimumEvaluationNumber": 19, "revocation": "required"}}
            """)
        #expect(try MadeQuote().appraise(full).failures == [])
    }

    @Test("A domain that may be moved is accepted where the policy names who moves it")
    func migration() throws {
        var made = MadeQuote()
        made.changes = [0x7b: [0x30], 0x258: [UInt8](repeating: 0x5d, count: 48)]
        let named = "\"mrServiceTDs\": [\"\(String(repeating: "5d", count: 48))\"]"
        #expect(try made.appraise(policy("{\"tdx\": {\"allowMigration\": true, \(named)}}")).failures == [])
        #expect(try made.appraise(policy("{\"tdx\": {\(named)}}")).checks == [.migrationAgent])
        // Bound, but for another purpose than moving the domain.
        made.changes[0x7b] = [0x10]
        #expect(try made.appraise(policy("{\"tdx\": {\(named)}}")).failures == [])
    }

    @Test("A status that the policy allows is accepted")
    func statuses() throws {
        var made = MadeQuote()
        made.info.platformStatus = "SWHardeningNeeded"
        #expect(try made.appraise().checks == [.tcbStatus])
        let lenient = try policy(#"{"tdx": {"tcbStatuses": ["UpToDate", "SWHardeningNeeded"]}}"#)
        #expect(try made.appraise(lenient).failures == [])
    }

    @Test("Version 4 of a quote has its module's versions compared with the platform's")
    func module4() throws {
        var made = MadeQuote()
        made.version = 4
        made.changes = [0: [2]]
        #expect(try made.appraise().checks == [.tcbStatus])
        made.changes = [0x40: [1]]
        #expect(try made.appraise().checks == [.moduleIdentity])
    }

    @Test("A quote without collateral is accepted only where the policy asks for none")
    func withoutCollateral() throws {
        let made = MadeQuote()
        let none = try Collateral()
        let at = try time("2026-02-03T12:00:00Z")
        let quote = try made.quote()
        func checks(_ json: String) throws -> [Check] {
            appraise(quote, with: none, policy: try policy(json), roots: made.roots, at: at).checks
        }
        #expect(try checks(#"{"tdx": {}}"#) == [.revocationListMissing, .revocationListMissing])
        #expect(try checks(#"{"tdx": {"revocation": "whenGiven"}}"#) == [.collateralMissing])
        #expect(try checks(#"{"tdx": {"revocation": "whenGiven", "requireTCB": false}}"#) == [])
    }

    @Test(
        "An enclave or a module that is not Intel's is refused without any collateral",
        arguments: [
            (true, 0x80, [UInt8](repeating: 0x5e, count: 32), Check.enclaveIdentity),
            (true, 0x100, [1], .enclaveIdentity),
            (true, 0x30, [0x17], .enclaveIdentity), (true, 0x30, [0x01], .enclaveIdentity),
            (true, 0x10, [1], .enclaveIdentity), (false, 0x40, [1], .moduleIdentity),
            (false, 0x70, [1], .moduleIdentity),
        ])
    func forged(isEnclave: Bool, offset: Int, bytes: [UInt8], check: Check) throws {
        var made = MadeQuote()
        if isEnclave { made.enclaveChanges = [offset: bytes] } else { made.changes = [offset: bytes] }
        let appraisal = appraise(
            try made.quote(), with: try Collateral(),
            policy: try policy(#"{"tdx": {"revocation": "whenGiven", "requireTCB": false}}"#),
            roots: made.roots,
            at: try time("2026-02-03T12:00:00Z"))
        #expect(appraisal.checks == [check])
    }

    @Test("Documents and lists that nobody signed do not take the place of those that Intel signed")
    func displaced() throws {
        var made = MadeQuote()
        var forged = MadeQuote()
        forged.documentSigner = P256.Signing.PrivateKey()
        forged.info.from = "2026-02-01T00:00:00Z"
        forged.identity.from = "2026-02-01T00:00:00Z"
        made.more = [
            .init(name: "forged", bytes: try forged.signed("tcbInfo", forged.info.json)),
            .init(name: "forged", bytes: try forged.signed("enclaveIdentity", forged.identity.json)),
            .init(
                name: "forged",
                bytes: try MadeList(issuer: "Root", from: "2026-02-01T00:00:00Z").encoded(
                    by: .p256(made.keys.leaf))),
        ]
        #expect(try made.appraise().failures == [])
        made.rootList = nil
        #expect(try Set(made.appraise().checks) == [.revocationListSignature])
    }

    @Test("What was not compared is told")
    func notes() throws {
        let made = MadeQuote()
        let at = try time("2026-02-03T12:00:00Z")
        func text(_ files: [Collateral.File], _ json: String) throws -> String {
            let policy = try policy(json)
            let appraisal = appraise(
                try made.quote(), with: try Collateral(files), policy: policy, roots: made.roots, at: at)
            return AppraisalReport(appraisal, policy: policy, at: at).text
        }
        let bare = try text([], #"{"tdx": {"revocation": "whenGiven", "requireTCB": false}}"#)
        #expect(bare.contains("no revocation list of 'Root' was there"))
        #expect(bare.contains("no revocation list of 'Platform CA' was there"))
        #expect(bare.contains("no collateral of Intel's was there"))
        #expect(bare.contains("the policy names no runtime registers"))
        let register = String(repeating: "e2", count: 48)
        let full = try text(made.files(), "{\"tdx\": {\"rtmrs\": [null, null, [\"\(register)\"], null]}}")
        #expect(full.contains("MRSERVICETD"))
        for part in ["no revocation list", "no collateral", "runtime registers"] {
            #expect(!full.contains(part))
        }
    }

    @Test("The same quote is accepted once, also in another version and with another signature")
    func replayed() throws {
        var made = MadeQuote()
        let files = try Collateral(try made.files())
        let at = try time("2026-02-03T12:00:00Z")
        var seen = SeenEvidence()
        let quote = try made.quote()
        #expect(Appraisal(quote, with: files, roots: made.roots, at: at, seen: &seen).failures == [])
        #expect(Appraisal(quote, with: files, roots: made.roots, at: at, seen: &seen).checks == [.replayed])
        made.version = 4
        made.changes = [0: [4, 1, 3]]
        let older = try made.quote()
        #expect(Appraisal(older, with: files, roots: made.roots, at: at, seen: &seen).checks == [.replayed])
        made.changes[0x208] = [1]
        let other = try made.quote()
        #expect(Appraisal(other, with: files, roots: made.roots, at: at, seen: &seen).failures == [])
    }
}
