#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The natural logarithm.
func logarithm(_ x: Float) -> Float { Float(log(Double(x))) }

/// The exponential, `e^x`.
func exponential(_ x: Double) -> Double { exp(x) }

/// The probability that a normal number is at least so far from its mean: the two-sided p-value of a deviation.
func probability(ofDeviation x: Double) -> Double { erfc(abs(x) / 2.0.squareRoot()) }

/// The power `xⁿ`.
func power(_ x: Double, _ n: Double) -> Double { pow(x, n) }

/// The logarithm to base 2.
func binaryLogarithm(_ x: Double) -> Double { log2(x) }

/// A share of successes, with its 95 % confidence interval (Wilson 1927).
public struct Share: Equatable, Sendable {
    public let successes: Int
    public let trials: Int

    public init(_ successes: Int, of trials: Int) { (self.successes, self.trials) = (successes, trials) }

    /// The share, 0 without trials.
    public var value: Double { trials == 0 ? 0 : Double(successes) / Double(trials) }

    /// The 95 % confidence interval.
    public var interval: ClosedRange<Double> {
        guard trials > 0 else { return 0...1 }
        let (n, z) = (Double(trials), 1.959964)
        let centre = (value + z * z / (2 * n)) / (1 + z * z / n)
        let width = z / (1 + z * z / n) * (value * (1 - value) / n + z * z / (4 * n * n)).squareRoot()
        return max(0, centre - width)...min(1, centre + width)
    }
}

/// The cube root of a number that is not negative.
func cubeRoot(_ x: Double) -> Double { cbrt(x) }
