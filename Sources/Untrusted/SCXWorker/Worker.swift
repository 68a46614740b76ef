public import SCXInference
public import SCXLink
import Synchronization

/// The untrusted side: answers requests with the model's weights.
///
/// It holds the keys and values that it computed itself, one cache for each slot, and nothing else of a session.
public final class Worker: Sendable {
    public let model: Decoder
    private let state: Mutex<State>

    private struct State: ~Copyable {
        var caches: [Slot: KVCache] = [:]
        var workspace = Workspace()

        var statistics: WorkerStatistics {
            var statistics = WorkerStatistics()
            statistics.slots = caches.count
            statistics.slotBytes = caches.values.reduce(0) { $0 + $1.byteCount }
            return statistics
        }
    }

    public init(model: Decoder) {
        self.model = model
        state = Mutex(State())
    }

    /// Answers one request.
    ///
    /// Requests of several threads take turns: one product uses all cores.
    ///
    /// - Throws: ``LinkError/invalidRequest(_:)`` when the request does not fit the model or its slots; nothing has
    ///   changed then.
    public func answer(_ request: Request) throws(LinkError) -> Answer {
        switch request.operation {
        case .middle(let blocks, let segments):
            return try middle(request, blocks, segments)
        case .headTopK(let count):
            return try head(request, count)
        case .release(let slot):
            state.withLock { _ = $0.caches.removeValue(forKey: slot) }
            return .done
        case .stats:
            return .statistics(state.withLock { $0.statistics })
        case .linear, .attention, .feedForward, .unlock, .lockTail, .tailScores:
            throw .invalidRequest("'\(request.kind)' is not served by this worker")
        }
    }

    /// The rows of a request's tensor, which must be hidden states.
    private func hiddenStates(_ request: Request) throws(LinkError) -> EncodedTensor {
        let hidden = model.configuration.hiddenSize
        guard case .rows(let tensor) = request.payload, tensor.channels == hidden, tensor.rows > 0 else {
            throw .invalidRequest("'\(request.kind)' needs rows of \(hidden) channels")
        }
        return tensor
    }

    private func middle(
        _ request: Request, _ blocks: Range<Int>, _ segments: [Segment]
    ) throws(LinkError) -> Answer {
        let tensor = try hiddenStates(request)
        guard blocks.lowerBound >= 0, blocks.upperBound <= model.configuration.blockCount, !blocks.isEmpty
        else {
            throw .invalidRequest("blocks \(blocks), the model has \(model.configuration.blockCount)")
        }
        var rows = 0
        for segment in segments {
            let (sum, overflow) = rows.addingReportingOverflow(segment.rows)
            guard segment.rows > 0, !overflow else {
                throw .invalidRequest("a segment of \(segment.rows) rows")
            }
            rows = sum
        }
        guard rows == tensor.rows else {
            throw .invalidRequest("segments of \(rows) rows for \(tensor.rows) rows")
        }
        guard Set(segments.map(\.slot)).count == segments.count else {
            throw .invalidRequest("two segments of one slot")
        }
        let configuration = model.configuration
        return try state.withLock { state throws(LinkError) in
            var parts: [CacheSegment] = []
            for segment in segments {
                let cache = state.caches[segment.slot] ?? model.makeCache()
                let count = cache.layers[blocks].reduce(Int.max) { min($0, $1.count) }
                guard segment.position >= 0, segment.position <= configuration.maximumLength - segment.rows,
                    segment.position <= count
                else {
                    throw .invalidRequest(
                        "\(segment.rows) rows at position \(segment.position) of a slot with \(count) tokens")
                }
                parts.append(CacheSegment(cache: cache, position: segment.position, rows: segment.rows))
            }
            for (segment, part) in zip(segments, parts) {
                for layer in blocks { part.cache.layers[layer].truncate(to: segment.position) }
                state.caches[segment.slot] = part.cache
            }
            var hidden = tensor.values
            var span = hidden.mutableSpan
            do {
                try model.run(blocks: blocks, on: &span, segments: parts, workspace: &state.workspace)
            } catch {
                // Back to where the request began, so that it can be sent again once there is memory.
                for part in parts {
                    for layer in part.cache.layers where layer.count > part.position {
                        layer.truncate(to: part.position)
                    }
                }
                throw .workerFull("\(error)")
            }
            return .tensor(
                EncodedTensor(resultOf: request, channels: model.configuration.hiddenSize, values: hidden))
        }
    }

    private func head(_ request: Request, _ count: Int) throws(LinkError) -> Answer {
        let tensor = try hiddenStates(request)
        let vocabulary = model.configuration.vocabularySize
        guard (1...vocabulary).contains(count) else {
            throw .invalidRequest("the top \(count) of \(vocabulary) logits")
        }
        let logits = state.withLock { model.logits(tensor.values.span, workspace: &$0.workspace) }
        if count == vocabulary {
            return .tensor(EncodedTensor(resultOf: request, channels: vocabulary, values: logits))
        }
        let largest = (0..<tensor.rows).map { row in
            let row = logits.span.extracting(row * vocabulary..<(row + 1) * vocabulary)
            return topK(row, count).map { TokenLogit(token: Int32($0.index), logit: $0.value) }
        }
        guard largest.allSatisfy({ $0.count == count }) else {
            throw .invalidRequest("hidden states whose logits are not numbers")
        }
        return .topK(largest)
    }
}
