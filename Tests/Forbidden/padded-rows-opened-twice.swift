// expect: 'rows' consumed more than once
import SCXEncoding
import SCXLink

func leak(
    _ rows: consuming PaddedRows, _ answer: RingTensor, _ integers: borrowing FixedPointRows,
    _ expected: borrowing ExpectedSketches
) {
    _ = rows.open(answer, integers, expected: expected, pool: nil)
    _ = rows.open(answer, integers, expected: expected, pool: nil)
}
