/// Reads picture files: PNG by itself, JPEG and WebP by the system's libraries.
///
/// The first bytes say which format a file is of. What comes out is what transformers' image processors take from the
/// same file when they have opened it with PIL and turned it upright: transparent parts on white, a palette and greys
/// as red, green and blue. The sizes in the header are compared with the limits before anything is decoded.
package struct PictureDecoder: Sendable {
    package var limits: PictureLimits

    package init(limits: PictureLimits = PictureLimits()) { self.limits = limits }

    /// Reads a picture.
    ///
    /// - Parameter bytes: The file.
    /// - Returns: The picture, upright: turned and mirrored as its EXIF data ask.
    /// - Throws: ``ImageError``.
    package func picture(of bytes: [UInt8]) throws(ImageError) -> Picture {
        guard bytes.count <= limits.bytes else { throw .bytes(limit: limits.bytes) }
        guard let format = PictureFormat(of: bytes) else { throw .format }
        switch format {
        case .png: return try PNGFile(bytes, limits: limits).picture()
        case .jpeg: return try JPEGFile(bytes, limits: limits).picture()
        case .webp: return try WebPFile(bytes, limits: limits).picture()
        }
    }

    /// The formats that this program can read on this system.
    package static var readableFormats: [PictureFormat] {
        PictureFormat.allCases.filter { format in
            switch format {
            case .png: true
            case .jpeg: (try? JPEGLibrary.shared()) != nil
            case .webp: (try? WebPLibrary.shared()) != nil
            }
        }
    }
}

extension PictureFormat {
    /// The format that the first bytes of a file say.
    init?(of bytes: [UInt8]) {
        if bytes.starts(with: PNGFile.signature) {
            self = .png
        } else if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if bytes.starts(with: "RIFF".utf8), bytes.dropFirst(8).starts(with: "WEBP".utf8) {
            self = .webp
        } else {
            return nil
        }
    }
}

extension [UInt8] {
    /// Two bytes of a file, the more significant one first.
    func big16(_ at: Int) -> Int { Int(self[at]) << 8 | Int(self[at + 1]) }

    /// Four bytes of a file, the most significant one first.
    func big32(_ at: Int) -> Int { big16(at) << 16 | big16(at + 2) }

    /// Two bytes of a file, the less significant one first.
    func little16(_ at: Int) -> Int { Int(self[at]) | Int(self[at + 1]) << 8 }

    /// Four bytes of a file, the least significant one first.
    func little32(_ at: Int) -> Int { little16(at) | little16(at + 2) << 16 }
}
