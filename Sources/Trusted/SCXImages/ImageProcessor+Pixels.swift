extension ImageProcessor {
    /// Decodes a picture file and computes what the model's tower takes of it.
    ///
    /// - Parameters:
    ///   - bytes: The file.
    ///   - decoder: What reads it, with its limits.
    /// - Returns: The values of one picture.
    /// - Throws: ``ImageError``.
    package func pixels(
        ofPicture bytes: [UInt8], decoder: PictureDecoder = PictureDecoder()
    ) throws(ImageError) -> ImagePixels {
        try pixels(of: try decoder.picture(of: bytes))
    }

    /// Computes what the model's tower takes of a picture.
    ///
    /// - Returns: The values of one picture, [1, 3, height, width].
    /// - Throws: ``ImageError`` when the picture is so long and narrow that resizing it takes too much memory.
    package func pixels(of picture: Picture) throws(ImageError) -> ImagePixels {
        var picture = picture
        if let squareColour {
            let side = max(picture.width, picture.height)
            guard side * side <= PictureLimits().pixels else {
                throw .resized(width: side, height: side, limit: PictureLimits().pixels)
            }
            picture = picture.squared(squareColour)
        }
        if let size {
            let (width, height) = size.resized(picture)
            let (pixels, isTooLarge) = width.multipliedReportingOverflow(by: height)
            guard !isTooLarge, pixels <= Self.resizedLimit, width > 0, height > 0 else {
                throw .resized(width: width, height: height, limit: Self.resizedLimit)
            }
            guard let resampling = Resampling(rawValue: resample) else {
                preconditionFailure("the filter was checked when it was read")
            }
            picture = resampling.resize(picture, width: width, height: height)
        }
        if let crop { picture = picture.center(height: crop[0], width: crop[1]) }
        let count = picture.width * picture.height
        var values = [Float](repeating: 0, count: 3 * count)
        for channel in 0..<3 {
            for i in 0..<count {
                values[channel * count + i] = table[channel * 256 + Int(picture.bytes[i * 3 + channel])]
            }
        }
        return ImagePixels(
            count: 1, channels: 3, height: picture.height, width: picture.width, values: values)
    }
}

extension ImageProcessor.Size {
    /// Width and height of the picture when it is resized.
    func resized(_ picture: Picture) -> (width: Int, height: Int) {
        switch self {
        case .exact(let height, let width): return (width, height)
        case .shortestEdge(let edge):
            let (short, long) = (min(picture.width, picture.height), max(picture.width, picture.height))
            // Python divides integers exactly and rounds towards zero, which Double does here as well.
            let other = Int(Double(edge * long) / Double(short))
            return picture.width <= picture.height ? (edge, other) : (other, edge)
        }
    }
}

extension Picture {
    /// The picture in the middle of a square of its longer side.
    func squared(_ colour: [UInt8]) -> Picture {
        let side = max(width, height)
        guard width != height else { return self }
        var squared = [UInt8](repeating: 0, count: side * side * 3)
        for i in squared.indices { squared[i] = colour[i % 3] }
        let (left, top) = ((side - width) / 2, (side - height) / 2)
        for y in 0..<height {
            let to = ((top + y) * side + left) * 3
            squared.replaceSubrange(to..<to + width * 3, with: bytes[y * width * 3..<(y + 1) * width * 3])
        }
        return Picture(width: side, height: side, bytes: squared)
    }

    /// The middle of the picture, with black around it where it is too small.
    func center(height: Int, width: Int) -> Picture {
        let top = Self.start(of: height, in: self.height)
        let left = Self.start(of: width, in: self.width)
        // A picture that is too small on one side is first laid on black of the larger of both sizes.
        let isInside = height <= self.height && width <= self.width
        let topPad = isInside ? 0 : (max(height - self.height, 0) + 1) / 2
        let leftPad = isInside ? 0 : (max(width - self.width, 0) + 1) / 2
        var bytes = [UInt8](repeating: 0, count: height * width * 3)
        for y in 0..<height {
            let row = y + max(0, top + topPad) - topPad
            guard (0..<self.height).contains(row) else { continue }
            for x in 0..<width {
                let column = x + max(0, left + leftPad) - leftPad
                guard (0..<self.width).contains(column) else { continue }
                let (from, to) = ((row * self.width + column) * 3, (y * width + x) * 3)
                bytes[to] = self.bytes[from]
                bytes[to + 1] = self.bytes[from + 1]
                bytes[to + 2] = self.bytes[from + 2]
            }
        }
        return Picture(width: width, height: height, bytes: bytes)
    }

    /// Where the middle of that length begins, rounded down; below zero where it is longer.
    private static func start(of length: Int, in whole: Int) -> Int { (whole - length) >> 1 }
}
