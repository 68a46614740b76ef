import Foundation
import SCXAttestation
import Testing

/// Readers of bytes that somebody else made.
struct ReaderTests {
    /// What each reader accepts, from which inputs are made.
    private static func seeds(_ reader: AttestationReader) throws -> [[UInt8]] {
        switch reader {
        case .evidence:
            return try (Fixture.reports.map(\.report) + ["tdx/quote-v4.dat", "tdx/quote-v5.dat"]).map(
                Fixture.bytes)
        case .certificate:
            let names = Fixture.reports.flatMap(\.certificates) + ["tdx/tcb-signing-chain-2026.pem"]
            return try Fixture.collateral(names).certificates.map(\.encoded)
                + UnverifiedQuote(try Fixture.bytes("tdx/quote-v5.dat")).certificates.map(\.encoded)
        case .revocationList:
            return try ["tdx/pck-crl-platform-2026.der", "tdx/root-crl-2023.der"].map(Fixture.bytes)
        case .pem: return try ["sev/vcek-chain-genoa.pem", "sev/ask-ark-turin_vlek.pem"].map(Fixture.bytes)
        case .collateral: return try Fixture.collateral2026.map(Fixture.bytes)
        case .policy:
            return [
                Array(
                    #"{"reportData": "00", "snp": {"minimumTCB": {"Milan": {"bootLoader": 1, "tee": 0, "snp": 2, "microcode": 3}}, "vmpl": [0, 1]}}"#
                        .utf8),
                Array(#"{"tdx": {"rtmrs": [null, null, null, null], "tcbStatuses": ["UpToDate"]}}"#.utf8),
            ]
        case .firmware: return [try Fixture.bytes("sev/ovmf-amdsev-suffix.bin")]
        case .seen: return [Array((String(repeating: "ab", count: 32) + "\n").utf8)]
        case .document: return [try MadeIdentity().document().json]
        case .statement: return [MadeIdentity.statement.json]
        case .secretsRequest:
            let server = try MadeIdentity()
            return [
                try SecretsReceiver(nonce: ReportData.noNonce).request(
                    statement: MadeIdentity.statement, source: server.source
                ).json
            ]
        case .certifiedDocument: return [try MadeIdentity().certificate()]
        }
    }

    /// A generator that gives the same numbers on every machine (SplitMix64).
    private struct Numbers {
        var state: UInt64

        mutating func next(_ limit: Int) -> Int {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
            return Int((value ^ value >> 31) % UInt64(limit))
        }
    }

    private static func mutate(_ seed: [UInt8], _ numbers: inout Numbers) -> [UInt8] {
        var bytes = seed
        for _ in 0...numbers.next(4) {
            guard !bytes.isEmpty else { return [UInt8(numbers.next(256))] }
            let position = numbers.next(bytes.count)
            switch numbers.next(7) {
            case 0: bytes[position] ^= 1 << numbers.next(8)
            case 1: bytes[position] = UInt8(numbers.next(256))
            case 2: bytes[position] = [0, 0x7f, 0x80, 0xff][numbers.next(4)]
            case 3: bytes.removeLast(bytes.count - position)
            case 4: bytes.removeSubrange(position..<min(bytes.count, position + 1 + numbers.next(32)))
            case 5:
                let other = numbers.next(bytes.count)
                let part = bytes[position..<min(bytes.count, position + 1 + numbers.next(64))]
                bytes.insert(contentsOf: part, at: other)
            default:
                // A length of two or four bytes, in one of both orders.
                for offset in 0..<min(bytes.count - position, [2, 4][numbers.next(2)]) {
                    bytes[position + offset] = UInt8(numbers.next(2) * 255)
                }
            }
        }
        return bytes
    }

    @Test(
        "No reader crashes on inputs at random, and each accepts its seeds",
        arguments: AttestationReader.allCases)
    func random(reader: AttestationReader) throws {
        let seeds = try Self.seeds(reader)
        for seed in seeds { try reader.check(seed) }
        var numbers = Numbers(state: 16)
        var refused = 0
        for _ in 0..<15_000 {
            let input = Self.mutate(seeds[numbers.next(seeds.count)], &numbers)
            do { try reader.check(input) } catch { refused += 1 }
        }
        #expect(refused > 0 || reader == .seen)
    }

    @Test("Every beginning of a file is read without a crash", arguments: AttestationReader.allCases)
    func cut(reader: AttestationReader) throws {
        for seed in try Self.seeds(reader) {
            for count in stride(from: 0, to: seed.count, by: max(1, seed.count / 512)) {
                try? reader.check(Array(seed[..<count]))
            }
        }
    }

    @Test("Bytes after a report or a certificate are refused")
    func longer() throws {
        let report = try Fixture.bytes("sev/report-milan.bin")
        #expect(failedChecks { _ = try UnverifiedReport(report + [0]) } == [.evidenceForm])
        #expect(failedChecks { _ = try UnverifiedReport(Array(report.dropLast())) } == [.evidenceForm])
        let certificate = try Fixture.bytes("sev/vcek-milan.der")
        #expect(failedChecks { _ = try Certificate(certificate + [0]) } == [.certificateForm])
    }

    @Test("PEM is read with comments and both line ends, and otherwise strictly")
    func pem() throws {
        let text = String(decoding: try Fixture.bytes("sev/vcek-chain-milan.pem"), as: UTF8.self)
        func read(_ text: String) throws -> Int {
            try Collateral([.init(name: "file", bytes: Array(text.utf8))]).certificates.count
        }
        #expect(try read(text) == 3)
        #expect(try read(text.replacing("\n", with: "\r\n")) == 3)
        #expect(try read("# one\n\n" + text + "\n\n") == 3)
        for wrong in [
            "", "text\n" + text, text + "text", text.replacing("-----END CERTIFICATE-----", with: ""),
            text.replacing("BEGIN CERTIFICATE", with: "BEGIN KEY"), text.replacing("\nMII", with: "\n MII"),
            text.replacing("CERTIFICATE", with: "PRIVATE KEY"), text.replacing("\nMII", with: "\nM\nII"),
        ] {
            #expect(failedChecks { _ = try read(wrong) } == [.certificateForm], "\(wrong.prefix(60))")
        }
        // The last digit has bits that base64 does not use.
        let list = Data(try Fixture.bytes("tdx/root-crl-2023.der")).base64EncodedString()
        let lines = stride(from: 0, to: list.count, by: 64).map { String(list.dropFirst($0).prefix(64)) }
        let block = "-----BEGIN X509 CRL-----\n\(lines.joined(separator: "\n"))\n-----END X509 CRL-----\n"
        #expect(try Collateral([.init(name: "file", bytes: Array(block.utf8))]).lists.count == 1)
        #expect(list.hasSuffix("="))
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        let last = try #require(list.lastIndex { $0 != "=" })
        let next = try #require(digits.firstIndex(of: list[last]).map { digits[$0 + 1] })
        let changed = block.replacing("\(list[last])=", with: "\(next)=")
        #expect(changed != block)
        #expect(
            failedChecks { _ = try Collateral([.init(name: "file", bytes: Array(changed.utf8))]) }
                == [.certificateForm])
    }

