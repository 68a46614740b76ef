package import SCXInference

/// Reads the pictures of requests for one model, and writes their tokens into its prompts.
package struct PictureReader: Sendable {
    private let processor: ImageProcessor
    /// Nil for a model that takes pictures alone.
    private let placeholders: ImagePlaceholders?
    private let decoder: PictureDecoder

    /// The most pictures of one request.
    package static let mostPictures = 16

    /// Reads the files of a model's directory that say how it takes pictures; nil for a model without an encoder of them.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - limits: How large a picture may be.
    /// - Throws: ``CheckpointError`` that names the file and the field.
    package init?(
        _ checkpoint: Checkpoint, limits: PictureLimits = PictureLimits()
    ) throws(CheckpointError) {
        guard let vision = checkpoint.configuration.vision else { return nil }
        processor = try ImageProcessor(directory: checkpoint.directory)
        placeholders =
            vision.tokensPerPicture > 0 ? try ImagePlaceholders(directory: checkpoint.directory) : nil
        decoder = PictureDecoder(limits: limits)
    }

    /// What the model's encoder takes of a picture.
    ///
    /// - Parameter file: The bytes of its file.
    /// - Returns: The values of one picture.
    /// - Throws: ``ImageError``.
    package func pixels(ofFile file: [UInt8]) throws(ImageError) -> ImagePixels {
        try processor.pixels(ofPicture: file, decoder: decoder)
    }

    /// What the model's encoder takes of a picture.
    ///
    /// - Parameter address: A data URL, which holds its file.
    /// - Returns: The values of one picture.
    /// - Throws: ``ImageError``.
    package func pixels(ofAddress address: String) throws(ImageError) -> ImagePixels {
        try pixels(ofFile: try PictureAddress.bytes(of: address, limit: decoder.limits.bytes))
    }

    /// A prompt with the tokens of its pictures in the place of what the chat template wrote for each.
    ///
    /// - Parameters:
    ///   - rendered: What the chat template gives.
    ///   - pictures: The pictures in their order.
    /// - Returns: The text to tokenize, without further special tokens.
    /// - Throws: ``ImageError`` when there is not one place for each picture.
    package func prompt(_ rendered: String, _ pictures: [ImagePixels]) throws(ImageError) -> String {
        guard let placeholders else { return rendered }
        return try placeholders.text(rendered, for: pictures)
    }
}
