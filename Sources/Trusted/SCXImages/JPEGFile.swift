import SCXInference

/// A JPEG file (ITU-T T.81), read as far as its header.
struct JPEGFile {
    let width: Int
    let height: Int
    /// Components of a pixel: 1 for grey, 3 for colours, 4 for inks.
    let components: Int
    let orientation: Int
    private let bytes: [UInt8]

    /// Reads the markers before the first scan.
    ///
    /// - Throws: ``ImageError`` when the file is damaged, or larger than the limits.
    init(_ bytes: [UInt8], limits: PictureLimits) throws(ImageError) {
        var size: (width: Int, height: Int, components: Int)?
        var exif: [UInt8] = []
        var at = 2
        scanning: while true {
            guard at + 4 <= bytes.count, bytes[at] == 0xFF else {
                throw Self.fault("it ends within its header")
            }
            let marker = bytes[at + 1]
            // Any number of FF may come before a marker.
            if marker == 0xFF {
                at += 1
                continue
            }
            let length = bytes.big16(at + 2)
            guard length >= 2, at + 2 + length <= bytes.count else {
                throw Self.fault("it ends within its header")
            }
            let contents = at + 4..<at + 2 + length
            switch marker {
            case 0xDA: break scanning
            case 0xC0...0xCF where ![0xC4, 0xC8, 0xCC].contains(marker):
                guard size == nil else { throw Self.fault("it has two headers") }
                guard contents.count >= 6 else { throw Self.fault("its header is too short") }
                let start = contents.lowerBound
                guard bytes[start] == 8 else {
                    throw .unsupported(.jpeg, what: "samples of other than 8 bits")
                }
                size = (bytes.big16(start + 3), bytes.big16(start + 1), Int(bytes[start + 5]))
            case 0xE1 where exif.isEmpty && bytes[contents].starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0]):
                exif = Array(bytes[contents])
            case 0xD0...0xD9, 0x00, 0x01:
                throw Self.fault("its header has a marker that does not belong there")
            default: break
            }
            at = contents.upperBound
        }
        guard let size else { throw Self.fault("it has no header") }
        try limits.check(width: size.width, height: size.height, .jpeg)
        // Each scan costs a pass over all pixels, however few bytes it has. Within scans FF is never before DA.
        let scans = (at..<bytes.count - 1).count { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA }
        guard scans * size.width * size.height <= 16 * limits.pixels else {
            throw .unsupported(.jpeg, what: "\(scans) scans of \(size.width) × \(size.height) pixels")
        }
        guard [1, 3, 4].contains(size.components) else {
            throw .unsupported(.jpeg, what: "\(size.components) components")
        }
        (width, height, components) = size
        orientation = Orientation.read(exif)
        self.bytes = bytes
    }

    private static func fault(_ reason: String) -> ImageError { .malformed(.jpeg, reason: reason) }

    /// Decodes the picture by libturbojpeg, with the slow, accurate cosine transform and smooth colours, as PIL does.
    ///
    /// - Throws: ``ImageError`` when there is no library, or the file is damaged.
    func picture() throws(ImageError) -> Picture {
        let library = try JPEGLibrary.shared()
        let isInk = components == 4
        let decoded = try library.decode(
            bytes, width: width, height: height, format: isInk ? .cmyk : .rgb, channels: isInk ? 4 : 3)
        let picture = Picture(
            width: width, height: height, bytes: isInk ? Self.rgb(ofInks: decoded) : decoded)
        return picture.turned(orientation)
    }

    /// Red, green and blue of pixels of cyan, magenta, yellow and black ink, as PIL computes them: it takes all inks
    /// as inverted, which is how Adobe's programs store them.
    private static func rgb(ofInks inks: [UInt8]) -> [UInt8] {
        var rgb = [UInt8](repeating: 0, count: inks.count / 4 * 3)
        for i in 0..<inks.count / 4 {
            let light = Int(inks[i * 4 + 3])
            for channel in 0..<3 {
                // A product divided by 255, rounded, without a division.
                let product = (255 - Int(inks[i * 4 + channel])) * light + 128
                rgb[i * 3 + channel] = UInt8(light - ((product >> 8 + product) >> 8))
            }
        }
        return rgb
    }
}