    @Test("Files that are too large are refused before they are read")
    func limits() throws {
        let large = [UInt8](repeating: 0x30, count: 2 << 20)
        #expect(failedChecks { _ = try Collateral([.init(name: "file", bytes: large)]) } == [.collateralForm])
        #expect(failedChecks { _ = try UnverifiedEvidence(large) } == [.evidenceForm])
        #expect(failedChecks { _ = try Certificate(large) } == [.certificateForm])
        #expect(failedChecks { _ = try RevocationList(large) } == [.revocationListForm])
        #expect(throws: PolicyError.self) { try Policy(large) }
        let certificate = try Fixture.bytes("sev/vcek-milan.der")
        let many = [Collateral.File](repeating: .init(name: "file", bytes: certificate), count: 257)
        #expect(failedChecks { _ = try Collateral(many) } == [.collateralForm])
    }

    @Test("Deep nesting is refused")
    func deep() throws {
        let object = String(repeating: "{\"a\":", count: 40) + "1" + String(repeating: "}", count: 40)
        let json = "{\"tcbInfo\":\(object),\"signature\":\"\(String(repeating: "00", count: 64))\"}"
        #expect(
            failedChecks { _ = try Collateral([.init(name: "file", bytes: Array(json.utf8))]) } == [
                .collateralForm
            ])
        var der: [UInt8] = [0x30, 0]
        for _ in 0..<2000 {
            der = [0x30, 0x82, UInt8(der.count >> 8), UInt8(der.count & 255)] + der
        }
        #expect(failedChecks { _ = try Certificate(der) } == [.certificateForm])
    }

    @Test("Moments are read strictly, and shown as they are read")
    func moments() throws {
        #expect(try time("1970-01-01").seconds == 0)
        #expect(try time("2026-02-03T04:05:06Z").seconds == 1_770_091_506)
        #expect(try time("2000-02-29").seconds == 951_782_400)
        #expect(try time("2024-12-31T23:59:59Z").seconds == 1_735_689_599)
        #expect(try time("2026-02-03T04:05:06Z").description == "2026-02-03T04:05:06Z")
        for wrong in [
            "", "2026", "2026-2-3", "2026-02-30", "2026-13-01", "2026-02-03T24:00:00Z", "2026-02-03T04:05:06",
            "2026-02-03T04:05:06+01:00", "1900-02-29", "2026-02-03 04:05:06Z", "0000-01-01", "２０２６-02-03",
        ] { #expect(Instant(wrong) == nil, "\(wrong)") }
    }

    @Test("Digits of base 16 are read and written")
    func hex() {
        #expect(Hex.bytes("00fFAb") == [0, 255, 171])
        #expect(Hex.text([0, 255, 171]) == "00ffab")
        for wrong in ["0", "0g", "é0", " 00"] { #expect(Hex.bytes(wrong) == nil) }
    }
}
