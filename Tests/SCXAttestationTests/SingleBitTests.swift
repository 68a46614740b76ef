import SCXAttestation
import Testing

/// No bit of evidence, of its signatures or of its certificates can change without a refusal.
///
/// All bits of two reports and of a quote are tried, and of the others one bit of every byte, which rotates with the byte:
/// each trial verifies signatures, and all of them together would take minutes.
struct SingleBitTests {
    /// All bits of a byte, or one that rotates with it.
    private static func bits(_ byte: Int, all: Bool) -> Range<Int> {
        all ? 0..<8 : byte % 8..<byte % 8 + 1
    }

    private static func flip(_ bytes: [UInt8], _ byte: Int, _ bit: Int) -> [UInt8] {
        var changed = bytes
        changed[byte] ^= 1 << bit
        return changed
    }

    @Test("Bits of a real report and of its signature", arguments: 0..<4)
    func reports(number: Int) throws {
        let (file, certificates, _) = Fixture.reports[number]
        let files = try Fixture.collateral(certificates)
        let at = try time("2026-02-03")
        let bytes = try Fixture.bytes(file)
        // The chain is verified once, each report anew.
        let key = try EndorsementKey(files.certificates[0], with: files, at: at)
        _ = try UnverifiedReport(bytes).verified(by: key)
        var accepted: [String] = []
        for byte in bytes.indices {
            for bit in Self.bits(byte, all: number == 0 || number == 3) {
                let changed = Self.flip(bytes, byte, bit)
                if failedChecks({ _ = try UnverifiedReport(changed).verified(by: key) }).isEmpty {
                    accepted.append("byte \(byte), bit \(bit)")
                }
            }
        }
        #expect(accepted == [])
        #expect(bytes.count == 1184)
    }

    @Test("One bit of every byte of each certificate of a real report", arguments: 0..<4)
    func certificates(number: Int) throws {
        let (file, names, _) = Fixture.reports[number]
        let certificates = try Fixture.collateral(names).certificates.map(\.encoded)
        let report = try Fixture.bytes(file)
        let lenient = try policy(#"{"snp": {"allowDebug": true}}"#)
        let at = try time("2026-02-03")
        #expect(
            appraise(report, with: try Fixture.collateral(names), policy: lenient, at: at).failures == [])
        var accepted: [String] = []
        // The second chain of Milan has the intermediate and the root of the first.
        for (which, certificate) in certificates.enumerated() where number != 1 || which == 0 {
            for byte in certificate.indices {
                var changed = certificates
                // The bit rotates with the byte, and differently for each report.
                changed[which] = Self.flip(certificate, byte, (byte + 2 * number) % 8)
                let files = changed.map { Collateral.File(name: "certificate", bytes: $0) }
                guard let collateral = try? Collateral(files) else { continue }
                // What verifies the chain refuses all of them; the report's signature need not be tried.
                let failed = failedChecks {
                    _ = try EndorsementKey(collateral.certificates[0], with: collateral, at: at)
                }
                if failed.isEmpty { accepted.append("certificate \(which), byte \(byte)") }
            }
        }
        #expect(accepted == [])
        #expect(certificates.count == 3)
    }

    private static let quotes = [
        ("tdx/quote-v4.dat", Fixture.collateral2023, "2023-07-01"),
        ("tdx/quote-v5.dat", Fixture.collateral2026, "2026-02-03"),
    ]

    @Test("Bits of a real quote before its certificates, and of its signatures", arguments: 0..<2)
    func quotes(number: Int) throws {
        let (name, _, day) = Self.quotes[number]
        let bytes = try Fixture.bytes(name)
        let at = try time(day)
        let quote = try UnverifiedQuote(bytes)
        let files = try Collateral(quote.certificates.map { .init(name: "certificate", bytes: $0.encoded) })
        let key = try PlatformKey(quote.certificates[0], with: files, at: at, revocation: .whenGiven)
        func verify(_ bytes: [UInt8]) throws {
            _ = try UnverifiedQuote(bytes).verified(by: key, with: files, at: at, revocation: .whenGiven)
        }
        try verify(bytes)
        let start = try #require(bytes.firstRange(of: "-----BEGIN".utf8)?.lowerBound)
        var accepted: [String] = []
        for byte in 0..<start {
            for bit in Self.bits(byte, all: number == 1)
            where failedChecks({ try verify(Self.flip(bytes, byte, bit)) }).isEmpty {
                accepted.append("byte \(byte), bit \(bit)")
            }
        }
        #expect(accepted == [])
        #expect(start > 1200)
    }

    @Test("One bit of every byte of the certificates within a real quote, as text", arguments: 0..<2)
    func quoteCertificates(number: Int) throws {
        let (name, collateral, day) = Self.quotes[number]
        let quote = try Fixture.bytes(name)
        // What stands behind the quote is no part of it.
        let end = quote.count - (try UnverifiedQuote(quote).trailingCount)
        let start = try #require(quote.firstRange(of: "-----BEGIN".utf8)?.lowerBound)
        let files = try Fixture.collateral(collateral)
        let lenient = try policy(#"{"tdx": {"requireTCB": false}}"#)
        let at = try time(day)
        #expect(appraise(quote, with: files, policy: lenient, at: at).failures == [])
        var accepted: [Int] = []
        for byte in start..<end {
            let changed = Self.flip(quote, byte, (byte + 3 * number) % 8)
            if appraise(changed, with: files, policy: lenient, at: at).failures.isEmpty {
                accepted.append(byte)
            }
        }
        #expect(accepted == [])
    }

    @Test("One bit of every fourth byte of the objects that Intel signs, and of the lists", arguments: 0..<4)
    func documents(which: Int) throws {
        let names = Fixture.collateral2026
        let index = [0, 1, 3, 4][which]
        let quote = try Fixture.bytes("tdx/quote-v5.dat")
        let at = try time("2026-02-03")
        let bytes = try names.map { try Fixture.bytes($0) }
        // A digit of a signature means the same in both cases, so that one bit of it may change.
        let isDocument = index < 2
        let end =
            isDocument ? try #require(bytes[index].firstRange(of: "\"signature\"".utf8)?.lowerBound) : nil
        var accepted: [Int] = []
        for byte in stride(from: 0, to: end ?? bytes[index].count, by: 4) {
            var changed = bytes
            changed[index] = Self.flip(bytes[index], byte, byte / 4 % 8)
            let files = changed.map { Collateral.File(name: "file", bytes: $0) }
            guard let collateral = try? Collateral(files) else { continue }
            if appraise(quote, with: collateral, at: at).failures.isEmpty { accepted.append(byte) }
        }
        #expect(accepted == [])
    }
}
