package import SCXInference
package import SCXLink

/// One-time pads for some rows of one site, and the products that remove them from the answer.
///
/// The type is noncopyable and ``encode(_:dummies:pool:)`` consumes it, so pads that were used cannot be used again.
package struct PadRows: ~Copyable, Sendable {
    /// The site for whose inputs the pads are.
    package let site: RingSite
    /// How many pads there are.
    package var count: Int { places.count }
    private let places: [Place]

    struct Place: Sendable {
        let batch: PadBatch
        let row: Int
    }

    init(_ site: RingSite, _ places: [Place]) {
        self.site = site
        self.places = places
    }

    /// Adds a pad to each row, modulo 2³²: z = x̂ + ρ, which is uniform whatever x̂ is.
    ///
    /// - Parameters:
    ///   - rows: As many rows as there are pads.
    ///   - dummies: Rows of random numbers that are appended to hide how many real rows there are.
    ///   - pool: Threads that share the work.
    /// - Returns: The rows to send, and what opens their answer.
    package consuming func encode(
        _ rows: borrowing FixedPointRows, dummies: DummyRows? = nil, pool: ThreadPool?
    ) -> PaddedRows {
        precondition(
            rows.rows == places.count && rows.channels == rows.groups.count * site.groupInputs,
            "PadRows: not a pad for each row")
        let (inputs, count, places) = (rows.channels, places.count, places)
        let (groups, whole, groupInputs) = (rows.groups, site.inputs, site.groupInputs)
        let total = count + (dummies?.numbers.count ?? 0)
        var values = [UInt32](repeating: 0, count: total * inputs)
        var unused = [UInt8](repeating: 0, count: total)
        var out = values.mutableSpan
        var none = unused.mutableSpan
        let integers = rows.span
        forEachRow(total, &out, width: inputs, &none, width: 1, pool: pool) { row, words, _ in
            guard row < count else {
                if let dummies {
                    dummies.seed.expand(row: dummies.numbers.lowerBound + UInt64(row - count), into: &words)
                }
                return
            }
            if groups.count * groupInputs == whole {
                places[row].batch.expand(places[row].row, into: &words)
            } else {
                // The pads of the groups that are left out are never used for anything else.
                var pads = SecretBuffer<UInt32>(repeating: 0, count: whole)
                var all = pads.mutableSpan
                places[row].batch.expand(places[row].row, into: &all)
                for (g, group) in groups.enumerated() {
                    for c in 0..<groupInputs { words[g * groupInputs + c] = all[group * groupInputs + c] }
                }
            }
            ringAdd(integers.extracting(row * inputs..<(row + 1) * inputs), into: &words)
        }
        return PaddedRows(
            tensor: RingTensor(paddedRows: total, channels: inputs, values: values), site: site,
            places: places)
    }
}

/// Rows of random numbers whose answers are ignored: they hide how many rows are real.
package struct DummyRows: Sendable {
    let seed: PadSeed
    /// Numbers of rows of the seed that were never used.
    let numbers: Range<UInt64>

    /// Describes dummy rows.
    ///
    /// - Parameters:
    ///   - seed: A seed from which only dummy rows are expanded.
    ///   - numbers: Numbers of rows of the seed that were never used.
    package init(seed: PadSeed, numbers: Range<UInt64>) {
        self.seed = seed
        self.numbers = numbers
    }
}

