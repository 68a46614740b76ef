import Foundation
import SCXEncoding
import SCXInference

/// Noise for the rows of one site, with its product, drawn ahead of the requests that need it.
///
/// A thread of its own keeps a stock of noise, so that a generated token need not wait for it. A prompt that needs
/// more than there is draws all of its noise itself. Each row of noise is used once.
final class NoiseSource {
    private let shelf: Shelf
    private var random = SecureRandom()
    private let pool: ThreadPool

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - weights: The weights by which noised rows are multiplied.
    ///   - scale: Scale of the noise.
    ///   - pool: Threads that draw noise for requests for which the stock is too small.
    init(weights: PackedMatrix, scale: Float, pool: ThreadPool) {
        self.pool = pool
        shelf = Shelf(weights: weights, scale: scale)
        shelf.start()
    }

    deinit { shelf.stop() }

    /// Takes noise for some rows.
    func take(_ rows: Int) -> OneTimeNoise {
        if let noise = shelf.take(rows) { return noise }
        return shelf.draw(rows, random: &random, pool: pool)
    }
}

/// The stock, which the thread and its owner share.
private final class Shelf: @unchecked Sendable {
    /// How many rows are drawn at once.
    private static let batch = 32
    /// How many rows the stock holds at most.
    private static let capacity = 256

    private let weights: PackedMatrix
    private let scale: Float
    // Guarded by `condition`.
    private let condition = NSCondition()
    private let stock: NoiseStock
    private var isStopped = false

    init(weights: PackedMatrix, scale: Float) {
        self.weights = weights
        self.scale = scale
        stock = NoiseStock(inputs: weights.columns, outputs: weights.rows, scale: scale)
    }

    func start() {
        let thread = Thread { [self] in fill() }
        thread.name = "scx noise"
        thread.start()
    }

    func stop() {
        condition.withLock {
            isStopped = true
            condition.signal()
        }
    }

    func take(_ rows: Int) -> OneTimeNoise? {
        condition.lock()
        defer { condition.unlock() }
        guard rows <= stock.count else { return nil }
        condition.signal()
        return stock.take(rows)
    }

    func draw(_ rows: Int, random: inout SecureRandom, pool: ThreadPool) -> OneTimeNoise {
        OneTimeNoise(
            rows: rows, inputs: weights.columns, outputs: weights.rows, scale: scale, random: &random
        ) { noise, product in
            linear(noise, weights, into: &product, tokens: rows, pool: pool)
        }
    }

    /// Draws noise until the source is stopped.
    private func fill() {
        var random = SecureRandom()
        let pool = ThreadPool(threads: 1)
        while true {
            let isNeeded = condition.withLock { () -> Bool in
                while !isStopped, stock.count + Self.batch > Self.capacity { condition.wait() }
                return !isStopped
            }
            guard isNeeded else { return }
            let noise = draw(Self.batch, random: &random, pool: pool)
            condition.lock()
            stock.add(noise)
            condition.unlock()
        }
    }
}
