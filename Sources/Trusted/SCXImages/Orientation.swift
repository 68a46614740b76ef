/// How a camera was held, which EXIF data say by a number of 1 to 8.
enum Orientation {
    /// Reads the number from EXIF data, which are a TIFF file without a picture.
    ///
    /// - Parameter exif: The data, with or without the six bytes `Exif\0\0` before them.
    /// - Returns: The number, or 1, "as it is", where the data have none or cannot be read: they do not belong to the
    ///   picture proper, and whoever shows it goes on without them.
    static func read(_ exif: [UInt8]) -> Int {
        let data = exif.starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0]) ? Array(exif.dropFirst(6)) : exif
        let isLittle: Bool
        if data.starts(with: [0x49, 0x49, 0x2A, 0]) {
            isLittle = true
        } else if data.starts(with: [0x4D, 0x4D, 0, 0x2A]) {
            isLittle = false
        } else {
            return 1
        }
        func half(_ at: Int) -> Int { isLittle ? data.little16(at) : data.big16(at) }
        func word(_ at: Int) -> Int { isLittle ? data.little32(at) : data.big32(at) }
        guard data.count >= 8 else { return 1 }
        let directory = word(4)
        guard directory >= 8, directory + 2 <= data.count else { return 1 }
        for entry in 0..<half(directory) {
            let at = directory + 2 + entry * 12
            guard at + 12 <= data.count else { return 1 }
            guard half(at) == 0x0112, word(at + 4) == 1 else { continue }
            let value =
                switch half(at + 2) {
                case 3: half(at + 8)
                case 4: word(at + 8)
                default: 1
                }
            return (1...8).contains(value) ? value : 1
        }
        return 1
    }
}
