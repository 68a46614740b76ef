#if Network
    import Foundation
    import SCXAttestation
    import SCXCertificates

    /// Reads what attestation takes from others: evidence, certificates, collateral, policies, documents of servers.
    ///
    /// The first byte of an input says which of the readers gets the rest.
    struct EvidenceTarget: FuzzTarget {
        let seeds: [[UInt8]]
        let words = [
            "\"snp\":", "\"tdx\":", "\"runs\":", "\"tcbLevels\":", "\"status\": \"UpToDate\"", "null",
            "\"version\":1",
            "-----BEGIN CERTIFICATE-----", "-----END X509 CRL-----", "\u{0}\u{0}\u{0}\u{4}", "\u{30}\u{7f}",
        ]

        /// - Parameter checkout: The project's folder.
        /// - Throws: An error when a fixture cannot be read.
        init(_ checkout: String) throws {
            let folder = "\(checkout)/Tests/SCXAttestationTests/Fixtures"
            func file(_ name: String) throws -> [UInt8] {
                Array(try Data(contentsOf: URL(filePath: "\(folder)/\(name)")))
            }
            func files(_ part: String, _ endings: [String]) throws -> [[UInt8]] {
                try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(part)").sorted()
                    .filter { name in endings.contains { name.hasSuffix($0) } }.map {
                        try file("\(part)/\($0)")
                    }
            }
            let evidence =
                try files("sev", [".bin"]).filter { $0.count == 1184 } + files("tdx", ["v4.dat", "v5.dat"])
            let certificate = try file("sev/vcek-milan.der")
            let document = try Self.document(evidence[0], certificate)
            var seeds: [[UInt8]] = []
            for reader in AttestationReader.allCases {
                let own: [[UInt8]] =
                    switch reader {
                    case .evidence: evidence
                    case .certificate: [certificate]
                    case .revocationList: try files("tdx", [".der"])
                    case .pem: try files("sev", [".pem"])
                    case .collateral: try files("tdx", [".json"])
                    case .policy:
                        [
                            Array(
                                #"{"reportData": "00", "snp": {"vmpl": [0], "minimumTCB": {"Milan": {"bootLoader": 1, "tee": 0, "snp": 2, "microcode": 3}}}}"#
                                    .utf8),
                            Array(
                                #"{"tdx": {"rtmrs": [null, null, null, null]}, "runs": {"profiles": ["sealed"], "workers": []}}"#
                                    .utf8),
                        ]
                    case .firmware: [try file("sev/ovmf-amdsev-suffix.bin")]
                    case .seen: [Array((String(repeating: "ab", count: 32) + "\n").utf8)]
                    case .document: [document.json]
                    case .statement: [document.statement]
                    case .secretsRequest: [try Self.request(evidence[0])]
                    case .certifiedDocument: [try Self.certificate(document)]
                    }
                seeds += own.map { [UInt8(reader.index)] + $0 }
            }
            self.seeds = seeds
        }

        func run(_ input: [UInt8]) throws {
            guard let first = input.first else { return }
            let readers = AttestationReader.allCases
            try readers[Int(first) % readers.count].check(Array(input.dropFirst()))
        }

        // MARK: Seeds that no fixture has

        private static let statement = ServerStatement(
            software: "scx", revision: "1", model: "m", modelDigest: "00", profiles: ["sealed"],
            workers: ["tcp://worker:7070"], peers: [])

        private static func document(_ evidence: [UInt8], _ certificate: [UInt8]) throws
            -> AttestationDocument
        {
            AttestationDocument(
                evidence: evidence, collateral: [certificate], statement: statement.json,
                nonce: ReportData.noNonce,
                key: [1, 2, 3])
        }

        private struct Source: EvidenceSource {
            let bytes: [UInt8]

            func evidence(of reportData: [UInt8]) throws(EvidenceError) -> [UInt8] { bytes }
        }

        private static func request(_ evidence: [UInt8]) throws -> [UInt8] {
            try SecretsReceiver(nonce: ReportData.noNonce).request(
                statement: statement, source: Source(bytes: evidence)
            ).json
        }

        /// A certificate that carries a document.
        private static func certificate(_ document: AttestationDocument) throws -> [UInt8] {
            let pair = try KeyPair(
                name: "scx", from: Date(timeIntervalSince1970: 1.7e9), to: Date(timeIntervalSince1970: 2e9)
            ) {
                _ in
                KeyPair.Extension(
                    identifier: AttestationDocument.certificateExtension,
                    value: document.certificateExtensionValue)
            }
            let lines = pair.certificate.split(separator: "\n").filter { !$0.hasPrefix("-") }
            return Array(Data(base64Encoded: lines.joined()) ?? Data())
        }
    }

    extension AttestationReader {
        fileprivate var index: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    }
#endif
