import Foundation
import SCXAttacks
import SCXInference
import SCXLink

extension WorkerView {
    /// Pictures of the tensors that tell most.
    func pictures(of session: SCXAttacks.Session, _ views: Views) -> [JSON] {
        let exchanges = session.steps.flatMap(\.exchanges)
        var pictures: [JSON] = []
        for subject in PictureSubject.all {
            let chosen = exchanges.filter(subject.matches)
            // Requests of generated tokens have one row each: together they are a picture.
            var rows: [Float] = []
            var columns = 0
            for exchange in chosen {
                guard rows.count < 1 << 18, let matrix = try? subject.rows(exchange, views),
                    columns == 0 || matrix.columns == columns
                else { break }
                columns = matrix.columns
                rows += matrix.values
                if matrix.rows > 1, subject.isSingle { break }
            }
            guard columns > 0, !rows.isEmpty, let first = chosen.first else { continue }
            let picture = TensorPicture(Matrix(columns: columns, values: rows))
            pictures.append(picture.json(subject, frame: first.message))
        }
        return pictures
    }
}

/// A kind of tensor that is worth a look.
struct PictureSubject {
    let title: String
    let note: String
    let kind: MessageKind
    /// The first block's alone.
    var isFirstBlock = false
    var site: Site?
    /// The first request shows all there is.
    var isSingle = true

    static let all: [PictureSubject] = [
        PictureSubject(
            title: "into the first block (linear)", note: "the rows that the first product is made of",
            kind: .linear, isFirstBlock: true, site: .queryKeyValue),
        PictureSubject(
            title: "keys and values (attention)", note: "one row for each token, in the order of the text",
            kind: .attention, isFirstBlock: true),
        PictureSubject(
            title: "feed-forward", note: "hidden states after the first block's attention",
            kind: .feedForward,
            isFirstBlock: true),
        PictureSubject(
            title: "hidden states (middle)", note: "rows that the worker takes through many blocks by itself",
            kind: .middle, isSingle: false),
        PictureSubject(
            title: "near the end (tailScores)", note: "one row for each generated token", kind: .tailScores,
            isSingle: false),
        PictureSubject(
            title: "into the head (headTopK)", note: "what the next token is read from", kind: .headTopK,
            isSingle: false),
    ]

    func matches(_ exchange: Exchange) -> Bool {
        exchange.kind == kind && (site == nil || exchange.site == site)
            && (!isFirstBlock || exchange.layer == 0)
    }

    /// What there is to see; keys and values beside each other of an attention.
    func rows(_ exchange: Exchange, _ views: Views) throws(AttackError) -> Matrix? {
        guard kind == .attention else { return try views.rows(of: exchange) }
        guard let rows = try views.attention(of: exchange) else { return nil }
        var values: [Float] = []
        for row in 0..<rows.keys.rows { values += rows.keys[row] + rows.values[row] }
        return Matrix(columns: rows.keys.columns + rows.values.columns, values: values)
    }
}

/// A tensor as a small picture: a byte for each point, 128 for nought.
struct TensorPicture {
    let source: Matrix
    let width: Int
    let height: Int
    let bytes: [UInt8]

    private static let edge = 64

    init(_ source: Matrix) {
        self.source = source
        (width, height) = (min(source.columns, Self.edge), min(source.rows, Self.edge))
        var points: [Float] = []
        // Single values, not means: means of noise are grey.
        for y in 0..<height {
            for x in 0..<width {
                points.append(
                    source.values[y * source.rows / height * source.columns + x * source.columns / width])
            }
        }
        // The few largest would leave everything else grey.
        let sizes = points.map { abs($0) }.sorted()
        let scale = max(sizes[sizes.count * 98 / 100], .leastNormalMagnitude)
        bytes = points.map { UInt8(128 + 127 * max(-1, min(1, $0 / scale))) }
    }

    func json(_ subject: PictureSubject, frame: Int) -> JSON {
        [
            "title": .string(subject.title), "note": .string(subject.note), "frame": .int(frame),
            "rows": .int(source.rows), "channels": .int(source.columns), "width": .int(width),
            "height": .int(height), "data": .string(Data(bytes).base64EncodedString()),
        ]
    }
}
