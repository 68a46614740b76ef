/// A secret order of elements.
///
/// Element i is sent at place `places[i]`. The order is drawn by Fisher and Yates' shuffle with unbiased numbers, so
/// all orders are equally likely.
package struct Permutation: ~Copyable, Sendable {
    private var buffer: SecretBuffer<UInt32>

    /// Draws an order of `count` elements.
    package init(count: Int, random: inout SecureRandom) {
        precondition((0...Int(UInt32.max)).contains(count), "Permutation: too many elements")
        buffer = SecretBuffer(repeating: 0, count: count)
        var places = buffer.mutableSpan
        for i in 0..<count { places[i] = UInt32(i) }
        guard count > 1 else { return }
        for i in stride(from: count - 1, to: 0, by: -1) {
            places.swapAt(i, Int(random.number(below: UInt32(i + 1))))
        }
    }

    package var count: Int { buffer.count }

    /// For each element the place at which it is sent, `[count]`.
    var places: Span<UInt32> {
        @_lifetime(borrow self) get { buffer.span }
    }
}
