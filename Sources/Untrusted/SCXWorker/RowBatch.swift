import SCXLink

/// The types of the elements that rows of requests and answers have.
protocol RowElement {
    /// The rows of a payload; nil for a payload of another kind.
    static func rows(of payload: Request.Payload) -> (rows: Int, channels: Int, values: [Self])?
    /// Makes the answer with these rows.
    static func answer(to request: Request, channels: Int, values: [Self]) -> Answer
}

extension Float: RowElement {
    static func rows(of payload: Request.Payload) -> (rows: Int, channels: Int, values: [Float])? {
        guard case .rows(let tensor) = payload else { return nil }
        return (tensor.rows, tensor.channels, tensor.values)
    }

    static func answer(to request: Request, channels: Int, values: [Float]) -> Answer {
        .tensor(EncodedTensor(resultOf: request, channels: channels, values: values))
    }
}

extension UInt32: RowElement {
    static func rows(of payload: Request.Payload) -> (rows: Int, channels: Int, values: [UInt32])? {
        guard case .ring(let tensor) = payload else { return nil }
        return (tensor.rows, tensor.channels, tensor.values)
    }

    static func answer(to request: Request, channels: Int, values: [UInt32]) -> Answer {
        .ring(RingTensor(resultOf: request, channels: channels, values: values))
    }
}

/// Requests that are computed as one product, with their rows one after the other.
struct RowBatch<Element: RowElement> {
    struct Member {
        let request: Request
        let rows: Range<Int>
        /// Its number among all requests of the batch, including those that were refused.
        fileprivate let index: Int
    }

    private(set) var members: [Member] = []
    /// The rows of all members, row-major.
    private(set) var values: [Element] = []
    private(set) var answers: [Result<Answer, LinkError>]

    var rows: Int { members.last?.rows.upperBound ?? 0 }

    /// Takes the rows of the requests, except of those that `admit` refuses by an error.
    init(
        _ jobs: [WorkerState.Job], channels: Int,
        admit: (WorkerState.Job, _ rows: Int) throws(LinkError) -> Void
    ) {
        answers = Array(repeating: .success(.done), count: jobs.count)
        for (index, job) in jobs.enumerated() {
            do throws(LinkError) {
                guard let tensor = Element.rows(of: job.request.payload), tensor.channels == channels,
                    tensor.rows > 0
                else { throw .invalidRequest("'\(job.request.kind)' needs rows of \(channels) channels") }
                try admit(job, tensor.rows)
                members.append(
                    Member(request: job.request, rows: rows..<rows + tensor.rows, index: index))
                // The rows of a single request are not copied.
                if values.isEmpty { values = tensor.values } else { values += tensor.values }
            } catch {
                answers[index] = .failure(error)
            }
        }
    }

    /// Gives each request its rows of the result.
    mutating func answer(_ result: [Element], channels: Int) {
        for member in members {
            let rows = member.rows.lowerBound * channels..<member.rows.upperBound * channels
            let values = members.count == 1 ? result : Array(result[rows])
            answer(member, Element.answer(to: member.request, channels: channels, values: values))
        }
    }

    mutating func answer(_ member: Member, _ answer: Answer) { answers[member.index] = .success(answer) }

    mutating func fail(_ member: Member, _ error: LinkError) { answers[member.index] = .failure(error) }
}
