import SCXInference
import SCXLink

/// Decides which of two texts a session has, by a classifier that was trained on sessions whose text is known.
///
/// This is the game that defines indistinguishability, with a trained attacker. It uses features of all tensors of a
/// session (moments, and how often each byte occurs), standardised, and logistic regression. Half of the sessions are
/// for training, half for testing.
public struct Distinguisher: Sendable {
    private let rounds = 200

    public init() {}

    /// Plays the game.
    ///
    /// - Parameters:
    ///   - first: Features of sessions with one text, as ``features(of:in:)`` computes them.
    ///   - second: Features of sessions with the other text.
    /// - Returns: How many of the test sessions were decided rightly; by chance it is half of them.
    /// - Precondition: There are two sessions of each, all with equally many features.
    public func play(first: [[Double]], second: [[Double]]) -> Share {
        precondition(min(first.count, second.count) >= 2, "Distinguisher: too few sessions")
        func split(_ all: [[Double]]) -> (train: [[Double]], test: [[Double]]) {
            (Array(all.prefix(all.count / 2)), Array(all.dropFirst(all.count / 2)))
        }
        let (a, b) = (split(first), split(second))
        let train = a.train.map { ($0, 1.0) } + b.train.map { ($0, 0.0) }
        let width = train[0].0.count
        var mean = [Double](repeating: 0, count: width)
        for (row, _) in train { for i in 0..<width { mean[i] += row[i] / Double(train.count) } }
        var scale = [Double](repeating: 0, count: width)
        for (row, _) in train {
            for i in 0..<width { scale[i] += (row[i] - mean[i]) * (row[i] - mean[i]) / Double(train.count) }
        }
        scale = scale.map { $0 > 0 ? 1 / $0.squareRoot() : 0 }
        func standard(_ row: [Double]) -> [Double] { (0..<width).map { (row[$0] - mean[$0]) * scale[$0] } }
        let rows = train.map { (standard($0.0), $0.1) }
        var weights = [Double](repeating: 0, count: width)
        for _ in 0..<rounds {
            var gradient = weights.map { 0.01 * $0 }
            for (row, label) in rows {
                let error = probability(row, weights) - label
                for i in 0..<width { gradient[i] += error * row[i] / Double(rows.count) }
            }
            for i in 0..<width { weights[i] -= 0.1 * gradient[i] }
        }
        let right =
            a.test.count { probability(standard($0), weights) > 0.5 }
            + b.test.count { probability(standard($0), weights) < 0.5 }
        return Share(right, of: a.test.count + b.test.count)
    }

    /// The features of a session for the classifier: numbers of each kind of message, moments, bytes.
    public func features(of session: Session, in views: Views) throws(AttackError) -> [Double] {
        var features: [Double] = []
        for kind in MessageKind.allCases {
            let exchanges = session.steps.flatMap(\.exchanges).filter { $0.kind == kind }
            var (count, sum, square, fourth, largest) = (0.0, 0.0, 0.0, 0.0, 0.0)
            for exchange in exchanges where exchange.request.elements == .float32 || exchange.isReading {
                for value in try views.rows(of: exchange).values {
                    let x = Double(value)
                    count += 1
                    sum += x
                    square += x * x
                    fourth += x * x * x * x
                    largest = max(largest, abs(x))
                }
            }
            let n = max(1, count)
            features += [Double(exchanges.count), count, sum / n, square / n, fourth / n, largest]
        }
        return features + (try byteShares(session, views))
    }

    /// How often each byte occurs among the integers of a session, or of its connection if requests name no session.
    private func byteShares(_ session: Session, _ views: Views) throws(AttackError) -> [Double] {
        var counts = [Double](repeating: 0, count: 256)
        var total = 1.0
        let own = session.steps.flatMap(\.sent).map(\.request).filter { $0.kind == .linearRing }
        let entries =
            own.isEmpty
            ? views.words.filter { $0.connection == session.connection && $0.run == session.run } : own
        for entry in entries {
            for word in try views.words(of: entry) {
                counts[Int(word >> 24)] += 1
                total += 1
            }
        }
        return counts.map { $0 / total }
    }

    private func probability(_ row: [Double], _ weights: [Double]) -> Double {
        1 / (1 + exponential(-zip(row, weights).reduce(0) { $0 + $1.0 * $1.1 }))
    }
}

/// How similar the distances between encoded rows are to those between plain rows, 0 to 1.
///
/// Székely, Rizzo and Bakirov 2007, "Measuring and testing dependence by correlation of distances", by which SCX and
/// STIP measure their encodings. It is a measure and not an attack: it is 1 for any encoding that only permutes
/// channels.
public func distanceCorrelation(_ plain: Matrix, _ encoded: Matrix) -> Double {
    precondition(plain.rows == encoded.rows && plain.rows > 1, "distanceCorrelation: rows")
    let n = plain.rows
    func centred(_ rows: Matrix) -> [Double] {
        var d = [Double](repeating: 0, count: n * n)
        for i in 0..<n { for j in 0..<n { d[i * n + j] = Double(distance(rows[i], rows[j])) } }
        let means = (0..<n).map { i in d[i * n..<(i + 1) * n].reduce(0, +) / Double(n) }
        let all = means.reduce(0, +) / Double(n)
        for i in 0..<n { for j in 0..<n { d[i * n + j] += all - means[i] - means[j] } }
        return d
    }
    let (a, b) = (centred(plain), centred(encoded))
    func product(_ x: [Double], _ y: [Double]) -> Double { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }
    let scale = (product(a, a) * product(b, b)).squareRoot()
    return scale > 0 ? (max(0, product(a, b)) / scale).squareRoot() : 0
}