/// Padded rows, and what opens the answer to them.
package struct PaddedRows: ~Copyable, Sendable {
    /// The tensor that the worker gets.
    package let tensor: RingTensor
    private let site: RingSite
    private let places: [PadRows.Place]

    fileprivate init(tensor: RingTensor, site: RingSite, places: [PadRows.Place]) {
        self.tensor = tensor
        self.site = site
        self.places = places
    }

    /// Subtracts the pads' products from an answer, verifies each row, and returns the results in clear.
    ///
    /// - Parameters:
    ///   - answer: `[rows, outputs]`, and more rows if there were dummies.
    ///   - rows: The rows that were encoded.
    ///   - expected: The expected sums of these rows, from ``FixedPointRows/expectedSketches(_:pool:)``.
    ///   - pool: Threads that share the work.
    /// - Returns: `[rows, outputs]` in clear, or the row that is wrong; then nothing of the answer may be used.
    package consuming func open(
        _ answer: RingTensor, _ rows: borrowing FixedPointRows, expected: borrowing ExpectedSketches,
        pool: ThreadPool?
    ) -> OpenedProduct {
        let (site, places, groups) = (site, places, rows.groups)
        let width = site.groupOutputs
        let outputs = groups.count * width
        precondition(
            answer.rows == tensor.rows && answer.channels == outputs, "PaddedRows: an answer of another shape"
        )
        var result = Plaintext(rows: places.count, channels: outputs)
        // For each group of each row its part of the value that is checked.
        var parts = SecretBuffer<UInt64>(repeating: 0, count: places.count * groups.count)
        var out = result.values
        var sums = parts.mutableSpan
        let products = answer.values.span
        let scales = rows.rowScales
        let (sketch, sketches) = (expected.sketch, expected.values.span)
        let (columnScales, bias) = (site.scales, site.bias)
        forEachRow(places.count * groups.count, &out, width: width, &sums, width: 1, pool: pool) {
            part, values, sum in
            let (row, group) = (part / groups.count, groups[part % groups.count])
            let channels = site.outputs(ofGroup: group)
            var integers = SecretBuffer<Int32>(repeating: 0, count: width)
            var y = integers.mutableSpan
            places[row].batch.withProduct(places[row].row) { pad in
                fixedDecode(
                    products.extracting(part * width..<(part + 1) * width), product: pad.extracting(channels),
                    columnScales: columnScales.span.extracting(channels), scale: scales[part],
                    bias: bias.isEmpty ? Span() : bias.span.extracting(channels), into: &y, &values)
            }
            sum[0] = sketch.found(integers.span, group: group)
        }
        let values = SiteSketch.sums(parts.span, groups: groups.count)
        // All rows are checked, so that the time does not tell which row is the first wrong one.
        var found: Int?
        for row in (0..<places.count).reversed() where values.span[row] ^ sketches[row] != 0 { found = row }
        guard let found else { return .verified(result) }
        let inputs = tensor.channels
        return .wrong(
            WrongRow(
                index: found, source: places[found].batch.source, groups: groups,
                padded: Array(tensor.values[found * inputs..<(found + 1) * inputs]),
                answer: Array(answer.values[found * outputs..<(found + 1) * outputs])))
    }
}

/// The result of opening an answer.
package enum OpenedProduct: ~Copyable {
    /// Results in clear, all of which have passed the check.
    case verified(Plaintext)
    case wrong(WrongRow)
}

/// A row whose check failed: either the worker's product of it is wrong, or the product of its pad.
package struct WrongRow: Sendable {
    /// The row's number in the request.
    package let index: Int
    /// The number of the source that computed the product of the row's pad.
    package let source: Int
    /// The groups of the site whose channels the row has.
    package let groups: [Int]
    /// The padded row that the worker got, the inputs of these groups.
    package let padded: [UInt32]
    /// The product that the worker answered, the outputs of these groups.
    package let answer: [UInt32]
}

extension FixedPointRows {
    /// Computes the value x̂ · S̃ that y · S must have for each row of the answer.
    ///
    /// It is computed while the worker multiplies.
    package borrowing func expectedSketches(_ site: RingSite, pool: ThreadPool?) -> ExpectedSketches {
        let secret = site.sketch
        let (groups, width) = (groups, site.groupInputs)
        var parts = SecretBuffer<UInt64>(repeating: 0, count: rows * groups.count)
        var unused = SecretBuffer<UInt8>(repeating: 0, count: rows * groups.count)
        var out = parts.mutableSpan
        var none = unused.mutableSpan
        let integers = span
        forEachRow(rows * groups.count, &out, width: 1, &none, width: 1, pool: pool) { part, sketch, _ in
            sketch[0] = secret.expected(
                integers.extracting(part * width..<(part + 1) * width), group: groups[part % groups.count])
        }
        return ExpectedSketches(sketch: secret, values: SiteSketch.sums(parts.span, groups: groups.count))
    }
}

/// The values that the checks of a request's rows must give, under the site's secret at the time when they were
/// computed.
package struct ExpectedSketches: ~Copyable, Sendable {
    fileprivate let sketch: SiteSketch
    /// One value for each row.
    fileprivate let values: SecretBuffer<UInt64>
}
