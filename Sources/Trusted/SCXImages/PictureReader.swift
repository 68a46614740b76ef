package import SCXInference

/// Reads the pictures of requests for one model, and writes their tokens into its prompts.
package struct PictureReader: Sendable {
    private let parts: Result<Parts, CheckpointError>
    private let limits: PictureLimits

    private struct Parts {
        let processor: ImageProcessor
        /// Nil for a model that takes pictures alone.
        let placeholders: ImagePlaceholders?
    }

    /// The most pictures of one request, and the most pixels of all of them together.
    package static let mostPictures = 16
    package static let mostPixels = 64 << 20

    /// Reads the files of a model's directory that say how it takes pictures; nil for a model without an encoder of them.
    ///
    /// Where they are missing or ask for what is not known, prompts without pictures can be written all the same, and
    /// ``fault`` says what is wrong.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - limits: How large a picture may be.
    package init?(_ checkpoint: Checkpoint, limits: PictureLimits = PictureLimits()) {
        guard let vision = checkpoint.configuration.vision else { return nil }
        self.limits = limits
        do throws(CheckpointError) {
            parts = .success(try Self.parts(checkpoint.directory, vision))
        } catch { parts = .failure(error) }
    }

    private static func parts(_ directory: String, _ vision: VisionTower) throws(CheckpointError) -> Parts {
        let processor = try ImageProcessor(directory: directory)
        let side = vision.imageSize
        guard let size = processor.result, size.height == side, size.width == side, vision.channelCount == 3
        else {
            throw .unsupported(
                path: directory,
                what: "an image processor whose pictures have "
                    + (processor.result.map { "\($0.height) × \($0.width) pixels" } ?? "no fixed size"),
                supported: "\(side) × \(side) pixels with 3 channels, which the encoder of pictures takes")
        }
        return Parts(
            processor: processor,
            placeholders: vision.tokensPerPicture > 0 ? try ImagePlaceholders(directory: directory) : nil)
    }

    /// Why no pictures can be read; nil where they can.
    package var fault: CheckpointError? {
        if case .failure(let error) = parts { error } else { nil }
    }

    private func requireParts() throws(ImageError) -> Parts {
        switch parts {
        case .success(let parts): return parts
        case .failure(let error): throw .model(reason: "\(error)")
        }
    }

    /// What the model's encoder takes of a picture.
    ///
    /// - Parameters:
    ///   - file: The bytes of its file.
    ///   - room: How many pixels the picture may have at most; its own are taken away.
    /// - Returns: The values of one picture.
    /// - Throws: ``ImageError``.
    package func pixels(ofFile file: [UInt8], room: inout Int) throws(ImageError) -> ImagePixels {
        let processor = try requireParts().processor
        var limits = limits
        limits.pixels = min(limits.pixels, room)
        let picture = try PictureDecoder(limits: limits).picture(of: file)
        room -= picture.width * picture.height
        return try processor.pixels(of: picture)
    }

    /// What the model's encoder takes of a picture.
    ///
    /// - Parameters:
    ///   - address: A data URL, which holds its file.
    ///   - room: How many pixels the picture may have at most; its own are taken away.
    /// - Returns: The values of one picture.
    /// - Throws: ``ImageError``.
    package func pixels(ofAddress address: String, room: inout Int) throws(ImageError) -> ImagePixels {
        try pixels(ofFile: try PictureAddress.bytes(of: address, limit: limits.bytes), room: &room)
    }

    /// A prompt with the tokens of its pictures in the place of what the chat template wrote for each.
    ///
    /// - Parameters:
    ///   - rendered: What the chat template gives.
    ///   - pictures: The pictures in their order.
    /// - Returns: The text to tokenize, without further special tokens.
    /// - Throws: ``ImageError`` when there is not one place for each picture.
    package func prompt(_ rendered: String, _ pictures: [ImagePixels]) throws(ImageError) -> String {
        if pictures.isEmpty, fault != nil { return rendered }
        return try requireParts().placeholders?.text(rendered, for: pictures) ?? rendered
    }
}
