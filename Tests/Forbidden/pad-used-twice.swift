// expect: 'pads' consumed more than once
import SCXEncoding

func leak(_ pads: consuming PadRows, _ a: borrowing FixedPointRows, _ b: borrowing FixedPointRows) {
    _ = pads.encode(a, pool: nil)
    _ = pads.encode(b, pool: nil)
}
