#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension Decoder {
    /// The router and the experts of a block.
    struct ExpertLayer: Sendable {
        /// The router's weights in float32, `[experts, hidden]`.
        let router: PackedMatrix
        /// What is added to the router's scores, `[experts]`, or empty.
        let routerBias: [Float]
        /// What is added to the probabilities for the choice of experts alone, `[experts]`, or empty.
        let choiceBias: [Float]
        /// The weights of the score by which the shared expert's result is multiplied, `[hidden]`, or empty.
        let sharedScore: [Float]
        /// For each expert `[2 · size, hidden]`, or `[size, hidden]` without a gate; nil when they were not loaded.
        let gateUp: LinearSite?
        /// For each expert `[hidden, size]`.
        let down: LinearSite?
    }

    /// Chooses the experts of each row.
    ///
    /// A row's choice depends on that row alone, to the last bit.
    ///
    /// - Parameters:
    ///   - normed: `[rows, hidden]`, after the norm before the feed-forward network.
    ///   - block: A block with experts.
    /// - Returns: The experts of all rows.
    /// - Precondition: The block has experts, and `normed` are whole rows.
    public func routes(_ normed: Span<Float>, block: Int) -> ExpertRoutes {
        guard let experts = configuration.experts, let layer = blocks[block].experts else {
            preconditionFailure("Decoder: block \(block) has no experts")
        }
        let hidden = configuration.hiddenSize
        precondition(normed.count % hidden == 0, "Decoder: rows of the router")
        let rows = normed.count / hidden
        var scores = [Float](repeating: 0, count: rows * experts.count)
        var chosen = [Int32](repeating: 0, count: rows * experts.perToken)
        var weights = [Float](repeating: 0, count: rows * experts.perToken)
        var factors = [Float](repeating: 0, count: layer.sharedScore.isEmpty ? 0 : rows)
        unsafe scores.withUnsafeMutableBufferPointer { scores in
            unsafe chosen.withUnsafeMutableBufferPointer { chosen in
                unsafe weights.withUnsafeMutableBufferPointer { weights in
                    unsafe factors.withUnsafeMutableBufferPointer { factors in
                        func route(_ row: Int) {
                            // Each row has parts of its own, so no two threads write to the same elements.
                            var own = unsafe MutableSpan(
                                _unsafeElements: scores.extracting(
                                    row * experts.count..<(row + 1) * experts.count))
                            let places = row * experts.perToken..<(row + 1) * experts.perToken
                            var ownChosen = unsafe MutableSpan(_unsafeElements: chosen.extracting(places))
                            var ownWeights = unsafe MutableSpan(_unsafeElements: weights.extracting(places))
                            let x = normed.extracting(row * hidden..<(row + 1) * hidden)
                            // One row at a time: the order in which a product adds may depend on how many there are.
                            linear(
                                x, layer.router, bias: layer.routerBias.span, into: &own, tokens: 1,
                                pool: pool)
                            experts.choose(
                                &own, bias: layer.choiceBias.span, &ownChosen, &ownWeights)
                            if !layer.sharedScore.isEmpty {
                                unsafe factors[row] = sigmoid(score(x, layer.sharedScore.span))
                            }
                        }
                        if rows >= 4 { pool.run(rows, route) } else { for row in 0..<rows { route(row) } }
                    }
                }
            }
        }
        return ExpertRoutes(
            experts: experts.count, perRow: experts.perToken, chosen: chosen, weights: weights,
            sharedFactors: factors)
    }

    /// Adds the results of a block's experts to those of its shared expert, or writes them where there is none.
    ///
    /// `work.normed` has the rows, `work.update` the shared expert's results. Each expert multiplies all rows that take
    /// it at once.
    func computeExperts(_ block: Int, _ work: inout Workspace) {
        guard let experts = configuration.experts, let gateUp = blocks[block].experts?.gateUp,
            let down = blocks[block].experts?.down
        else { preconditionFailure("Decoder: the experts of block \(block) were not loaded") }
        let routes = routes(work.normed.span, block: block)
        work.recordedRoutes?[block] = routes
        startSum(routes, hasShared: experts.sharedSize != nil, &work.update)
        for (expert, places) in routes.placesByExpert.enumerated() where !places.isEmpty {
            gather(places, of: routes, from: work.normed, into: &work.expertRows)
            multiply(work.expertRows, by: gateUp, expert, tokens: places.count, into: &work.gateUp)
            activate(work.gateUp, &work.activated, features: experts.feedForwardSize)
            multiply(work.activated, by: down, expert, tokens: places.count, into: &work.expertRows)
            add(work.expertRows, places, of: routes, to: &work.update)
        }
    }

    /// Multiplies the shared expert's results by their factors, or writes zeros where there is no such expert.
    private func startSum(_ routes: ExpertRoutes, hasShared: Bool, _ update: inout RowBuffer) {
        update.resize(to: routes.rows * configuration.hiddenSize)
        var sum = update.mutableSpan
        routes.scaleShared(&sum, hasShared: hasShared, width: configuration.hiddenSize)
    }

    /// Copies the rows at some places, one after the other.
    private func gather(
        _ places: [Int], of routes: ExpertRoutes, from rows: borrowing RowBuffer, into out: inout RowBuffer
    ) {
        let width = configuration.hiddenSize
        out.resize(to: places.count * width)
        var target = out.mutableSpan
        let source = rows.span
        for (i, place) in places.enumerated() {
            let from = place / routes.perRow * width
            for c in 0..<width { target[i * width + c] = source[from + c] }
        }
    }

    /// Adds the results of rows at some places, each multiplied by its factor.
    private func add(
        _ results: borrowing RowBuffer, _ places: [Int], of routes: ExpertRoutes, to update: inout RowBuffer
    ) {
        let width = configuration.hiddenSize
        var sum = update.mutableSpan
        let source = results.span
        for (i, place) in places.enumerated() {
            let (to, weight) = (place / routes.perRow * width, routes.weights[place])
            for c in 0..<width { sum[to + c] += weight * source[i * width + c] }
        }
    }

    private func multiply(
        _ x: borrowing RowBuffer, by site: LinearSite, _ expert: Int, tokens: Int, into out: inout RowBuffer
    ) {
        let weights = site.groups[expert]
        out.resize(to: tokens * weights.rows)
        var span = out.mutableSpan
        linear(
            x.span, weights, bias: site.bias(ofGroup: expert), into: &span, tokens: tokens, pool: pool)
    }
}

extension ExpertRoutes {
    /// Multiplies the shared expert's results by their factors, in place; writes zeros where there is no such expert.
    ///
    /// - Parameters:
    ///   - results: `[rows, width]`
    ///   - hasShared: Whether they are results; otherwise they are overwritten.
    ///   - width: Channels of a row.
    public func scaleShared(_ results: inout MutableSpan<Float>, hasShared: Bool, width: Int) {
        precondition(results.count == rows * width, "ExpertRoutes: results of other rows")
        guard hasShared else {
            for i in results.indices { results[i] = 0 }
            return
        }
        guard !sharedFactors.isEmpty else { return }
        for row in 0..<rows {
            for c in row * width..<(row + 1) * width { results[c] *= sharedFactors[row] }
        }
    }
}

/// The dot product of two vectors, in double precision.
private func score(_ x: Span<Float>, _ weights: Span<Float>) -> Float {
    var sum = 0.0
    for i in x.indices { sum += Double(x[i]) * Double(weights[i]) }
    return Float(sum)
}

private func sigmoid(_ x: Float) -> Float { 1 / (1 + expf(-x)) }
