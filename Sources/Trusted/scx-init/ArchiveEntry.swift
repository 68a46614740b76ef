#if os(Linux)
    /// One entry of a model's disk: the head of a file in a tar archive (POSIX.1-1988, "ustar").
    ///
    /// The disk is the host's, and anybody's: no file system of the kernel reads it, and nothing is taken that
    /// `Scripts/make-image --disk` does not write.
    package struct ArchiveEntry: Equatable {
        /// Bytes of a head, and of the units in which an archive grows.
        package static let blockSize = 512
        /// The most files that a model may have.
        package static let countLimit = 4096

        /// The file's path inside the model's directory: up to four names of letters, digits and `-_.+`, none of which
        /// begins with a point.
        package let path: String
        /// The file's size in bytes.
        package let size: Int

        /// Bytes between the file's content and the next head.
        package var padding: Int { (Self.blockSize - size % Self.blockSize) % Self.blockSize }

        /// Reads a head; nil for the block of zeros that ends an archive.
        ///
        /// - Parameter block: 512 bytes.
        /// - Throws: ``InitError`` for anything else than the head of a file with such a path.
        package init?(_ block: [UInt8]) throws(InitError) {
            precondition(block.count == Self.blockSize, "ArchiveEntry: \(block.count) bytes")
            if block.allSatisfy({ $0 == 0 }) { return nil }
            // The sum is over the head with spaces in the place of the sum.
            let sum = block.enumerated().reduce(0) {
                $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element))
            }
            guard block[257..<262].elementsEqual("ustar".utf8), Self.octal(block[148..<156]) == sum else {
                throw InitError("is not a disk that 'make-image --disk' wrote")
            }
            guard block[156] == UInt8(ascii: "0") else { throw InitError("holds something else than files") }
            path = try Self.path(block[345..<500], block[0..<100])
            guard let size = Self.size(block[124..<136]) else {
                throw InitError("'\(path)' has no size that can be read")
            }
            self.size = size
        }

        private static func path(_ prefix: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) throws(InitError)
            -> String
        {
            let text = [prefix, name].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            let path = text[0].isEmpty ? text[1] : "\(text[0])/\(text[1])"
            let names = path.split(separator: "/", omittingEmptySubsequences: false)
            let allowed = names.allSatisfy { name in
                !name.isEmpty && !name.hasPrefix(".")
                    && name.utf8.allSatisfy { byte in
                        switch byte {
                        case 48...57, 65...90, 97...122: true
                        default: "-_.+".utf8.contains(byte)
                        }
                    }
            }
            guard allowed, names.count <= 4 else {
                throw InitError("holds a file with a path that is not allowed")
            }
            return path
        }

        /// Digits of base 8 that a space or a zero ends.
        private static func octal(_ field: ArraySlice<UInt8>) -> Int? {
            let digits = field.prefix { $0 != 0 && $0 != 32 }
            guard !digits.isEmpty, digits.allSatisfy({ (48...55).contains($0) }) else { return nil }
            return digits.reduce(0) { $0 << 3 | Int($1 - 48) }
        }

        /// A size in base 8, or in base 256 behind a byte of 128 (GNU tar, for 8 GiB and more).
        private static func size(_ field: ArraySlice<UInt8>) -> Int? {
            guard field.first == 128 else { return octal(field) }
            let bytes = field.dropFirst()
            // Eight bytes suffice; the first of them must leave the sign alone, and some room for sums.
            guard bytes.dropLast(8).allSatisfy({ $0 == 0 }) else { return nil }
            let value = bytes.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return value < 1 << 60 ? Int(value) : nil
        }
    }
#endif
