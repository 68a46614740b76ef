import SCXInference

/// Which experts each token of the vocabulary takes when nothing but the mark of the beginning stands before it.
///
/// Everybody can compute this from the weights. In a text the tokens before change what a token takes, the less the
/// nearer to the beginning of the model.
public struct RoutingSignatures: Sendable {
    /// The blocks that have experts, in order.
    public let blocks: [Int]
    /// `[vocabulary][blocks]`: the experts of a token, rising.
    let experts: [[Set<Int32>]]

    /// Runs the model on every token.
    ///
    /// - Throws: ``AttackError/nothingToAttack(_:)`` when the model has no experts, ``AttackError/memory(_:)`` when there
    ///   is no memory for the keys and values of some tokens.
    public init(_ model: PublicModel) throws(AttackError) {
        guard let experts = model.configuration.experts else {
            throw .nothingToAttack("the model has no experts")
        }
        blocks = experts.blocks.indices.filter { experts.blocks[$0] }
        var found: [[Set<Int32>]] = []
        let begin = model.configuration.beginOfSequence.flatMap {
            (0..<model.vocabularySize).contains($0) ? $0 : nil
        }
        let width = begin == nil ? 1 : 2
        var workspace = Workspace()
        for first in stride(from: 0, to: model.vocabularySize, by: 64) {
            let tokens = first..<min(first + 64, model.vocabularySize)
            let rows = tokens.flatMap { token in (begin.map { [$0] } ?? []) + [token] }
            var hidden = model.embedding.selecting(rows).values
            var span = hidden.mutableSpan
            let segments = tokens.map { _ in
                CacheSegment(cache: model.decoder.makeCache(), position: 0, rows: width)
            }
            let routes = try model.routes(&span, segments, &workspace)
            for i in tokens.indices {
                let row = (i - first) * width + width - 1
                found.append(blocks.map { routes[$0]?.experts(ofRow: row) ?? [] })
            }
        }
        self.experts = found
    }
}

extension PublicModel {
    /// Runs all blocks on hidden states, in place, and tells which experts the rows take.
    ///
    /// - Parameters:
    ///   - hidden: `[rows, hidden]`: embedded tokens.
    ///   - segments: Which rows belong to which session.
    ///   - workspace: Scratch memory.
    /// - Returns: For each block with experts the choice of all rows.
    /// - Throws: ``AttackError/memory(_:)`` when a cache cannot grow.
    func routes(
        _ hidden: inout MutableSpan<Float>, _ segments: [CacheSegment], _ workspace: inout Workspace
    ) throws(AttackError) -> [Int: ExpertRoutes] {
        workspace.recordedRoutes = [:]
        defer { workspace.recordedRoutes = nil }
        do throws(KVCacheError) {
            try decoder.run(
                blocks: 0..<configuration.blockCount, on: &hidden, segments: segments, workspace: &workspace)
        } catch {
            throw .memory("\(error)")
        }
        return workspace.recordedRoutes ?? [:]
    }
}

extension ExpertRoutes {
    /// The experts that a row takes.
    func experts(ofRow row: Int) -> Set<Int32> { Set(chosen[row * perRow..<(row + 1) * perRow]) }
}
