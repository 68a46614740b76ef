package import SCXEncoding
package import SCXInference

/// How the rows of a step are laid out for the experts that they take, so that a request tells nothing but sizes.
///
/// Each expert has the same number of slots, and a slot takes one row. Slots that no row takes hold zeros, which are
/// rounded and padded like all others. A slot of all experts together is one row of the site.
package struct ExpertSlots {
    package let routes: ExpertRoutes
    /// How many slots each expert has.
    package let capacity: Int
    /// The experts that the request reaches, rising.
    package let reached: [Int]
    /// For each place of ``ExpertRoutes/chosen`` the slot of its row.
    package let slots: [Int]
    /// For each expert its number among those that are reached.
    private let groupNumbers: [Int]

    /// Lays out rows.
    ///
    /// - Parameters:
    ///   - routes: Which experts each row takes.
    ///   - shownRows: How many rows the worker sees in the requests of other sites, which may be more.
    ///   - cover: How many experts the request reaches at least; nil for all.
    ///   - random: The generator from which experts that no row takes are drawn.
    package init(_ routes: ExpertRoutes, shownRows: Int, cover: Int?, random: inout SecureRandom) {
        self.routes = routes
        var loads = [Int](repeating: 0, count: routes.experts)
        slots = routes.chosen.map { expert in
            loads[Int(expert)] += 1
            return loads[Int(expert)] - 1
        }
        capacity = Self.capacity(
            rows: shownRows, experts: routes.experts, perRow: routes.perRow, load: loads.max() ?? 1)
        let wanted = loads.indices.filter { loads[$0] > 0 }
        reached = Self.cover(wanted, of: routes.experts, atLeast: cover, random: &random)
        var numbers = [Int](repeating: -1, count: routes.experts)
        for (number, expert) in reached.enumerated() { numbers[expert] = number }
        groupNumbers = numbers
    }

    /// How many slots each expert has.
    ///
    /// It is enough for the largest load, and at least what is nearly always enough when all experts are chosen equally
    /// often: the mean load, three of its standard deviations, and one. So the number is the same for most inputs of as many
    /// rows, and tells something of the others. No expert gets a row twice, so one row always has one slot.
    package static func capacity(rows: Int, experts: Int, perRow: Int, load: Int) -> Int {
        let mean = Double(rows * perRow) / Double(experts)
        let usual = Int((mean + 3 * mean.squareRoot() + 1).rounded(.up))
        return min(max(rows, load), rounded(max(usual, load)))
    }

    /// The least number of slots from 1, 2, 3, 4, 6, 8, 12, 16, … that is not below the largest load, so that the number
    /// of slots tells little of the loads.
    static func rounded(_ load: Int) -> Int {
        var size = 1
        while size < load {
            if size > 1, size + size / 2 >= load { return size + size / 2 }
            size *= 2
        }
        return size
    }

    /// The experts that a request reaches: those that are wanted, and others that are drawn uniformly.
    ///
    /// If more are wanted than the request has to reach, it reaches twice as many or four times as many and so on, so
    /// that the wanted ones are hidden among others.
    package static func cover(
        _ wanted: [Int], of count: Int, atLeast cover: Int?, random: inout SecureRandom
    ) -> [Int] {
        guard let cover, cover < count else { return Array(0..<count) }
        var size = cover
        while size < wanted.count { size *= 2 }
        guard size < count else { return Array(0..<count) }
        let taken = Set(wanted)
        var others = (0..<count).filter { !taken.contains($0) }
        for i in 0..<size - wanted.count {
            others.swapAt(i, i + Int(random.number(below: UInt32(others.count - i))))
        }
        return (wanted + others.prefix(size - wanted.count)).sorted()
    }

    /// Where a row's part begins in rows of `width` channels for each expert, counted from slot 0 on.
    private func offset(_ place: Int, _ width: Int) -> Int {
        (slots[place] * reached.count + groupNumbers[Int(routes.chosen[place])]) * width
    }

    /// The rows for some slots, `[slots, reached · width]`.
    ///
    /// - Parameters:
    ///   - rows: `[rows, width]`
    ///   - part: The slots.
    /// - Returns: The rows, with zeros in slots that nobody takes.
    package func gathering(_ rows: borrowing Plaintext, slots part: Range<Int>) -> Plaintext {
        let width = rows.channels
        var wide = Plaintext(rows: part.count, channels: reached.count * width)
        var out = wide.values
        let source = rows.span
        let skipped = part.lowerBound * reached.count * width
        for place in slots.indices where part.contains(slots[place]) {
            let (from, to) = (place / routes.perRow * width, offset(place, width) - skipped)
            for c in 0..<width { out[to + c] = source[from + c] }
        }
        return wide
    }

    /// Copies the results of some slots to where their rows and experts belong.
    ///
    /// - Parameters:
    ///   - wide: `[slots, reached · width]`
    ///   - part: The slots.
    ///   - results: Receives them, `[rows · perRow, width]`.
    package func scatter(_ wide: borrowing Plaintext, slots part: Range<Int>, into results: inout Plaintext) {
        let width = results.channels
        let source = wide.span
        var out = results.values
        let skipped = part.lowerBound * reached.count * width
        for place in slots.indices where part.contains(slots[place]) {
            let (from, to) = (offset(place, width) - skipped, place * width)
            for c in 0..<width { out[to + c] = source[from + c] }
        }
    }

    /// Adds each row's results, with their factors, in the order of the row's experts, so that the sum does not depend on
    /// other rows.
    ///
    /// - Parameters:
    ///   - results: `[rows · perRow, width]`, as ``scatter(_:slots:into:)`` leaves them.
    ///   - sum: `[rows, width]`: what the sums are added to.
    package func add(_ results: borrowing Plaintext, to sum: inout Plaintext) {
        let width = results.channels
        let source = results.span
        var out = sum.values
        for place in slots.indices {
            let (weight, from, to) = (routes.weights[place], place * width, place / routes.perRow * width)
            for c in 0..<width { out[to + c] += weight * source[from + c] }
        }
    }
}
