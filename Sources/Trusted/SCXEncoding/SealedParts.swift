import Crypto
import Foundation

/// The parts of an encrypted file: at most 1 MiB each, `nonce | encrypted bytes | tag`, by AES-256 in Galois/Counter
/// Mode.
///
/// Each part is authenticated together with a context that says what it is and where it belongs, so that it can be
/// decrypted at no other place and in no other file. Reading and writing need memory for a second copy of one part
/// only.
enum SealedParts {
    static let size = 1 << 20
    /// The difference between the size of a part and that of its content, in bytes.
    static let overhead = 28

    /// How many parts there are: at least one, so that empty content has a tag too.
    static func count(_ bytes: Int) -> Int { max(1, (bytes + size - 1) / size) }

    /// The size of all parts together.
    static func sealedSize(_ bytes: Int) -> Int { bytes + count(bytes) * overhead }

    private static func range(_ part: Int, of bytes: Int) -> Range<Int> {
        part * size..<min((part + 1) * size, bytes)
    }

    /// Encrypts bytes and appends the parts to a file.
    ///
    /// - Parameters:
    ///   - bytes: The content.
    ///   - file: The file.
    ///   - key: A key for this file alone; a new random nonce is drawn for each part.
    ///   - context: Returns the data that is authenticated together with a part.
    /// - Throws: ``VaultError`` when the disk takes no more.
    static func append(
        _ bytes: UnsafeRawBufferPointer, to file: borrowing VaultFile, key: SymmetricKey,
        context: (_ part: Int) -> [UInt8]
    ) throws(VaultError) {
        for part in 0..<count(bytes.count) {
            let range = range(part, of: bytes.count)
            let clear = unsafe UnsafeRawBufferPointer(rebasing: bytes[range])
            guard
                let sealed = unsafe try? AES.GCM.seal(clear, using: key, authenticating: context(part))
                    .combined
            else { throw VaultError(file.path, "the cipher failed") }
            try file.append(sealed)
        }
    }

    /// Decrypts the next parts of a file.
    ///
    /// - Parameters:
    ///   - bytes: Receives the content, which must have had this size.
    ///   - file: The file.
    ///   - key: The key with which it was encrypted.
    ///   - context: Returns the data that was authenticated together with a part.
    /// - Returns: Whether everything is as it was written; if not, the contents of `bytes` must not be used.
    static func read(
        into bytes: UnsafeMutableRawBufferPointer, from file: borrowing VaultFile, key: SymmetricKey,
        context: (_ part: Int) -> [UInt8]
    ) -> Bool {
        for part in 0..<count(bytes.count) {
            let range = range(part, of: bytes.count)
            var sealed = Data(count: range.count + overhead)
            guard unsafe sealed.withUnsafeMutableBytes({ unsafe file.fill($0) }),
                let box = try? AES.GCM.SealedBox(combined: sealed),
                var opened = try? AES.GCM.open(box, using: key, authenticating: context(part)),
                opened.count == range.count
            else { return false }
            unsafe opened.withUnsafeMutableBytes { opened in
                guard let start = opened.baseAddress else { return }
                unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[range])
                    .copyMemory(from: UnsafeRawBufferPointer(opened))
                unsafe zeroize(start, byteCount: opened.count)
            }
        }
        return true
    }
}

/// A key of 256 bits in a file of its own, which only its owner can read.
enum KeyFile {
    static let size = 32

    /// Reads the key; nil when there is none.
    static func read(_ path: String) throws(VaultError) -> SymmetricKey? {
        guard let file = try VaultFile.reading(path) else { return nil }
        guard file.size == size else {
            throw VaultError(path, "is \(file.size) bytes long, a key has \(size)")
        }
        var bytes = SecretBuffer<UInt8>(repeating: 0, count: size)
        var span = bytes.mutableSpan
        let isRead = unsafe span.withUnsafeMutableBytes { unsafe file.fill($0) }
        guard isRead else { throw VaultError(path, "cannot be read") }
        return unsafe bytes.span.withUnsafeBytes { unsafe SymmetricKey(data: $0) }
    }

    /// Makes a key from the system's generator, unless there is one by now.
    static func make(_ path: String) throws(VaultError) {
        let name = "\(path).partial"
        VaultFile.remove(name)
        let file = try VaultFile.creating(name)
        var failure: VaultError?
        unsafe SymmetricKey(size: .bits256).withUnsafeBytes { bytes in
            do throws(VaultError) { unsafe try file.append(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        try file.synchronize()
        try VaultFile.moveKeeping(name, to: path)
    }
}
