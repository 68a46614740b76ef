import SCXInference

extension Matrix {
    /// `self · otherᵀ`, `[rows, other.rows]`.
    func multiplied(by other: Matrix, _ pool: ThreadPool) throws(AttackError) -> Matrix {
        precondition(columns == other.columns, "Matrix: product")
        let packed: PackedMatrix
        do throws(KernelError) {
            packed = try PackedMatrix(rows: other.rows, columns: other.columns, format: .f32)
        } catch {
            throw .memory("\(error)")
        }
        unsafe packed.pack(other.values.span.bytes, as: .f32, firstRow: 0, count: other.rows, pool: pool)
        var out = [Float](repeating: 0, count: rows * other.rows)
        var span = out.mutableSpan
        linear(values.span, packed, into: &span, tokens: rows, pool: pool)
        return Matrix(rows: rows, columns: other.rows, values: out)
    }

    var transposed: Matrix {
        var out = [Float](repeating: 0, count: values.count)
        for row in 0..<rows {
            for c in 0..<columns { out[c * rows + row] = values[row * columns + c] }
        }
        return Matrix(rows: columns, columns: max(1, rows), values: out)
    }
}

/// An orthonormal basis that grows by Gram–Schmidt, in double precision.
struct Basis {
    private(set) var vectors: [[Double]] = []

    /// Adds the part of a vector that is outside the space spanned so far.
    ///
    /// - Parameters:
    ///   - vector: The vector.
    ///   - tolerance: A part smaller than this share of the vector counts as zero.
    /// - Returns: Whether the vector had such a part.
    @discardableResult
    mutating func add(_ vector: ArraySlice<Float>, tolerance: Double = 1e-5) -> Bool {
        var rest = vector.map { Double($0) }
        let length = norm(rest)
        // It is done twice, since rounding leaves some of the part that the first time was to remove.
        for _ in 0..<2 { remove(from: &rest) }
        let left = norm(rest)
        guard left > tolerance * length, left > 0 else { return false }
        vectors.append(rest.map { $0 / left })
        return true
    }

    /// Subtracts the part of a vector that is in the space.
    func remove(from vector: inout [Double]) {
        for base in vectors {
            var product = 0.0
            for (x, y) in zip(base, vector) { product += x * y }
            for i in vector.indices { vector[i] -= product * base[i] }
        }
    }

    /// The vectors as rows of float32; nil when there are none.
    var matrix: Matrix? {
        guard let first = vectors.first else { return nil }
        return Matrix(columns: first.count, values: vectors.joined().map { Float($0) })
    }

    private func norm(_ vector: [Double]) -> Double { vector.reduce(0) { $0 + $1 * $1 }.squareRoot() }
}

/// The Cholesky factor of a positive definite matrix, by which equations are solved.
struct Cholesky {
    private let size: Int
    /// Lower triangle, row-major.
    private var factor: [Double]

    /// Factors `matrix + ridge · trace / size · 1`; nil when that is not positive definite.
    init?(_ matrix: [Double], size: Int, ridge: Double) {
        precondition(matrix.count == size * size, "Cholesky: shape")
        self.size = size
        factor = matrix
        var trace = 0.0
        for i in 0..<size { trace += matrix[i * size + i] }
        for i in 0..<size { factor[i * size + i] += ridge * trace / Double(size) }
        for i in 0..<size {
            for j in 0...i {
                var sum = factor[i * size + j]
                for k in 0..<j { sum -= factor[i * size + k] * factor[j * size + k] }
                if i == j {
                    guard sum > 0 else { return nil }
                    factor[i * size + i] = sum.squareRoot()
                } else {
                    factor[i * size + j] = sum / factor[j * size + j]
                }
            }
        }
    }

    /// The solution for one right side.
    func solve(_ right: [Double]) -> [Double] {
        var x = right
        for i in 0..<size {
            for k in 0..<i { x[i] -= factor[i * size + k] * x[k] }
            x[i] /= factor[i * size + i]
        }
        for i in stride(from: size - 1, through: 0, by: -1) {
            for k in i + 1..<size { x[i] -= factor[k * size + i] * x[k] }
            x[i] /= factor[i * size + i]
        }
        return x
    }
}
