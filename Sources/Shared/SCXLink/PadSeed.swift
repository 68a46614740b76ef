import Crypto
import CryptoExtras
import Foundation

/// The seed from which the pads of one batch of one site are expanded: a key of AES-256.
///
/// The trusted side draws a new seed for each batch. A peer that multiplies the batch gets the seed, so it knows
/// these pads, and the main worker must not get it. When it is printed or reflected, it shows nothing of the key. Its
/// memory is overwritten when the last copy goes.
public struct PadSeed: Equatable, Sendable, CustomStringConvertible, CustomReflectable {
    /// How many bytes a seed has.
    public static let byteCount = 32
    /// The most rows of one request for products of pads.
    public static let rowLimit = 1 << 16

    private let key: Key

    /// The 32 bytes of the key.
    public var bytes: [UInt8] { key.bytes }

    /// Makes a seed of the bytes of a key.
    ///
    /// - Precondition: There are ``byteCount`` bytes.
    public init(bytes: [UInt8]) {
        precondition(bytes.count == Self.byteCount, "PadSeed: 32 bytes")
        key = Key(bytes)
    }

    public static func == (one: PadSeed, other: PadSeed) -> Bool { one.bytes == other.bytes }

    public var description: String { "a pad seed" }
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// Writes the pad of one row: the key stream of AES-256 in counter mode as 32-bit words, little-endian.
    ///
    /// A counter block is the row's number (8 bytes, big-endian), 4 zero bytes, and the block's number within the
    /// row, from 0 on (4 bytes, big-endian). So two rows of one seed never share a block.
    ///
    /// - Parameters:
    ///   - row: The row's number in the batch.
    ///   - out: Filled with the row's first words; it may hold at most 2³⁴ of them.
    public func expand(row: UInt64, into out: inout MutableSpan<UInt32>) {
        var nonce = [UInt8](repeating: 0, count: 12)
        for i in 0..<8 { nonce[i] = UInt8(truncatingIfNeeded: row >> UInt64(56 - 8 * i)) }
        guard let nonce = try? AES._CTR.Nonce(nonceBytes: nonce),
            var stream = try? AES._CTR.encrypt(
                Data(count: 4 * out.count), using: SymmetricKey(data: bytes), nonce: nonce)
        else { preconditionFailure("PadSeed: the cipher failed") }
        unsafe stream.withUnsafeMutableBytes { stream in
            unsafe out.withUnsafeMutableBytes { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(stream)) }
            // The stream is as secret as the pad, so it is overwritten and no copy of it stays in freed memory.
            unsafe stream.withMemoryRebound(to: UInt8.self) { bytes in
                for i in bytes.indices { unsafe bytes[i] = 0 }
            }
        }
    }

    /// Writes the pads of several rows, one after the other.
    ///
    /// - Parameters:
    ///   - rows: The rows' numbers in the batch.
    ///   - inputs: Words of each row.
    ///   - out: Receives `[rows, inputs]`.
    public func expand(rows: Range<UInt64>, inputs: Int, into out: inout MutableSpan<UInt32>) {
        precondition(out.count == rows.count * inputs, "PadSeed: out is not rows x inputs")
        unsafe out.withUnsafeMutableBufferPointer { out in
            for (i, row) in rows.enumerated() {
                var words = unsafe MutableSpan(
                    _unsafeElements: out.extracting(i * inputs..<(i + 1) * inputs))
                expand(row: row, into: &words)
            }
        }
    }
}

/// The bytes that copies of a seed share.
private final class Key: @unchecked Sendable {
    /// Changed by `deinit` alone.
    private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    deinit {
        // The array is overwritten in place, since no other array shares its memory.
        unsafe bytes.withUnsafeMutableBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            #if canImport(Darwin)
                unsafe _ = memset_s(start, bytes.count, 0, bytes.count)
            #else
                unsafe explicit_bzero(start, bytes.count)
            #endif
        }
    }
}
