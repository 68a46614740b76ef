import SCXLink

/// The requests of one product: their rows, one after the other.
struct RowBatch {
    struct Member {
        let request: Request
        let rows: Range<Int>
        /// Its number among all requests, those that were refused included.
        fileprivate let index: Int
    }

    private(set) var members: [Member] = []
    /// Rows of all members, row-major.
    private(set) var values: [Float] = []
    private(set) var answers: [Result<Answer, LinkError>]

    var rows: Int { members.last?.rows.upperBound ?? 0 }

    /// Takes the rows of the requests that `admit` does not refuse.
    init(
        _ jobs: [WorkerState.Job], channels: Int,
        admit: (WorkerState.Job, EncodedTensor) throws(LinkError) -> Void
    ) {
        answers = Array(repeating: .success(.done), count: jobs.count)
        for (index, job) in jobs.enumerated() {
            do throws(LinkError) {
                guard case .rows(let tensor) = job.request.payload, tensor.channels == channels,
                    tensor.rows > 0
                else { throw .invalidRequest("'\(job.request.kind)' needs rows of \(channels) channels") }
                try admit(job, tensor)
                members.append(
                    Member(request: job.request, rows: rows..<rows + tensor.rows, index: index))
                // A request alone is not copied.
                if values.isEmpty { values = tensor.values } else { values += tensor.values }
            } catch {
                answers[index] = .failure(error)
            }
        }
    }

    /// Gives each request its rows of the result.
    mutating func answer(_ result: [Float], channels: Int) {
        for member in members {
            let rows = member.rows.lowerBound * channels..<member.rows.upperBound * channels
            let values = members.count == 1 ? result : Array(result[rows])
            answer(
                member, .tensor(EncodedTensor(resultOf: member.request, channels: channels, values: values)))
        }
    }

    mutating func answer(_ member: Member, _ answer: Answer) { answers[member.index] = .success(answer) }

    mutating func fail(_ member: Member, _ error: LinkError) { answers[member.index] = .failure(error) }
}
