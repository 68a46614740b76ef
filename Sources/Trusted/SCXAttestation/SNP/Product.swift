/// A line of AMD processors with its own root key and layout of TCB versions.
package enum Product: String, CaseIterable, Decodable, Sendable, CodingKeyRepresentable {
    case milan = "Milan"
    case genoa = "Genoa"
    case turin = "Turin"

    /// The product with a CPUID family and model, as reports have them from version 3 (document 56860, table 23).
    ///
    /// Genoa's keys are also those of Bergamo and Siena.
    init?(family: UInt8, model: UInt8) {
        switch (family, model) {
        case (0x19, 0x00...0x0f): self = .milan
        case (0x19, 0x10...0x1f), (0x19, 0xa0...0xaf): self = .genoa
        case (0x1a, 0x00...0x11): self = .turin
        default: return nil
        }
    }

    /// How many bytes of the 64 of a chip's identity are in use.
    var chipIdentityCount: Int { self == .turin ? 8 : 64 }
}

/// Security patch levels of a platform's firmware and microcode (document 56860, section 2.2).
package struct TCBVersion: Equatable, Sendable, CustomStringConvertible {
    /// Turin's alone.
    package let fmc: UInt8?
    package let bootLoader: UInt8
    package let tee: UInt8
    package let snp: UInt8
    package let microcode: UInt8

    package init(fmc: UInt8? = nil, bootLoader: UInt8, tee: UInt8, snp: UInt8, microcode: UInt8) {
        self.fmc = fmc
        self.bootLoader = bootLoader
        self.tee = tee
        self.snp = snp
        self.microcode = microcode
    }

    /// Reads the 8 bytes of a report.
    ///
    /// - Returns: Nil where bytes that the product reserves are not zero.
    init?(_ raw: [UInt8], of product: Product) {
        guard raw.count == 8 else { return nil }
        if product == .turin {
            guard raw[4..<7].isZero else { return nil }
            self.init(fmc: raw[0], bootLoader: raw[1], tee: raw[2], snp: raw[3], microcode: raw[7])
        } else {
            guard raw[2..<6].isZero else { return nil }
            self.init(bootLoader: raw[0], tee: raw[1], snp: raw[6], microcode: raw[7])
        }
    }

    /// Whether every level is at least the other's.
    ///
    /// Levels that only one of them has count as zero.
    package func isAtLeast(_ minimum: TCBVersion) -> Bool {
        fmc ?? 0 >= minimum.fmc ?? 0 && bootLoader >= minimum.bootLoader && tee >= minimum.tee
            && snp >= minimum.snp && microcode >= minimum.microcode
    }

    package var description: String {
        (fmc.map { "fmc \($0), " } ?? "")
            + "bootLoader \(bootLoader), tee \(tee), snp \(snp), microcode \(microcode)"
    }
}

/// Which of AMD's keys signs a report.
package enum SigningKey: String, CaseIterable, Decodable, Sendable {
    /// The chip's own (versioned chip endorsement key).
    case vcek = "VCEK"
    /// One that AMD gave a cloud provider for its machines (versioned loaded endorsement key).
    case vlek = "VLEK"
}
