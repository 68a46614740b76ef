// expect: 'exchange' consumed more than once
import SCXEncoding
import SCXLink

func leak(_ exchange: consuming RowExchange, _ answer: Answer) throws {
    _ = try exchange.open(answer, channels: 4)
    _ = try exchange.open(answer, channels: 4)
}
