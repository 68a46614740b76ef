/// The values of one metric, by labels, in Prometheus' text exposition format 0.0.4.
struct MetricFamily: Sendable {
    enum Kind: Sendable {
        case counter, gauge
        /// With the upper bounds of its buckets, ascending.
        case histogram([Double])
    }

    let name: String
    /// Names of other servers for the same numbers, which lack the label ``hiddenLabel``.
    let aliases: [String]
    let help: String
    let kind: Kind
    let labels: [String]

    /// The values of one choice of labels.
    private struct Series: Sendable {
        /// A counter's or gauge's value, a histogram's sum.
        var total = 0.0
        /// Observations up to each bound but above the one before; those above all come last.
        var buckets: [UInt64] = []

        mutating func add(_ other: Series) {
            total += other.total
            buckets = zip(buckets, other.buckets).map { $0 + $1 }
        }
    }

    private var series: [[String]: Series] = [:]

    /// A label that other servers do not have.
    static let hiddenLabel = "profile"

    init(_ name: String, _ kind: Kind, _ help: String, labels: [String] = [], aliases: [String] = []) {
        (self.name, self.kind, self.help) = (name, kind, help)
        (self.labels, self.aliases) = (labels, aliases)
    }

    private var empty: Series {
        guard case .histogram(let bounds) = kind else { return Series() }
        return Series(buckets: Array(repeating: 0, count: bounds.count + 1))
    }

    /// Counts, or observes.
    ///
    /// - Precondition: There is a value for each label.
    mutating func add(_ value: Double, _ values: [String]) {
        precondition(values.count == labels.count, "MetricFamily: labels of \(name)")
        var changed = series[values] ?? empty
        changed.total += value
        if case .histogram(let bounds) = kind {
            changed.buckets[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        }
        series[values] = changed
    }

    /// Sets a gauge.
    mutating func set(_ value: Double, _ values: [String]) {
        series[values] = nil
        add(value, values)
    }

    /// Writes the family under all its names.
    ///
    /// - Parameters:
    ///   - constant: A label of all samples, with its value.
    ///   - text: Gets lines.
    func write(constant: (name: String, value: String), to text: inout String) {
        write(name, labels, series, constant, to: &text)
        guard !aliases.isEmpty else { return }
        let kept = labels.indices.filter { labels[$0] != Self.hiddenLabel }
        var summed: [[String]: Series] = [:]
        for (values, series) in series { summed[kept.map { values[$0] }, default: empty].add(series) }
        for alias in aliases { write(alias, kept.map { labels[$0] }, summed, constant, to: &text) }
    }

    private func write(
        _ name: String, _ labels: [String], _ series: [[String]: Series],
        _ constant: (name: String, value: String), to text: inout String
    ) {
        let type =
            switch kind {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
        for (values, series) in series.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            let pairs = [constant] + zip(labels, values).map { (name: $0, value: $1) }
            let inner = pairs.map { "\($0.name)=\"\(Self.escape($0.value))\"" }.joined(separator: ",")
            guard case .histogram(let bounds) = kind else {
                text += "\(name){\(inner)} \(Self.number(series.total))\n"
                continue
            }
            var count: UInt64 = 0
            for (bound, observed) in zip(bounds.map(Self.number) + ["+Inf"], series.buckets) {
                count += observed
                text += "\(name)_bucket{\(inner),le=\"\(bound)\"} \(count)\n"
            }
            text += "\(name)_sum{\(inner)} \(Self.number(series.total))\n"
            text += "\(name)_count{\(inner)} \(count)\n"
        }
    }

    private static func escape(_ value: String) -> String {
        String(
            value.unicodeScalars.flatMap { scalar -> [Character] in
                switch scalar {
                case "\\": ["\\", "\\"]
                case "\"": ["\\", "\""]
                case "\n": ["\\", "n"]
                default: [Character(scalar)]
                }
            })
    }

    private static func number(_ value: Double) -> String {
        Int(exactly: value).map(String.init) ?? "\(value)"
    }
}
