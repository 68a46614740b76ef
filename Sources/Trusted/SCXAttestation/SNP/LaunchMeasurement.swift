import Crypto
package import Foundation

/// The measurement that AMD's firmware makes of a guest at its launch: a chain of hashes over its pages.
///
/// Document 56860, section 8.17.2: each page's hash, kind and address are hashed together with the chain so far. The order
/// of pages is QEMU's: the firmware, the pages that its metadata names, and a save area for each processor.
package struct LaunchMeasurement: Equatable, Sendable {
    /// SHA-384 of all so far, of 48 bytes.
    package private(set) var digest: [UInt8]

    private init(digest: [UInt8]) { self.digest = digest }

    /// SHA-256 of what QEMU boots directly, when it adds the hashes to a page of the guest (`kernel-hashes=on`).
    package struct Kernel: Sendable {
        let kernel, initrd, commandLine: [UInt8]

        /// - Parameters:
        ///   - kernel: SHA-256 of the kernel's file, of 32 bytes.
        ///   - initrd: SHA-256 of the initial file system; of no bytes where there is none.
        ///   - commandLine: The kernel's command line, to which QEMU adds a zero byte.
        package init(kernel: [UInt8], initrd: [UInt8], commandLine: String) {
            precondition(kernel.count == 32 && initrd.count == 32, "Kernel: a hash is not SHA-256")
            self.kernel = kernel
            self.initrd = initrd
            self.commandLine = Array(SHA256.hash(data: Array(commandLine.utf8) + [0]))
        }

        /// The page with the table of hashes, as QEMU writes it (`target/i386/sev.c`).
        func page(tableAt offset: Int) throws(MeasurementError) -> [UInt8] {
            var table: [UInt8] = []
            for (guid, hash) in [
                ("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", commandLine),
                ("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd),
                ("4de79437-abd2-427f-b835-d5b172d2045b", kernel),
            ] {
                table += Firmware.guid(guid) + [50, 0] + hash
            }
            table = Firmware.guid("9438d606-4f22-4cc9-b479-a793d411fd21") + [168, 0] + table
            guard offset + 176 <= 4096 else { throw MeasurementError("the table of hashes leaves its page") }
            let before = [UInt8](repeating: 0, count: offset)
            return before + table + [UInt8](repeating: 0, count: 4096 - offset - table.count)
        }
    }

    /// SHA-256 of a file that is read in parts.
    package struct FileHash {
        private var hash = SHA256()

        package init() {}

        package mutating func update(_ part: some DataProtocol) { hash.update(data: part) }

        /// The digest, of 32 bytes.
        package func finish() -> [UInt8] { Array(hash.finalize()) }
    }

    /// Kinds of pages (document 56860, table 65).
    private enum PageKind: UInt8 {
        case normal = 1
        case saveArea = 2
        case zero = 3
        case secrets = 5
        case processor = 6
    }

    /// The measurement of a firmware's own pages, the beginning of every guest's that has it.
    package static func ofFirmware(_ firmware: Firmware) -> LaunchMeasurement {
        var measurement = LaunchMeasurement(digest: [UInt8](repeating: 0, count: 48))
        measurement.add(firmware.bytes, at: firmware.address)
        return measurement
    }

    /// The measurement of a guest that QEMU starts.
    ///
    /// - Parameters:
    ///   - firmware: The firmware's file.
    ///   - firmwareDigest: The measurement of the firmware's own pages, of 48 bytes, where `firmware` holds but its end; nil
    ///     to compute it.
    ///   - kernel: What is booted directly, or nil.
    ///   - processors: How many virtual processors, from 1 to 1,024.
    ///   - processor: Their kind.
    ///   - features: The guest's SEV features; bit 0 is SEV-SNP.
    /// - Throws: ``MeasurementError`` where the firmware does not say what is needed.
    package init(
        firmware: Firmware, firmwareDigest: [UInt8]? = nil, kernel: Kernel?, processors: Int,
        processor: ProcessorKind, features: UInt64
    ) throws(MeasurementError) {
        guard (1...1024).contains(processors) else {
            throw MeasurementError("\(processors) processors are not between 1 and 1,024")
        }
        if let firmwareDigest {
            guard firmwareDigest.count == 48 else {
                throw MeasurementError("the firmware's digest has not 48 bytes")
            }
            self.init(digest: firmwareDigest)
        } else {
            self = Self.ofFirmware(firmware)
        }
        guard kernel == nil || firmware.sections.contains(where: { $0.kind == .kernelHashes }) else {
            throw MeasurementError("the firmware has no page for a kernel's hashes")
        }
        for section in firmware.sections { try add(section, kernel, firmware) }
        let first = SaveArea(
            instruction: SaveArea.resetVector, processor: processor.signature, features: features)
        add(.saveArea, at: Self.saveAreaAddress, first.page)
        guard processors > 1 else { return }
        guard let reset = firmware.reset, reset != 0 else {
            throw MeasurementError("the firmware does not say where further processors begin")
        }
        let other = SaveArea(instruction: reset, processor: processor.signature, features: features)
        for _ in 1..<processors { add(.saveArea, at: Self.saveAreaAddress, other.page) }
    }

    /// The address with which every save area is measured: the highest page of 48 bits.
    private static let saveAreaAddress: UInt64 = 0xffff_ffff_f000

    private mutating func add(
        _ section: Firmware.Section, _ kernel: Kernel?, _ firmware: Firmware
    ) throws(MeasurementError) {
        let address = UInt64(section.address)
        switch section.kind {
        case .secrets: add(.secrets, at: address)
        case .processor: add(.processor, at: address)
        case .kernelHashes where kernel != nil:
            guard let kernel, let table = firmware.hashTable, section.size == 4096 else {
                throw MeasurementError("the firmware does not say where the kernel's hashes are")
            }
            add(try kernel.page(tableAt: Int(table & 0xfff)), at: address)
        case .zeros, .callingArea, .kernelHashes:
            for offset in stride(from: 0, to: UInt64(section.size), by: 4096) {
                add(.zero, at: address + offset)
            }
        }
    }

    /// Adds pages with content.
    private mutating func add(_ bytes: [UInt8], at address: UInt64) {
        for start in stride(from: 0, to: bytes.count, by: 4096) {
            add(.normal, at: address + UInt64(start), Array(bytes[start..<start + 4096]))
        }
    }

    /// Adds one page (PAGE_INFO, document 56860, table 67), with zeros where its content is not measured.
    private mutating func add(_ kind: PageKind, at address: UInt64, _ content: [UInt8]? = nil) {
        var hash = SHA384()
        hash.update(data: digest)
        hash.update(data: content.map { Array(SHA384.hash(data: $0)) } ?? [UInt8](repeating: 0, count: 48))
        // The structure's length, the kind; no migration image, no permissions of other levels.
        hash.update(data: [0x70, 0, kind.rawValue, 0, 0, 0, 0, 0])
        hash.update(data: (0..<8).map { UInt8(truncatingIfNeeded: address >> (8 * $0)) })
        digest = Array(hash.finalize())
    }
}

/// A kind of virtual processor, of which the firmware measures what CPUID function 1 gives in EAX.
package struct ProcessorKind: Equatable, Sendable {
    package let signature: UInt32

    package init(signature: UInt32) { self.signature = signature }

    /// Puts family, model and stepping together (document 25481, function 1).
    package init(family: UInt32, model: UInt32, stepping: UInt32) {
        let (low, high) = family > 15 ? (15, family - 15) : (family, 0)
        signature = high << 20 | (model >> 4) << 16 | low << 8 | (model & 15) << 4 | stepping & 15
    }

    /// The kind with one of QEMU's names, such as `EPYC-v4` (`target/i386/cpu.c`).
    ///
    /// - Returns: Nil for a name that is not one of ``names``.
    package init?(name: String) {
        guard let known = Self.known.first(where: { $0.names.contains(name) }) else { return nil }
        self = known.kind
    }

    /// The names that are known.
    package static var names: [String] { known.flatMap(\.names) }

    private static let known: [(names: [String], kind: ProcessorKind)] = [
        (
            ["EPYC", "EPYC-v1", "EPYC-v2", "EPYC-IBPB", "EPYC-v3", "EPYC-v4"],
            ProcessorKind(family: 23, model: 1, stepping: 2)
        ),
        (
            ["EPYC-Rome", "EPYC-Rome-v1", "EPYC-Rome-v2", "EPYC-Rome-v3"],
            ProcessorKind(family: 23, model: 49, stepping: 0)
        ),
        (
            ["EPYC-Milan", "EPYC-Milan-v1", "EPYC-Milan-v2"],
            ProcessorKind(family: 25, model: 1, stepping: 1)
        ),
        (["EPYC-Genoa", "EPYC-Genoa-v1"], ProcessorKind(family: 25, model: 17, stepping: 0)),
        (["EPYC-Turin"], ProcessorKind(family: 26, model: 0, stepping: 0)),
    ]
}
