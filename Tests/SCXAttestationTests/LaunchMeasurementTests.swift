import Crypto
import SCXAttestation
import Testing

/// Launch measurements, against those that the tests of virtee/sev expect (`tests/measurement.rs`).
struct LaunchMeasurementTests {
    /// Kernel and initial file system are empty files there, or none.
    static let expected: [(commandLine: String?, processors: Int, features: UInt64, digest: String)] = [
        (
            "console=ttyS0 loglevel=7", 1, 0x1,
            "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa"
        ),
        (
            "console=ttyS0 loglevel=7", 1, 0x21,
            "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977"
        ),
        (
            nil, 1, 0x1,
            "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d"
        ),
        (
            nil, 1, 0x21,
            "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b"
        ),
        (
            "", 1, 0x1,
            "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5"
        ),
        (
            "", 1, 0x21,
            "329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198"
        ),
        (
            "", 4, 0x1,
            "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5"
        ),
        (
            "", 4, 0x21,
            "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942"
        ),
    ]

    static let firmwareDigest =
        "086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74"

    private func firmware() throws -> Firmware {
        try Firmware(try Fixture.bytes("sev/ovmf-amdsev-suffix.bin"))
    }

    private func kernel(_ commandLine: String) -> LaunchMeasurement.Kernel {
        let empty = LaunchMeasurement.FileHash().finish()
        return .init(kernel: empty, initrd: empty, commandLine: commandLine)
    }

    @Test("Measurements are those of another implementation", arguments: expected.indices)
    func measurements(index: Int) throws {
        let (commandLine, processors, features, digest) = Self.expected[index]
        for firmwareDigest in [nil, Hex.bytes(Self.firmwareDigest)] {
            let measurement = try LaunchMeasurement(
                firmware: try firmware(), firmwareDigest: firmwareDigest, kernel: commandLine.map(kernel),
                processors: processors, processor: try #require(ProcessorKind(name: "EPYC-v4")),
                features: features)
            #expect(Hex.text(measurement.digest) == digest)
        }
    }

    @Test("The measurement of the firmware's own pages is that of another implementation")
    func firmwarePages() throws {
        #expect(Hex.text(LaunchMeasurement.ofFirmware(try firmware()).digest) == Self.firmwareDigest)
    }

    @Test("Kernel, initial file system, kind and number of processors each change the measurement")
    func inputs() throws {
        var digests: Set<[UInt8]> = []
        let firmware = try firmware()
        let empty = LaunchMeasurement.FileHash().finish()
        let other = Array(SHA256.hash(data: [1]))
        for (kernel, initrd, processors, name) in [
            (empty, empty, 1, "EPYC-v4"), (other, empty, 1, "EPYC-v4"), (empty, other, 1, "EPYC-v4"),
            (empty, empty, 2, "EPYC-v4"), (empty, empty, 1, "EPYC-Milan"), (empty, empty, 1, "EPYC-Genoa"),
            (empty, empty, 1, "EPYC-Turin"), (empty, empty, 1, "EPYC-Rome"),
        ] {
            digests.insert(
                try LaunchMeasurement(
                    firmware: firmware, kernel: .init(kernel: kernel, initrd: initrd, commandLine: ""),
                    processors: processors, processor: try #require(ProcessorKind(name: name)), features: 1
                ).digest)
        }
        #expect(digests.count == 8)
    }

    @Test("Names of processors stand for what CPUID gives")
    func processors() throws {
        #expect(ProcessorKind(name: "EPYC-v4")?.signature == 0x0080_0f12)
        #expect(ProcessorKind(name: "EPYC-Milan")?.signature == 0x00a0_0f11)
        #expect(ProcessorKind(name: "EPYC-Genoa")?.signature == 0x00a1_0f10)
        #expect(ProcessorKind(name: "EPYC-Turin")?.signature == 0x00b0_0f00)
        #expect(ProcessorKind(name: "EPYC-Other") == nil)
        #expect(ProcessorKind(family: 6, model: 0x55, stepping: 7).signature == 0x0005_0657)
    }

    @Test("Firmware that is cut, or is none, is refused")
    func forms() throws {
        let bytes = try Fixture.bytes("sev/ovmf-amdsev-suffix.bin")
        for wrong in [[], Array(bytes.dropLast()), [UInt8](repeating: 0, count: 4096), bytes + [0]] {
            #expect(throws: MeasurementError.self) { try Firmware(wrong) }
        }
        // Four more pages before the table move the firmware, and change its measurement.
        let larger = try Firmware([UInt8](repeating: 0, count: 4 * 4096) + bytes)
        #expect(Hex.text(LaunchMeasurement.ofFirmware(larger).digest) != Self.firmwareDigest)
        #expect(throws: MeasurementError.self) {
            try LaunchMeasurement(
                firmware: larger, kernel: nil, processors: 0, processor: ProcessorKind(signature: 1),
                features: 1)
        }
    }
}