/// The functions of libturbojpeg that are needed (turbojpeg.h, version 2.1 of its interface).
@safe
struct JPEGLibrary: Sendable {
    /// How a pixel is written (TJPF).
    enum PixelFormat: Int32 {
        case rgb = 0
        case cmyk = 11
    }

    private typealias Start = @convention(c) () -> UnsafeMutableRawPointer?
    private typealias End = @convention(c) (UnsafeMutableRawPointer?) -> Int32
    private typealias Decompress =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<UInt8>?, UInt, UnsafeMutablePointer<UInt8>?, Int32, Int32,
            Int32,
            Int32, Int32
        ) -> Int32
    private typealias ErrorText = @convention(c) (UnsafeMutableRawPointer?) -> UnsafePointer<CChar>?
    private typealias ErrorCode = @convention(c) (UnsafeMutableRawPointer?) -> Int32

    private let start: Start
    private let end: End
    private let decompress: Decompress
    private let errorText: ErrorText
    private let errorCode: ErrorCode

    private init?() {
        #if canImport(Darwin)
            let names = ["libturbojpeg.0.dylib", "/opt/homebrew/lib/libturbojpeg.0.dylib"]
        #else
            let names = ["libturbojpeg.so.0"]
        #endif
        guard let library = SystemLibrary(names),
            let start = unsafe library.function("tjInitDecompress", as: Start.self),
            let end = unsafe library.function("tjDestroy", as: End.self),
            let decompress = unsafe library.function("tjDecompress2", as: Decompress.self),
            let errorText = unsafe library.function("tjGetErrorStr2", as: ErrorText.self),
            let errorCode = unsafe library.function("tjGetErrorCode", as: ErrorCode.self)
        else { return nil }
        unsafe self.start = unsafe start
        unsafe self.end = unsafe end
        unsafe self.decompress = unsafe decompress
        unsafe self.errorText = unsafe errorText
        unsafe self.errorCode = unsafe errorCode
    }

    private static let opened = JPEGLibrary()

    /// The library, opened once.
    ///
    /// - Throws: ``ImageError`` that says what to install.
    static func shared() throws(ImageError) -> JPEGLibrary {
        guard let opened else {
            throw SystemLibrary.missing(.jpeg, name: "libturbojpeg.so.0", package: "libturbojpeg0")
        }
        return opened
    }

    /// Decodes a file.
    ///
    /// - Parameters:
    ///   - bytes: The file.
    ///   - width: The columns that its header says.
    ///   - height: The rows that its header says.
    ///   - format: How pixels are to be written.
    ///   - channels: Bytes of such a pixel.
    /// - Returns: The values, [height, width, channels], row-major.
    /// - Throws: ``ImageError`` when the file is damaged.
    func decode(
        _ bytes: [UInt8], width: Int, height: Int, format: PixelFormat, channels: Int
    ) throws(ImageError) -> [UInt8] {
        guard let handle = unsafe start() else {
            throw .malformed(.jpeg, reason: "its library has no memory")
        }
        defer { _ = unsafe end(handle) }
        var pixels = [UInt8](repeating: 0, count: width * height * channels)
        // The library scales down to the size that it is given, so it never writes more than width × height pixels.
        let result = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe pixels.withUnsafeMutableBufferPointer { pixels in
                unsafe decompress(
                    handle, bytes.baseAddress, UInt(bytes.count), pixels.baseAddress, Int32(width),
                    Int32(width * channels), Int32(height), format.rawValue, Self.flags)
            }
        }
        guard result != 0 else { return pixels }
        let text = unsafe errorText(handle).map { unsafe String(cString: $0) } ?? ""
        // Bytes between two parts of the file do no harm; many cameras write some.
        if unsafe errorCode(handle) == 0, text.contains("extraneous bytes before marker") { return pixels }
        throw .malformed(.jpeg, reason: text.printable(longest: 120))
    }

    /// The accurate transform (TJFLAG_ACCURATEDCT), and a limit of scans, each of which costs time
    /// (TJFLAG_LIMITSCANS).
    private static let flags: Int32 = 4_096 | 32_768
}
