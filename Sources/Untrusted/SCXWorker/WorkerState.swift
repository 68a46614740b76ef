import SCXInference
import SCXLink

/// The state that a worker changes when it answers, one batch of requests at a time.
struct WorkerState: ~Copyable {
    typealias Job = (connection: UInt64, request: Request)

    let model: Decoder
    let answerBytes: Int
    var memory: SlotMemory
    var workspace = Workspace()
    /// Float32 copies of weights by which exact products were asked for.
    ///
    /// They are at most as many as the model's own and belong to no slot.
    var exactWeights: [DecoderSite: PackedMatrix] = [:]
    var statistics = WorkerStatistics()

    init(model: Decoder, limits: Worker.Limits) {
        self.model = model
        answerBytes = limits.answerBytes
        memory = SlotMemory(slots: limits.slots, bytes: limits.slotBytes)
    }

    var configuration: DecoderConfiguration { model.configuration }

    var currentStatistics: WorkerStatistics {
        var current = statistics
        current.slots = memory.count
        current.slotBytes = memory.byteCount
        return current
    }

    mutating func answer(_ jobs: [Job]) -> [Result<Answer, LinkError>] {
        var answers = [Result<Answer, LinkError>](repeating: .success(.done), count: jobs.count)
        var groups: [(product: SharedProduct, members: [Int])] = []
        for (i, job) in jobs.enumerated() {
            statistics.requests += 1
            switch job.request.payload {
            case .rows(let tensor): statistics.rows += tensor.rows
            case .ring(let tensor): statistics.rows += tensor.rows
            case .none, .permutation: break
            }
            do throws(LinkError) {
                guard let product = try sharedProduct(job.request) else {
                    answers[i] = .success(try answerAlone(job))
                    continue
                }
                if let group = groups.firstIndex(where: { $0.product == product }) {
                    groups[group].members.append(i)
                } else {
                    groups.append((product, [i]))
                }
            } catch {
                answers[i] = .failure(error)
            }
        }
        for group in groups {
            let results = answer(group.members.map { jobs[$0] }, with: group.product)
            for (i, result) in zip(group.members, results) { answers[i] = result }
        }
        return answers
    }

    /// Answers a request that shares no weights with others.
    private mutating func answerAlone(_ job: Job) throws(LinkError) -> Answer {
        func key(_ slot: Slot) -> SlotKey { SlotKey(connection: job.connection, number: slot.number) }
        switch (job.request.operation, job.request.payload) {
        case (.attention(let layer, let parts), .rows(let tensor)):
            return try attention(job, tensor, layer, parts)
        case (.unlock(let slot, let layer, let position, let source), .permutation(let rows)):
            return try unlock(key(slot), layer, position, rows, of: key(source ?? slot))
        case (.lockTail(let slot, let layer), .rows(let tensor)):
            return try lockTail(tensor, key(slot), layer)
        case (.tailScores(let layer, let segments), .rows(let tensor)):
            return try tailScores(job, tensor, layer, segments)
        case (.padProducts(let layer, let site, let seed, let first, let rows), _):
            return try padProducts(job, ringSite(layer, site), seed, first: first, rows: rows)
        case (.release(let slot), _):
            memory.remove(key(slot))
            return .done
        case (.stats, _):
            return .statistics(currentStatistics)
        default:
            throw .invalidRequest("'\(job.request.kind)' with a payload of another kind")
        }
    }

    /// Checks that the model has this layer.
    ///
    /// - Throws: ``LinkError/invalidRequest(_:)`` when it has not.
    func check(layer: Int) throws(LinkError) {
        guard (0..<configuration.blockCount).contains(layer) else {
            throw .invalidRequest("layer \(layer), the model has \(configuration.blockCount)")
        }
    }

    /// Checks the size of an answer of `rows` rows.
    ///
    /// - Throws: ``LinkError/invalidRequest(_:)`` when it would be too large.
    func check(answerRows rows: Int, channels: Int) throws(LinkError) {
        guard rows <= answerBytes / 4 / channels else {
            throw .invalidRequest("an answer of \(rows) x \(channels) numbers, at most \(answerBytes) bytes")
        }
    }
}
