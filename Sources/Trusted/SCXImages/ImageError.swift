import SCXInference

/// A kind of picture file.
package enum PictureFormat: String, Sendable, CaseIterable {
    case png = "PNG"
    case jpeg = "JPEG"
    case webp = "WebP"
}

/// Why a picture cannot be taken, in one line that says nothing of what the picture shows.
package enum ImageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The address of a picture is not a data URL that can be read.
    case address(reason: String)
    /// The file of a picture is too large.
    case bytes(limit: Int)
    /// The picture has too many pixels, or a side that is too long.
    case size(width: Int, height: Int, limits: PictureLimits)
    /// The file begins like none of the known formats.
    case format
    /// The file is damaged or cut off.
    case malformed(PictureFormat, reason: String)
    /// The file may be whole, but is of a kind that is not read.
    case unsupported(PictureFormat, what: String)
    /// The system has no library that reads the format.
    case library(PictureFormat, name: String, package: String)
    /// The program was built without the means to open the system's libraries.
    case staticProgram(PictureFormat)
    /// The model's preprocessing would make far too large a picture of a long and narrow one.
    case resized(width: Int, height: Int, limit: Int)
    /// A prompt does not have one placeholder for each picture.
    case placeholders(token: String, found: Int, pictures: Int)
    /// A picture takes too many tokens.
    case tokenCount(Int, limit: Int)
    /// The model's files do not say how pictures are prepared, or in a way that is not known.
    case model(reason: String)
    /// The tokens of a prompt do not have the places of its pictures.
    case tokens(found: Int, expected: Int)

    package var description: String {
        switch self {
        case .address(let reason): "the address of a picture \(reason)"
        case .bytes(let limit): "a picture's file has more than \(limit) bytes"
        case .size(let width, let height, let limits):
            "a picture of \(width) × \(height) pixels is too large (at most \(limits.side) on a side and "
                + "\(limits.pixels) in all)"
        case .format: "a picture is neither PNG, JPEG nor WebP"
        case .malformed(let format, let reason):
            "a \(format.rawValue) picture is damaged or incomplete: \(reason)"
        case .unsupported(let format, let what):
            "a \(format.rawValue) picture has \(what), which is not supported"
        case .library(let format, let name, let package):
            "\(format.rawValue) pictures need the library \(name), which this system does not have or is too old; "
                + "install it (Debian: apt install \(package)), or send PNG"
        case .staticProgram(let format):
            "\(format.rawValue) pictures need a library of the system, which a statically linked program cannot "
                + "open; send PNG"
        case .resized(let width, let height, let limit):
            "a picture is too long and narrow: the model would take it as \(width) × \(height) pixels (at most "
                + "\(limit))"
        case .placeholders(let token, let found, let pictures):
            "the prompt has \(found) times '\(token.printable(longest: 100))', but there are \(pictures) pictures; "
                + "the chat template must write it once for each picture, and no other text may have it"
        case .tokenCount(let count, let limit): "a picture takes \(count) tokens (at most \(limit))"
        case .model(let reason): "the model's pictures cannot be prepared: \(reason)"
        case .tokens(let found, let expected):
            "the prompt has \(found) tokens for pictures where \(expected) are expected"
        }
    }
}

/// How large a picture may be.
package struct PictureLimits: Equatable, Sendable {
    /// Bytes of the file.
    package var bytes: Int
    /// Columns, and rows.
    package var side: Int
    /// Columns times rows.
    ///
    /// A decoded picture takes 3 bytes for each pixel, and its decoder up to 8 bytes more.
    package var pixels: Int

    package init(bytes: Int = 32 << 20, side: Int = 16_384, pixels: Int = 64 << 20) {
        (self.bytes, self.side, self.pixels) = (bytes, side, pixels)
    }

    /// Limits for pictures of strangers, of which a server decodes one at a time.
    package static let ofClients = PictureLimits(pixels: 32 << 20)

    /// Refuses the size that a file's header gives.
    ///
    /// - Throws: ``ImageError``.
    func check(width: Int, height: Int, _ format: PictureFormat) throws(ImageError) {
        guard width > 0, height > 0 else { throw .malformed(format, reason: "it has no pixels") }
        guard width <= side, height <= side, width * height <= pixels else {
            throw .size(width: width, height: height, limits: self)
        }
    }
}
