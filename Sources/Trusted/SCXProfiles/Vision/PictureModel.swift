package import SCXEncoding
package import SCXInference

/// What the trusted side computes of pictures: the rows before the first block of the encoder, and what is made of those
/// after the last.
///
/// All of it is in float32 with the same kernels in every profile. It is a small part of an encoder's arithmetic, except
/// for the two products of LLaVA's projector, which are some percent of it; see `docs/vision.md`.
package struct PictureModel: Sendable {
    package let tower: VisionTower
    private let pool: ThreadPool
    private let patches: DenseRows
    private let classRow: [Float]
    /// The vectors of positions, `[rows, channels]`.
    private let positions: [Float]
    private let inputNorm: NormRows?
    private let finalNorm: HiddenNorm
    private let after: After

    /// What follows the encoder.
    private enum After: Sendable {
        case vector(VisionTower.Pooling, AttentionPooling?, DenseRows?)
        case network(DenseRows, Activation, DenseRows, skipping: Int)
        /// The norm's weights are stored as their difference from 1.
        case pooled(side: Int, norm: [Float], epsilon: Float, DenseRows)
    }

    /// Reads the small tensors of the encoder of pictures; nil when the model takes no pictures.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - pool: Threads that compute.
    /// - Throws: ``CheckpointError`` when a tensor is missing or has another shape than the configuration says;
    ///   ``LoadError`` when there is no memory for one.
    package init?(_ checkpoint: Checkpoint, pool: ThreadPool) throws {
        let whole = checkpoint.configuration
        guard let tower = whole.vision, let view = checkpoint.tower else { return nil }
        (self.tower, self.pool) = (tower, pool)
        let reader = TensorReader(checkpoint: checkpoint, pool: pool)
        let width = tower.encoder.hiddenSize
        patches = try reader.dense(
            [tower.patchPlan] + [tower.patchBiasPlan].compactMap(\.self), inputs: tower.patchInputs)
        classRow = try tower.classRowPlan.map { try reader.values($0) } ?? []
        positions = try reader.values(tower.positionsPlan)
        inputNorm = try reader.norm(tower.inputNormPlans, tower.encoder.normEpsilon)
        finalNorm = try HiddenNorm(final: view)
        switch tower.result {
        case .vector(let pooling, _):
            after = .vector(
                pooling, try AttentionPooling(tower, reader),
                tower.projectionPlans.isEmpty ? nil : try reader.dense(tower.projectionPlans, inputs: width))
        case .tokens(let tokens):
            let plans = tower.projectorPlans(for: whole)
            switch tokens.projector {
            case .network(let activation, _):
                let half = plans.count / 2
                after = .network(
                    try reader.dense(Array(plans[..<half]), inputs: width), activation,
                    try reader.dense(Array(plans[half...]), inputs: whole.hiddenSize),
                    skipping: tokens.skippedRows)
            case .pooled(let side):
                after = .pooled(
                    side: side, norm: try reader.values(plans[0]).map { 1 + $0 },
                    epsilon: tower.encoder.normEpsilon, try reader.turned(plans[1]))
            }
        }
    }

    /// How many channels a picture's vector has, or the rows that a decoder gets.
    package var channels: Int {
        switch after {
        case .vector(_, _, let projection): projection?.outputs ?? tower.encoder.hiddenSize
        case .network(_, _, let second, _): second.outputs
        case .pooled(_, _, _, let product): product.outputs
        }
    }

    /// How many numbers a picture has.
    package var pixelsPerPicture: Int { tower.channelCount * tower.imageSize * tower.imageSize }

    /// The rows of a picture before the first block.
    ///
    /// - Parameter pixels: `[channels, height, width]`, as the tower says.
    /// - Returns: `[rows, channels]` of the encoder.
    /// - Precondition: `pixels` are of one picture.
    package func rows(of pixels: ArraySlice<Float>) -> Plaintext {
        precondition(pixels.count == pixelsPerPicture, "PictureModel: not the pixels of one picture")
        let (size, patch, side) = (tower.imageSize, tower.patchSize, tower.side)
        var cut = Plaintext(rows: side * side, channels: tower.patchInputs)
        let start = pixels.startIndex
        for index in 0..<side * side {
            let (top, left) = (index / side * patch, index % side * patch)
            cut.withRow(index) { row in
                var next = 0
                for channel in 0..<tower.channelCount {
                    for y in 0..<patch {
                        let from = start + (channel * size + top + y) * size + left
                        for x in 0..<patch { row[next + x] = pixels[from + x] }
                        next += patch
                    }
                }
            }
        }
        let width = tower.encoder.hiddenSize
        var rows = Plaintext(rows: tower.rows, channels: width)
        let skipped = classRow.count
        var values = rows.values
        for c in classRow.indices { values[c] = classRow[c] }
        let own = patches.apply(cut.span, pool: pool)
        for i in own.indices { values[skipped + i] = own[i] }
        for i in positions.indices { values[i] += positions[i] }
        if let inputNorm {
            let before = unsafe values.span.withUnsafeBufferPointer { unsafe Array($0) }
            inputNorm.apply(before.span, into: &values, pool: pool)
        }
        return rows
    }

    /// Norms the rows after the last block, where the encoder has such a norm.
    ///
    /// - Parameter hidden: `[rows, channels]`, after the last block.
    /// - Returns: `[rows, channels]`
    package func normed(_ hidden: Span<Float>) -> [Float] {
        rowsOf(hidden.count) { finalNorm.apply(hidden, into: &$0, pool: pool) }
    }

    /// What is made of a picture's rows.
    ///
    /// - Parameter hidden: `[rows, channels]`, from ``normed(_:)``.
    /// - Returns: One vector, `[channels]`; before a decoder `[tokensPerPicture, channels]`.
    package func result(of hidden: [Float]) -> [Float] {
        let width = tower.encoder.hiddenSize
        switch after {
        case .vector(let pooling, let attention, let projection):
            var vector: [Float]
            switch pooling {
            case .first: vector = Array(hidden.prefix(width))
            case .mean:
                let count = hidden.count / width
                vector = (0..<width).map { c in
                    var sum = 0.0
                    for row in 0..<count { sum += Double(hidden[row * width + c]) }
                    return Float(sum / Double(count))
                }
            case .attention: vector = attention?.pool(hidden, pool) ?? []
            }
            if let projection { vector = projection.apply(vector.span, pool: pool) }
            return vector
        case .network(let first, let activation, let second, let skipped):
            let wide = first.apply(hidden.span.extracting(skipped * width..<hidden.count), pool: pool)
            let activated = rowsOf(wide.count) {
                activate(
                    wide.span, activation, isGated: false, into: &$0, features: first.outputs, pool: pool)
            }
            return second.apply(activated.span, pool: pool)
        case .pooled(let side, let norm, let epsilon, let product):
            let mean = squares(hidden, side)
            let normed = rowsOf(mean.count) {
                rmsNorm(mean.span, weight: norm.span, epsilon: epsilon, into: &$0, pool: pool)
            }
            return product.apply(normed.span, pool: pool)
        }
    }

    /// The means of squares of neighbouring patches.
    private func squares(_ hidden: [Float], _ side: Int) -> [Float] {
        let (width, wide) = (tower.encoder.hiddenSize, tower.side)
        let size = wide / side
        let share = 1 / Float(size * size)
        var result = [Float](repeating: 0, count: side * side * width)
        for y in 0..<side * size {
            for x in 0..<side * size {
                let (from, to) = ((y * wide + x) * width, (y / size * side + x / size) * width)
                for c in 0..<width { result[to + c] += hidden[from + c] * share }
            }
        }
        return result
    }
}

/// Makes an array all of whose elements `body` writes.
func rowsOf(_ count: Int, _ body: (inout MutableSpan<Float>) -> Void) -> [Float] {
    var result = [Float](repeating: 0, count: count)
    var span = result.mutableSpan
    body(&span)
    return result
}

extension PictureModel {
    /// How rows of pictures take the place of tokens; nil in a model that takes pictures alone.
    package var tokens: VisionTower.Tokens? {
        guard case .tokens(let tokens) = tower.result else { return nil }
        return tokens
    }
}
