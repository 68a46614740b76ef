package import SCXImages
import SCXInference
import SCXLink
import SCXProfiles

/// Pictures of prompts, and models that take pictures alone.
extension Engine {
    /// What is asked of pictures: how many rows and columns they must have, and how many tokens stand for one; nil when the
    /// model takes no pictures in this profile.
    package var pictureShape: PictureShape? { forward.pictures.map { PictureShape($0) } }

    /// Checks that the pictures of a request are such as the model takes, and that as many tokens stand for them.
    ///
    /// - Throws: ``EngineError`` that says what does not fit.
    func checkPictures(_ request: GenerationRequest) throws(EngineError) {
        guard let shape = pictureShape else {
            guard request.pictures.isEmpty, request.reading != .pictures else { throw .takesNoPictures }
            return
        }
        for pixels in request.pictures where !shape.fits(pixels) {
            throw .wrongPicture(
                channels: pixels.channels, height: pixels.height, width: pixels.width, expected: shape)
        }
        guard request.pictures.allSatisfy(PictureShape.hasSensibleValues) else { throw .wrongPixels }
        let count = request.pictures.reduce(0) { $0 + $1.count }
        guard let token = shape.token else {
            guard request.reading == .pictures, request.prompt.isEmpty, count > 0 else {
                throw .takesPicturesAlone
            }
            return
        }
        guard request.reading != .pictures else { throw .embedsNoPictures }
        let tokens = request.prompt.count { $0 == token }
        guard tokens == count * shape.tokensPerPicture else {
            throw .wrongPictureTokens(found: tokens, pictures: count, each: shape.tokensPerPicture)
        }
        if let limit = forward.pictures?.tokens?.longestRun {
            let longest = PromptPictures.runs(of: token, in: request.prompt).map(\.count).max() ?? 0
            guard longest <= limit else { throw .adjacentPictures(tokens: longest, limit: limit) }
        }
    }

    /// The place of the oldest session with a picture that was not computed; nil when there is none.
    private var placeOfPicture: Int? {
        sessions.firstIndex { $0.finished == nil && !$0.isPaused && $0.waitsForPictures }
    }

    /// Computes one picture of one session, so that others do not wait longer than for one picture.
    func computePicture(_ events: inout [SessionEvent]) throws(LinkError) {
        guard let place = placeOfPicture, let pixels = sessions[place].pictures?.next else { return }
        do throws(LinkError) {
            let segment = BatchSegment(
                slot: sessions[place].slot, position: 0, tokens: [], output: .nothing)
            let result = try charge([(place, segment)], rows: forward.pictures?.tower.rows) {
                () throws(LinkError) in try forward.compute(picture: pixels)
            }
            sessions[place].pictures?.take(result)
            if let event = sessions[place].pictureReading() { events.append(event) }
        } catch {
            try handle(error, [place], &events)
        }
    }

    /// Computes what a model that takes pictures alone says of them: the logits of labels, or vectors that are compared.
    ///
    /// - Parameter pixels: One or more pictures.
    /// - Returns: For each picture its vector; the order is that of the pictures.
    /// - Throws: ``EngineError`` when the model gives no vectors or takes other pictures, and the errors of ``step()``.
    package func vectors(of pixels: ImagePixels) throws -> [[Float]] {
        let request = GenerationRequest(pictures: pixels)
        let all = try readings(of: [request])[0]
        let width = all.count / pixels.count
        return (0..<pixels.count).map { Array(all[$0 * width..<($0 + 1) * width]) }
    }
}

/// What a model asks of pictures.
package struct PictureShape: Equatable, Sendable {
    /// Channels of a picture: 3 where it has colours.
    package let channels: Int
    /// Rows, and columns, of a picture.
    package let size: Int
    /// The token of a prompt that stands for a row of a picture; nil where a model takes pictures alone.
    package let token: Int32?
    /// How many of these tokens stand for one picture, one after the other.
    package let tokensPerPicture: Int
    /// What the model gives of a picture alone; nil where it generates.
    package let vector: Vector?

    /// What a model that takes pictures alone gives.
    package enum Vector: Equatable, Sendable {
        /// The logits of so many labels.
        case labels(Int)
        /// So many channels, which are compared with other vectors.
        case embedding(Int)
    }

    init(_ model: PictureModel) {
        (channels, size) = (model.tower.channelCount, model.tower.imageSize)
        token = model.tokens.map { Int32($0.token) }
        tokensPerPicture = model.tower.tokensPerPicture
        switch model.tower.result {
        case .tokens: vector = nil
        case .vector(_, let projection):
            vector = projection?.givesLabels == true ? .labels(model.channels) : .embedding(model.channels)
        }
    }

    /// Whether pictures have this shape.
    func fits(_ pixels: ImagePixels) -> Bool {
        pixels.count > 0 && pixels.channels == channels && pixels.height == size && pixels.width == size
    }

    /// Whether all values are numbers of a size that pixels have: a few units after preprocessing, 255 before.
    static func hasSensibleValues(_ pixels: ImagePixels) -> Bool {
        pixels.values.allSatisfy { abs($0) <= 1e4 }
    }
}
