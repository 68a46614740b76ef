import Foundation
import SCXEncoding
import SCXInference

/// Noise for the rows of one site, with its product, drawn ahead of the requests that need it.
///
/// A thread of its own keeps a stock of noise, so that a generated token need not wait for it. A prompt that needs
/// more than there is draws all of its noise itself. Each row of noise is used once.
final class NoiseSource {
    /// The scale of the noise and the step of its values.
    let grid: NoiseGrid
    private let weights: PackedMatrix
    private let shelf: Shelf
    private var random = SecureRandom()
    private let pool: ThreadPool

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - weights: The weights by which noised rows are multiplied, rounded for exact sums.
    ///   - grid: Scale of the noise and step of its values.
    ///   - pool: Threads that draw noise for requests for which the stock is too small.
    init(weights: PackedMatrix, grid: NoiseGrid, pool: ThreadPool) {
        self.grid = grid
        self.weights = weights
        self.pool = pool
        shelf = Shelf(weights: weights, grid: grid)
        shelf.start()
    }

    deinit { shelf.stop() }

    /// Takes noise for some rows.
    func take(_ rows: Int) -> OneTimeNoise {
        if let noise = shelf.take(rows) { return noise }
        return shelf.draw(rows, random: &random, pool: pool)
    }

    /// Adds the product of rows without noise to products of as many rows.
    func addProduct(of rows: borrowing Plaintext, to products: inout Plaintext) {
        let count = rows.rows
        let result = SecretProduct(rows.span, weights, rows: count, pool: pool)
        var out = products.values
        for i in out.indices { out[i] += Float(result.values.span[i]) }
    }
}

/// A product in float64, which is erased when it is no longer needed.
private struct SecretProduct: ~Copyable {
    /// The product, `[rows, outputs]`.
    var values: SecretBuffer<Double>

    init(_ rows: Span<Float>, _ weights: PackedMatrix, rows count: Int, pool: ThreadPool) {
        values = SecretBuffer(repeating: 0, count: count * weights.rows)
        var out = values.mutableSpan
        exactLinear(rows, weights, into: &out, tokens: count, pool: pool)
    }
}

/// The stock, which the thread and its owner share.
private final class Shelf: @unchecked Sendable {
    /// How many rows are drawn at once.
    private static let batch = 32
    /// How many rows the stock holds at most.
    private static let capacity = 256

    private let weights: PackedMatrix
    private let grid: NoiseGrid
    // Guarded by `condition`.
    private let condition = NSCondition()
    private let stock: NoiseStock
    private var isStopped = false

    init(weights: PackedMatrix, grid: NoiseGrid) {
        self.weights = weights
        self.grid = grid
        stock = NoiseStock(inputs: weights.columns, outputs: weights.rows, grid: grid)
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
            rows: rows, inputs: weights.columns, outputs: weights.rows, grid: grid, random: &random
        ) { noise, product in
            exactLinear(noise, weights, into: &product, tokens: rows, pool: pool)
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
