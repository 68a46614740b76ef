/// The four normalization forms (Unicode Standard Annex 15), by the tables of Unicode 9 that `tokenizers` has.
///
/// Characters that came later neither decompose nor compose nor move.
enum NormalizationForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    private var isCompatible: Bool { self == .nfkc || self == .nfkd }
    private var composes: Bool { self == .nfc || self == .nfkc }

    /// How many times longer it can make a text: three times (U+1D160), or eleven (U+FDFA).
    var growth: Double { isCompatible ? 11 : 3 }

    /// Normalizes a text.
    func normalize(_ text: inout NormalizedText) {
        // Every character below U+0300 is its own NFC, every ASCII character all of its forms.
        let inert: UInt8 = self == .nfc ? 0xCC : 0x80
        let bytes = text.bytes
        if bytes.allSatisfy({ $0 < inert }) { return }
        let tables = NormalizationTables.shared
        let span = bytes.span
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var origins = OriginTracker(text)
        // Characters that might still be reordered or composed: from one that begins anew up to the next.
        var segment: [NormalizationTables.Item] = []
        var at = 0
        while at < span.count {
            if span[at] < 0x80, at + 1 == span.count || span[at + 1] < inert {
                // Nothing after it joins it.
                flush(&segment, tables, &origins, into: &result)
                result.append(span[at])
                origins.take(1, change: 0)
                at += 1
                continue
            }
            let (scalar, end) = span.scalar(at: at)
            at = end
            tables.decompose(scalar.value, compatible: isCompatible) { item in
                if item.combiningClass == 0, !composes || !tables.mayJoinBackward(item.scalar) {
                    flush(&segment, tables, &origins, into: &result)
                }
                segment.append(item)
            }
        }
        flush(&segment, tables, &origins, into: &result)
        text = NormalizedText(bytes: result, firstCount: origins.finish())
    }

    private func flush(
        _ segment: inout [NormalizationTables.Item], _ tables: NormalizationTables,
        _ origins: inout OriginTracker, into result: inout [UInt8]
    ) {
        if segment.count > 1 {
            NormalizationTables.reorder(&segment)
            if composes { tables.compose(&segment) }
        }
        guard !segment.isEmpty else { return }
        for item in segment {
            let start = result.count
            result.append(scalar: item.scalar)
            origins.take(result.count - start, change: item.change)
        }
        segment.removeAll(keepingCapacity: true)
    }
}

/// Decompositions, compositions and combining classes, ready to look up.
struct NormalizationTables: Sendable {
    static let shared = NormalizationTables()

    /// A character and its canonical combining class.
    struct Item: Sendable {
        var scalar: UInt32
        var combiningClass: UInt8
        /// What `OriginTracker` is told: 1 for the later parts of a character, less for each that was composed.
        var change = 0
    }

    private let classes = UnicodeTables.combiningClasses.map
    private var canonical: [UInt32: [Item]] = [:]
    private var compatible: [UInt32: [Item]] = [:]
    /// What a pair composes to: the first character in the upper half of the key.
    private var pairs: [UInt64: UInt32] = [:]
    /// Bit 0 of characters with a decomposition, bit 1 of those that may be the second of a pair.
    private var flags = ScalarMap([])

    private init() {
        let numbers = UnicodeTables.numbers(UnicodeTables.decompositions)
        var (scalar, at): (UInt32, Int) = (0, 0)
        var composed: [(scalar: UInt32, first: UInt32, second: UInt32)] = []
        while at + 2 < numbers.count {
            scalar += numbers[at]
            let kind = numbers[at + 1]
            if kind == 0 {
                composed.append((scalar, numbers[at + 2], numbers[at + 3]))
                at += 4
                continue
            }
            let end = at + 2 + Int(kind / 2)
            let parts = numbers[at + 2..<end].map(item)
            if kind % 2 == 0 { canonical[scalar] = parts } else { compatible[scalar] = parts }
            at = end
        }
        // The first of a pair may itself be composed of a lesser or a greater one: each is expanded when it is asked for.
        for (scalar, first, second) in composed { pairs[UInt64(first) << 32 | UInt64(second)] = scalar }
        let firsts = Dictionary(uniqueKeysWithValues: composed.map { ($0.scalar, ($0.first, $0.second)) })
        for (scalar, _, _) in composed {
            var parts: [Item] = []
            var rest = scalar
            while let (first, second) = firsts[rest] {
                parts.append(item(second))
                rest = first
            }
            parts.append(item(rest))
            canonical[scalar] = parts.reversed()
        }
        var seconds = Set(composed.map(\.second))
        seconds.formUnion(Hangul.vowels)
        seconds.formUnion(Hangul.trailing)
        let decomposed = Set(canonical.keys).union(compatible.keys)
        let hangul = Set(Hangul.syllables)
        flags = ScalarMap(
            decomposed.union(seconds).union(hangul).sorted().map {
                (
                    $0..<$0 + 1,
                    (decomposed.contains($0) || hangul.contains($0) ? 1 : 0) | (seconds.contains($0) ? 2 : 0)
                )
            })
    }

