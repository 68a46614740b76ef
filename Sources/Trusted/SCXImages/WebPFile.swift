/// A WebP file (RFC 9649), read as far as its header.
struct WebPFile {
    let width: Int
    let height: Int
    let hasAlpha: Bool
    let orientation: Int
    private let bytes: [UInt8]

    /// Reads the chunks.
    ///
    /// - Throws: ``ImageError`` when the file is damaged, larger than the limits, or animated.
    init(_ bytes: [UInt8], limits: PictureLimits) throws(ImageError) {
        guard bytes.count >= 12, bytes.little32(4) <= bytes.count - 8 else {
            throw Self.fault("it ends too early")
        }
        let end = bytes.little32(4) + 8
        var size: (width: Int, height: Int)?
        var alpha = false
        var isExtended = false
        var exif: [UInt8] = []
        var at = 12
        while at + 8 <= end {
            let contents = at + 8..<at + 8 + bytes.little32(at + 4)
            guard contents.upperBound <= end else { throw Self.fault("it ends within a chunk") }
            let start = contents.lowerBound
            switch String(decoding: bytes[at..<at + 4], as: UTF8.self) {
            case "VP8X" where size == nil:
                guard contents.count >= 10 else { throw Self.fault("its header is too short") }
                guard bytes[start] & 2 == 0 else { throw .unsupported(.webp, what: "several frames") }
                alpha = bytes[start] & 16 != 0
                isExtended = true
                size = (
                    1 + bytes.little16(start + 4) + Int(bytes[start + 6]) << 16,
                    1 + bytes.little16(start + 7) + Int(bytes[start + 9]) << 16
                )
            case "VP8 " where size == nil:
                guard contents.count >= 10, bytes[start + 3..<start + 6] == [0x9D, 0x01, 0x2A] else {
                    throw Self.fault("its header is not one")
                }
                size = (bytes.little16(start + 6) & 0x3FFF, bytes.little16(start + 8) & 0x3FFF)
            case "VP8L":
                guard contents.count >= 5, bytes[start] == 0x2F else {
                    throw Self.fault("its header is not one")
                }
                let header = bytes.little32(start + 1)
                if size == nil { size = (1 + header & 0x3FFF, 1 + header >> 14 & 0x3FFF) }
                if !isExtended { alpha = header >> 28 & 1 == 1 }
            case "EXIF": exif = Array(bytes[contents])
            default: break
            }
            // Chunks begin at even places.
            at = contents.upperBound + contents.count % 2
        }
        guard let size else { throw Self.fault("it has no header") }
        try limits.check(width: size.width, height: size.height, .webp)
        (width, height) = size
        (hasAlpha, orientation, self.bytes) = (alpha, Orientation.read(exif), bytes)
    }

    private static func fault(_ reason: String) -> ImageError { .malformed(.webp, reason: reason) }

    /// Decodes the picture by libwebp.
    ///
    /// - Throws: ``ImageError`` when there is no library, or the file is damaged.
    func picture() throws(ImageError) -> Picture {
        let library = try WebPLibrary.shared()
        let decoded = try library.decode(bytes, width: width, height: height, hasAlpha: hasAlpha)
        let picture =
            hasAlpha
            ? Picture(width: width, height: height, onWhite: decoded)
            : Picture(width: width, height: height, bytes: decoded)
        return picture.turned(orientation)
    }
}

/// The functions of libwebp that are needed (webp/decode.h).
@safe
struct WebPLibrary: Sendable {
    private typealias Decode =
        @convention(c) (
            UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<UInt8>?, Int, Int32
        ) -> UnsafeMutablePointer<UInt8>?
    private typealias Information =
        @convention(c) (
            UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?
        ) -> Int32

    private let information: Information
    private let decodeRGB: Decode
    private let decodeRGBA: Decode

    private init?() {
        #if canImport(Darwin)
            let names = ["libwebp.7.dylib", "/opt/homebrew/lib/libwebp.7.dylib"]
        #else
            let names = ["libwebp.so.7"]
        #endif
        guard let library = SystemLibrary(names),
            let information = unsafe library.function("WebPGetInfo", as: Information.self),
            let decodeRGB = unsafe library.function("WebPDecodeRGBInto", as: Decode.self),
            let decodeRGBA = unsafe library.function("WebPDecodeRGBAInto", as: Decode.self)
        else { return nil }
        unsafe self.information = unsafe information
        unsafe self.decodeRGB = unsafe decodeRGB
        unsafe self.decodeRGBA = unsafe decodeRGBA
    }

    private static let opened = WebPLibrary()

    /// The library, opened once.
    ///
    /// - Throws: ``ImageError`` that says what to install.
    static func shared() throws(ImageError) -> WebPLibrary {
        guard let opened else {
            throw SystemLibrary.missing(.webp, name: "libwebp.so.7", package: "libwebp7")
        }
        return opened
    }

    /// Decodes a file.
    ///
    /// - Parameters:
    ///   - bytes: The file.
    ///   - width: The columns that its header says.
    ///   - height: The rows that its header says.
    ///   - hasAlpha: Whether opacities are wanted.
    /// - Returns: The values, [height, width, 3 or 4], row-major.
    /// - Throws: ``ImageError`` when the file is damaged.
    func decode(_ bytes: [UInt8], width: Int, height: Int, hasAlpha: Bool) throws(ImageError) -> [UInt8] {
        let channels = hasAlpha ? 4 : 3
        // The library must see the sizes that were compared with the limits.
        var (columns, rows): (Int32, Int32) = (0, 0)
        let isKnown = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe information(bytes.baseAddress, bytes.count, &columns, &rows)
        }
        guard isKnown != 0, columns == width, rows == height else {
            throw .malformed(.webp, reason: "its header is not one")
        }
        var pixels = [UInt8](repeating: 0, count: width * height * channels)
        let isDecoded = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe pixels.withUnsafeMutableBufferPointer { pixels in
                let decode = unsafe hasAlpha ? decodeRGBA : decodeRGB
                return unsafe decode(
                    bytes.baseAddress, bytes.count, pixels.baseAddress, pixels.count, Int32(width * channels))
                    != nil
            }
        }
        guard isDecoded else { throw .malformed(.webp, reason: "its pixels cannot be decoded") }
        return pixels
    }
}
