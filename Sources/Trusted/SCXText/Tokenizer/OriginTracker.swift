/// Follows which bytes of a changed text came from the first character of the user's.
///
/// In the way of `NormalizedString::transform` of the package, whose answers are at times not what one would think.
struct OriginTracker {
    private let text: NormalizedText
    /// The place in the old text that the next new character stands for.
    private var place = 0
    private var count = 0
    private var isOver: Bool
    /// The last new character, which might still come to stand for more old ones.
    private var pending: (length: Int, change: Int)?

    init(_ text: NormalizedText) {
        self.text = text
        isOver = text.firstCount == 0
    }

    /// Takes the next new character.
    ///
    /// - Parameters:
    ///   - length: Its bytes.
    ///   - change: 0 if it stands for the next old one, 1 if it is additional and goes with the one before, -n if it stands
    ///     for n more.
    mutating func take(_ length: Int, change: Int) {
        guard !isOver else { return }
        settle()
        pending = (length, change)
    }

    /// Takes a text in the place of some characters of the old one.
    mutating func replace(_ characters: Int, by new: some Collection<UInt8>) {
        guard !isOver else { return }
        var count = 0
        var length = 0
        for byte in new {
            if byte & 0xC0 != 0x80, length > 0 {
                take(length, change: count < characters ? 0 : 1)
                (count, length) = (count + 1, 0)
            }
            length += 1
        }
        if length > 0 {
            take(length, change: count < characters ? 0 : 1)
            count += 1
        }
        // Characters that went belong to the last new one, or to what stood before; at the very start to none.
        if count < characters { pending?.change -= characters - count }
    }

    private mutating func settle() {
        guard let (length, change) = pending, !isOver else { return }
        pending = nil
        let origin = change > 0 ? max(0, place - 1) : place
        guard origin < text.firstCount else {
            isOver = true
            return
        }
        count += length
        guard change <= 0 else { return }
        for _ in 0...(-change) where place < text.bytes.count {
            place = text.bytes.span.scalar(at: place).end
        }
    }

    /// How many bytes of the new text came from the first character.
    mutating func finish() -> Int {
        settle()
        return count
    }
}