    private func item(_ scalar: UInt32) -> Item { Item(scalar: scalar, combiningClass: classes[scalar]) }

    /// Whether the character may compose with one before it.
    func mayJoinBackward(_ scalar: UInt32) -> Bool { flags[scalar] & 2 != 0 }

    /// Gives the parts of a character, as far as they go apart.
    func decompose(_ scalar: UInt32, compatible isCompatible: Bool, _ part: (Item) -> Void) {
        guard flags[scalar] & 1 != 0 else { return part(item(scalar)) }
        if let parts = isCompatible ? compatible[scalar] ?? canonical[scalar] : canonical[scalar] {
            for (i, item) in parts.enumerated() {
                part(Item(scalar: item.scalar, combiningClass: item.combiningClass, change: i == 0 ? 0 : 1))
            }
        } else if Hangul.syllables.contains(scalar) {
            for (i, scalar) in Hangul.parts(of: scalar).enumerated() {
                part(Item(scalar: scalar, combiningClass: 0, change: i == 0 ? 0 : 1))
            }
        } else {
            part(item(scalar))
        }
    }

    /// Sorts the marks after each starter by their classes, and keeps the order of equal ones.
    ///
    /// - Parameter items: Any number of marks: they are sorted in n log n.
    static func reorder(_ items: inout [Item]) {
        var start = 0
        while start < items.count {
            guard items[start].combiningClass != 0 else {
                start += 1
                continue
            }
            var end = start
            while end < items.count, items[end].combiningClass != 0 { end += 1 }
            if (start + 1..<end).contains(where: { items[$0 - 1].combiningClass > items[$0].combiningClass })
            {
                let sorted = items[start..<end].enumerated().sorted {
                    ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
                }
                for (offset, (_, item)) in sorted.enumerated() { items[start + offset] = item }
            }
            start = end
        }
    }

    /// Composes what composes with the starter before it and is not blocked.
    func compose(_ items: inout [Item]) {
        var count = 0
        var starter: Int?
        for item in items {
            if let at = starter {
                let isNext = at == count - 1
                let isBlocked = !isNext && items[count - 1].combiningClass >= item.combiningClass
                if !isBlocked, let scalar = pair(items[at].scalar, item.scalar) {
                    let change = items[at].change + item.change - 1
                    items[at] = self.item(scalar)
                    items[at].change = change
                    continue
                }
            }
            items[count] = item
            if item.combiningClass == 0 { starter = count }
            count += 1
        }
        items.removeLast(items.count - count)
    }

    private func pair(_ first: UInt32, _ second: UInt32) -> UInt32? {
        Hangul.composed(first, second) ?? pairs[UInt64(first) << 32 | UInt64(second)]
    }
}

/// Hangul syllables, which compose by arithmetic (Unicode, section 3.12).
private enum Hangul {
    static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
    static let leading: Range<UInt32> = 0x1100..<0x1113
    static let vowels: Range<UInt32> = 0x1161..<0x1176
    static let trailing: Range<UInt32> = 0x11A8..<0x11C3
    private static let trailingCount: UInt32 = 28
    private static let perLeading: UInt32 = 588

    static func parts(of syllable: UInt32) -> [UInt32] {
        let index = syllable - syllables.lowerBound
        let parts = [
            leading.lowerBound + index / perLeading,
            vowels.lowerBound + index % perLeading / trailingCount,
        ]
        let last = index % trailingCount
        return last == 0 ? parts : parts + [trailing.lowerBound - 1 + last]
    }

    static func composed(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if leading.contains(first), vowels.contains(second) {
            return syllables.lowerBound + (first - leading.lowerBound) * perLeading
                + (second - vowels.lowerBound) * trailingCount
        }
        guard syllables.contains(first), (first - syllables.lowerBound) % trailingCount == 0,
            trailing.contains(second)
        else { return nil }
        return first + second - trailing.lowerBound + 1
    }
}
