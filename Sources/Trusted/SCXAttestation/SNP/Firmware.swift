/// What a firmware volume (OVMF) says of its place in memory and of the pages that the hypervisor adds.
///
/// The tables stand at its end, from the last backwards (edk2, `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm` and
/// `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm`).
package struct Firmware: Sendable {
    /// The largest file that is read, in bytes.
    package static let limit = 64 * 1024 * 1024

    let bytes: [UInt8]
    let sections: [Section]
    /// Where processors other than the first begin.
    let reset: UInt32?
    /// Address of the table of the kernel's hashes.
    let hashTable: UInt32?

    /// A range of pages that the hypervisor adds.
    struct Section: Equatable {
        let address: UInt32
        let size: UInt32
        let kind: Kind
    }

    enum Kind: UInt32 {
        case zeros = 1
        case secrets = 2
        case processor = 3
        case callingArea = 4
        case kernelHashes = 0x10
    }

    /// Address of the first byte: the firmware ends at 4 GiB.
    var address: UInt64 { 0x1_0000_0000 - UInt64(bytes.count) }

    /// Reads a firmware file.
    ///
    /// - Throws: ``MeasurementError`` where it is no firmware for SEV-SNP.
    package init(_ bytes: [UInt8]) throws(MeasurementError) {
        guard bytes.count.isMultiple(of: 4096), (4096...Self.limit).contains(bytes.count) else {
            throw MeasurementError("the firmware has \(bytes.count) bytes, not some pages of 4,096")
        }
        self.bytes = bytes
        do throws(FormError) {
            let entries = try Self.entries(bytes)
            reset = try Self.number(entries["00f771de-1a7e-4fcb-890e-68c77e2fb44e"])
            hashTable = try Self.number(entries["7255371f-3a3b-4b04-927b-1da6efa8d454"])
            guard let offset = try Self.number(entries["dc886566-984a-4798-a75e-5585a7bf67cc"]) else {
                throw FormError("it has no metadata for SEV-SNP")
            }
            sections = try Self.sections(bytes, offsetFromEnd: Int(offset))
        } catch {
            throw MeasurementError("the firmware cannot be read: \(error.reason)")
        }
    }

    /// The entries of the table before the reset vector, by their GUID.
    private static func entries(_ bytes: [UInt8]) throws(FormError) -> [String: [UInt8]] {
        let header = 18  // a size of two bytes and a GUID, behind the entry's data
        var end = bytes.count - 32
        func entry(_ end: Int) throws(FormError) -> (guid: String, size: Int) {
            guard end >= header else { throw FormError("its table is cut off") }
            var reader = ByteReader(Array(bytes[end - header..<end]))
            let size: UInt16 = try reader.integer("size")
            return (guid(try reader.take(16, "GUID")), Int(size))
        }
        let footer = try entry(end)
        guard footer.guid == "96b582de-1fb2-45f7-baea-a366c55a082d", footer.size >= header, footer.size <= end
        else { throw FormError("it has no table of GUIDs") }
        let start = end - footer.size
        end -= header
        var entries: [String: [UInt8]] = [:]
        while end > start {
            let (guid, size) = try entry(end)
            guard size >= header, end - size >= start else {
                throw FormError("an entry of its table has no size")
            }
            entries[guid] = Array(bytes[end - size..<end - header])
            end -= size
        }
        return entries
    }

    private static func number(_ entry: [UInt8]?) throws(FormError) -> UInt32? {
        guard let entry else { return nil }
        var reader = ByteReader(entry)
        return try reader.integer("an entry of its table")
    }

    private static func sections(_ bytes: [UInt8], offsetFromEnd: Int) throws(FormError) -> [Section] {
        guard (16...bytes.count).contains(offsetFromEnd) else {
            throw FormError("its metadata is outside of the file")
        }
        var reader = ByteReader(Array(bytes[(bytes.count - offsetFromEnd)...]))
        let mark = try reader.take(4, "metadata")
        let size: UInt32 = try reader.integer("metadata")
        let version: UInt32 = try reader.integer("metadata")
        let count: UInt32 = try reader.integer("metadata")
        guard mark.elementsEqual("ASEV".utf8), version == 1, count <= 64, size >= 16 + 12 * count else {
            throw FormError("its metadata is of an unknown form")
        }
        var sections: [Section] = []
        for _ in 0..<count {
            let address: UInt32 = try reader.integer("a section")
            let size: UInt32 = try reader.integer("a section")
            let number: UInt32 = try reader.integer("a section")
            guard let kind = Kind(rawValue: number) else { throw FormError("a section is of kind \(number)") }
            guard address.isMultiple(of: 4096), size.isMultiple(of: 4096), size <= UInt32(limit) else {
                throw FormError("a section is not some whole pages")
            }
            sections.append(Section(address: address, size: size, kind: kind))
        }
        return sections
    }

    /// A GUID as it is written: its first three fields are little-endian.
    private static func guid(_ bytes: [UInt8]) -> String {
        [
            bytes[0..<4].reversed(), bytes[4..<6].reversed(), bytes[6..<8].reversed(), Array(bytes[8..<10]),
            Array(bytes[10..<16]),
        ].map { Hex.text($0) }.joined(separator: "-")
    }

    /// The bytes of a GUID.
    static func guid(_ text: String) -> [UInt8] {
        let parts = text.split(separator: "-").map { Hex.bytes(String($0)) ?? [] }
        return parts[0].reversed() + parts[1].reversed() + parts[2].reversed() + parts[3] + parts[4]
    }
}

/// Why a launch measurement cannot be computed, in one line.
package struct MeasurementError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
